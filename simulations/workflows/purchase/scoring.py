"""What a purchase was worth, by the truth that only the simulation knows."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from parties.album import Pixels
from parties.purchase.offer import Offer, Outcome
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import bond
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import Agents
from protocol.storage.ledger import Ledger
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import Held, PurchaseWorld
from strategies.features.coverage import Squares
from strategies.features.featurizer import Calibration, Featurizer
from strategies.features.matching import matching_degree
from strategies.features.near_duplicates import distinct
from strategies.features.signatures import LATTICE


def file_numbers(winners: Sequence[Offer]) -> dict[bytes, int]:
    """Number the winners as the buyer's invoice does, which names the files of its store."""
    return {offer.bid_id: number for number, offer in enumerate(winners)}


def delivered_picture(world: PurchaseWorld, number: int) -> Pixels | None:
    """Return what the buyer received for a winner, good or not; None where nothing can be found."""
    store: Path = world.buyer.store
    for path in (store / f"{number:05d}.png", store / "refused" / f"{number:05d}.png"):
        if path.is_file():
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
    return None


APART = ("grid", "workers", "address", "description", "expect", "twin")
"""Keys of a scenario that its outcome does not depend on; ``buyer.train`` is another."""


class QualityScores(BaseModel):
    """The three qualities of the images that were bought (section IV.B), by their true features.

    Attributes:
        matching_degree: Mean of Definition 1, 0 to 1; None where nothing was bought.
        diversity: Area of the union of their squares (Definition 2), in squares: 3.0 is what three images far apart
            cover.
    """

    model_config = ConfigDict(frozen=True)

    quantity: int
    matching_degree: float | None
    diversity: float


class PurchaseOutcome(BaseModel):
    """What came out of a purchase. Money is in minor units; counts are of images but for `sellers`.

    Attributes:
        sellers: Sellers called.
        bids, rejected, candidates, selected, delivered, verified: Valid bids, refused ones, those that matched, those
            that won, those that arrived, those that the buyer accepted or had to.
        complaints, upheld: Complaints that were heard, and those in which the image was good after all.
        unreadable: Pictures that sellers could not open.
        paid_total, refunded_total, commission, budget: To sellers; back to the buyer, commission included; to the
            cloud; what the buyer had.
        penalties: Stakes and bonds that were lost.
        kept_for_nothing: Pictures of honest sellers that came just as they were offered, and were refunded all the
            same.
        precision: Share of the bought images that show a wanted class; None where nothing was bought or nobody knows
            what the pictures show.
        candidate_precision: The same of the candidates, the paper's Fig. 6.
        recall: Share of the wanted images in honest albums that were candidates; None likewise.
        quality: Of the bought images.
        digest: SHA-256 over all of this and every bid, payment and balance; the same for the same scenario and seed,
            whatever the grid, the workers and the clock.
    """

    model_config = ConfigDict(frozen=True)

    sellers: int
    bids: int
    rejected: int
    candidates: int
    selected: int
    delivered: int
    verified: int
    complaints: int
    upheld: int
    unreadable: int
    paid_total: int
    refunded_total: int
    commission: int
    penalties: int
    kept_for_nothing: int
    budget: int
    precision: float | None
    candidate_precision: float | None
    recall: float | None
    quality: QualityScores
    digest: str


LOCATED = 2_000
"""Offers, spread evenly over all of them, whose pictures are looked at again to know the truth; winners always are."""


@dataclass(frozen=True)
class Trade:
    """An offer beside the truth about it.

    Attributes:
        offer: What the cloud knows.
        held: The seller.
        image: Position of the picture in its album.
        feature: (2,), the picture's true point in the feature plane; None where nobody has looked (see `LOCATED`).
        wanted: Whether it shows a wanted class; None where nobody knows.
    """

    offer: Offer
    held: Held
    image: int
    feature: NDArray[np.int64] | None
    wanted: bool | None

    @property
    def picture(self) -> Pixels:
        """The picture that was offered."""
        return self.held.party.album[self.image]


def trades(world: PurchaseWorld, record: PurchaseRecord, featurizer: Featurizer) -> list[Trade]:
    """Put the truth beside each offer."""
    if record.call is None:
        return []
    request_id = record.call.request_id
    positions: dict[int, dict[bytes, int]] = {}
    offered = []
    for offer in record.offers:
        held = world.sellers[offer.seller - FIRST_NODE_ID - 1]
        if offer.seller not in positions:
            keys = (held.party.pseudonym(request_id, image) for image in range(len(held.party.album)))
            positions[offer.seller] = {key.public: image for image, key in enumerate(keys)}
        offered.append((offer, held, positions[offer.seller][offer.bid.bid.pseudonym]))
    shown = set(np.linspace(0, len(offered) - 1, min(len(offered), LOCATED)).astype(int).tolist())
    shown |= {index for index, (offer, _, _) in enumerate(offered) if offer.won}
    features = featurizer.features(
        held.party.album[image] for _, held, image in (offered[index] for index in sorted(shown))
    )
    points = dict(zip(sorted(shown), features, strict=True))
    return [
        Trade(offer, held, image, points.get(index), is_wanted(world, held, image))
        for index, (offer, held, image) in enumerate(offered)
    ]


def true_points(traded: Sequence[Trade], featurizer: Featurizer) -> NDArray[np.int64]:
    """Return the true points of these pictures, shape (n, 2), looking again where nobody has."""
    missing = [index for index, trade in enumerate(traded) if trade.feature is None]
    looked = dict(zip(missing, featurizer.features(traded[index].picture for index in missing), strict=True))
    points = [looked.get(index, trade.feature) for index, trade in enumerate(traded)]
    return np.array(points, dtype=np.int64).reshape(-1, 2)


def located(traded: Iterable[Trade]) -> list[Trade]:
    """Return the trades whose true points are known."""
    return [trade for trade in traded if trade.feature is not None]


def is_wanted(world: PurchaseWorld, held: Held, image: int) -> bool | None:
    """Whether a picture shows a wanted class; None where nobody knows."""
    if world.wanted is None or not world.class_names:
        return None
    label = int(held.labels[image])
    return label >= 0 and world.class_names[label] in world.wanted


@dataclass(frozen=True)
class ScoredPurchase:
    """A purchase that was played, beside the truth about it.

    `targets` are the samples' points in the feature plane, (m, 2), whatever the bids were made with.
    """

    scenario: PurchaseScenario
    featurizer: Featurizer
    world: PurchaseWorld
    record: PurchaseRecord
    ledger: Ledger
    targets: NDArray[np.int64]
    trades: list[Trade]
    outcome: PurchaseOutcome


_NOT_BOUGHT = (Outcome.UNDELIVERED, Outcome.LOST, Outcome.UNCLAIMED, Outcome.REFUNDED)


def score(
    scenario: PurchaseScenario, featurizer: Featurizer, world: PurchaseWorld, record: PurchaseRecord, ledger: Ledger
) -> ScoredPurchase:
    """Put the truth beside each offer and add everything up."""
    traded = trades(world, record, featurizer)
    targets = featurizer.features(record.call.samples if record.call else [])
    outcome = _outcome(scenario, featurizer, world, record, ledger, targets, traded)
    return ScoredPurchase(scenario, featurizer, world, record, ledger, targets, traded, outcome)


def quality_scores(points: NDArray[np.int64], targets: NDArray[np.int64], calibration: Calibration) -> QualityScores:
    """Score images by their true points in the feature plane, (n, 2)."""
    degrees = matching_degree(points, targets, calibration.radius)
    square = (2 * calibration.reach) ** 2
    inside = points.clip(0, LATTICE - 1)  # only a vector that was bought in the basic mode may have its point outside
    return QualityScores(
        quantity=len(points),
        matching_degree=round(float(degrees.mean()), 9) if len(points) else None,
        diversity=Squares(inside, calibration.reach).union_area() / square if len(points) else 0.0,
    )


def _outcome(
    scenario: PurchaseScenario,
    featurizer: Featurizer,
    world: PurchaseWorld,
    record: PurchaseRecord,
    ledger: Ledger,
    targets: NDArray[np.int64],
    traded: list[Trade],
) -> PurchaseOutcome:
    winners = record.winners
    bought = [trade for trade in traded if trade.offer.paid]
    refunded = [offer for offer in winners if offer.outcome in _NOT_BOUGHT]
    stakes = sum(offer.bid.bid.stake for offer in winners if offer.forfeited)
    upheld = [offer for offer in winners if offer.outcome is Outcome.UPHELD]
    bonds = [*upheld, *(offer for offer in winners if offer.outcome is Outcome.UNCLAIMED)]
    bond_rate = round(scenario.cloud.bond * 1_000_000)
    fields: dict[str, Any] = {
        "sellers": len(record.sellers),
        "bids": len(record.offers),
        "rejected": len(record.rejected),
        "candidates": sum(offer.candidate for offer in record.offers),
        "selected": len(winners),
        "delivered": sum(offer.receipt is not None for offer in winners),
        "verified": len(bought),
        "complaints": sum(offer.verdict is not None for offer in winners),
        "upheld": len(upheld),
        "unreadable": record.unreadable,
        "paid_total": sum(trade.offer.payment for trade in bought),
        "refunded_total": sum(offer.payment + offer.commission for offer in refunded),
        "commission": sum(trade.offer.commission for trade in bought),
        "penalties": stakes
        + sum(bond(offer.payment, bond_rate) for offer in bonds)
        + sum(offer.compensation for offer in winners),
        "kept_for_nothing": _kept_for_nothing(world, winners, traded),
        "budget": world.buyer.budget,
        "precision": _precision(bought),
        "candidate_precision": _precision([trade for trade in traded if trade.offer.candidate]),
        "recall": _recall(world, traded),
        "quality": quality_scores(true_points(bought, featurizer), targets, featurizer.calibration).model_dump(),
    }
    return PurchaseOutcome(**fields, digest=_digest(scenario, record, ledger, fields))


def _kept_for_nothing(world: PurchaseWorld, winners: Sequence[Offer], traded: Sequence[Trade]) -> int:
    numbers = file_numbers(winners)
    refunded = [trade for trade in traded if trade.offer.outcome is Outcome.REFUNDED and trade.held.adversary is None]
    delivered = (delivered_picture(world, numbers[trade.offer.bid_id]) for trade in refunded)
    return sum(
        got is not None and np.array_equal(got, trade.picture) for got, trade in zip(delivered, refunded, strict=True)
    )


def _precision(traded: list[Trade]) -> float | None:
    known = [trade.wanted for trade in traded if trade.wanted is not None]
    return sum(known) / len(known) if known else None


def _recall(world: PurchaseWorld, traded: list[Trade]) -> float | None:
    wanted = sum(
        bool(is_wanted(world, held, image))
        for held in world.sellers
        if held.adversary is None
        for image in range(len(held.labels))
    )
    found = sum(bool(trade.wanted) and trade.offer.candidate and trade.held.adversary is None for trade in traded)
    return found / wanted if wanted else None


def _digest(scenario: PurchaseScenario, record: PurchaseRecord, ledger: Ledger, fields: dict[str, Any]) -> str:
    """Hash what must not depend on grid, workers or clock."""
    offers = [
        [
            offer.seller,
            offer.index,
            offer.bid.bid.price,
            offer.bid.bid.feature or offer.bid.bid.signature_points,
            offer.candidate,
            offer.payment,
            str(offer.outcome),
        ]
        for offer in record.offers
    ]
    newer = (("policy", scenario.policy), ("cohort", scenario.cohort))  # as before there were any
    apart = (*APART, *(key for key, value in newer if value is None))
    new = {"mechanism": None, "agents": Agents.IMAGES, "reserve": None}
    plain = {key for key, default in new.items() if getattr(scenario.buyer, key) == default}  # as before they were keys
    without: dict[str, Any] = dict.fromkeys(apart, True) | {"buyer": {"train"} | plain}
    sellers: dict[str, Any] = {"price": {"each"}} if scenario.sellers.price.each == "picture" else {}
    if scenario.sellers.noise_before_hashing is None:
        sellers["noise_before_hashing"] = True
    without["sellers"] = sellers  # as before sellers could have one price, or add noise
    world = scenario.model_dump(mode="json", exclude=without)
    content = {"scenario": world, "outcome": fields, "offers": offers, "balances": ledger.balances()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def damage_by_sellers(scored: ScoredPurchase, adversary: str) -> int:
    """Add up what the buyer paid such sellers, commission included, for pictures that are of no use to it.

    These are pictures that show nothing it asked for, that did not come or are not what was offered, and
    near-duplicates of pictures that it bought from sellers who play the same cheat. What false prices cost is not in
    it: that takes another run, without the cheat.
    """
    place = file_numbers(scored.record.winners)
    bought = [trade for trade in scored.trades if trade.offer.paid and trade.held.adversary == adversary]
    first = set(distinct([scored.featurizer.prepare(trade.picture) for trade in bought]))
    total = 0
    for index, trade in enumerate(bought):
        came = delivered_picture(scored.world, place[trade.offer.bid_id])
        useless = trade.wanted is False or came is None or not np.array_equal(came, trade.picture) or index not in first
        total += useless * (trade.offer.payment + trade.offer.commission)
    return total


def damage_by_buyer(scored: ScoredPurchase) -> int:
    """Add up what honest sellers were promised and not paid for what they delivered, and the stakes they lost."""
    honest = [trade.offer for trade in scored.trades if trade.held.adversary is None]
    refunded = [offer for offer in honest if offer.outcome is Outcome.REFUNDED]
    return sum(offer.payment + offer.bid.bid.stake for offer in refunded)
