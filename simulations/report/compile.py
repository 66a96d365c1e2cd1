"""From a finished purchase to its report."""

from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from parties.offer import Offer
from parties.record import PurchaseRecord
from parties.settlement import CLOUD, account
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import Bids, Privacy
from simulations.report.damage import damage_by_buyer, damage_by_sellers
from simulations.report.model import CheatAccount, Dispute, Learned, PartyAccount, Report
from simulations.report.money import cheat_account
from simulations.scoring import PurchaseOutcome, ScoredPurchase, Trade
from simulations.traffic import Flow, View
from simulations.world import COIN, World
from strategies.localisation import localise

LIBRARIES = ("parley", "flwr", "torch", "numpy", "numba", "cryptography")


def compile_report(scored: ScoredPurchase, cloud_view: View, flows: list[Flow], timings: Mapping[str, float]) -> Report:
    """Put everything that is worth saying about a purchase into a report."""
    scenario, outcome = scored.scenario, scored.outcome
    parties = _accounts(scored)
    return Report(
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=scenario.workers,
        outcome=outcome,
        summary=summary(outcome),
        traffic=flows,
        timings={name: round(seconds, 3) for name, seconds in timings.items()},
        parties=parties,
        adversaries=_adversaries(scored, parties),
        disputes=_disputes(scored.record),
        learned=_learned(scored, cloud_view),
        notes=scored.world.notes,
        versions={name: _version(name) for name in LIBRARIES},
    )


def coins(amount: int) -> str:
    """Write an amount of minor units in coins.

    Examples
    --------
    >>> coins(-1205)
    '-12.05'
    """
    return f"{'-' if amount < 0 else ''}{abs(amount) // COIN}.{abs(amount) % COIN:02d}"


def count(number: int, noun: str) -> str:
    """Write a number of things.

    Examples
    --------
    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary(outcome: PurchaseOutcome) -> str:
    """Say in one sentence what happened."""
    if outcome.candidates == 0:
        offered = f"none of {count(outcome.bids, 'image')} on offer" if outcome.bids else "no image in any album"
        return f"Nothing was bought: {offered} matches the samples."
    if outcome.selected == 0:
        return f"Nothing was bought: the budget of {coins(outcome.budget)} is too small for any image that matches."
    text = (
        f"The buyer got {count(outcome.verified, 'image')} out of {outcome.candidates:,} that matched, for "
        f"{coins(outcome.paid_total + outcome.commission)} of its {coins(outcome.budget)} coins"
    )
    if outcome.precision is not None:
        text += f"; {outcome.precision:.1%} of them show what was asked for"
    if outcome.refunded_total:
        text += f"; {coins(outcome.refunded_total)} came back"
    if outcome.upheld:
        text += f"; {count(outcome.upheld, 'complaint')} {'was' if outcome.upheld == 1 else 'were'} false"
    return text + "."


def party_name(world: World, node_id: int) -> str:
    """Name a party as in ``messages.jsonl``."""
    return "buyer" if node_id == FIRST_NODE_ID else f"seller-{node_id}"


def _accounts(scored: ScoredPurchase) -> list[PartyAccount]:
    world, record, ledger = scored.world, scored.record, scored.ledger
    balances = ledger.balances()
    deposits = Counter[str]()
    for entry in ledger.entries():
        if entry.memo == "deposit" and entry.amount > 0:
            deposits[entry.account] += entry.amount
    offers: dict[int, list[Offer]] = {}
    for offer in record.offers:
        offers.setdefault(offer.seller, []).append(offer)
    costs = Counter[int]()
    for trade in scored.trades:
        if trade.offer.paid:
            costs[trade.offer.seller] += trade.held.party.costs[trade.image]
    failures: dict[int, list[str]] = {}
    for step, node_id, why in record.failures:
        failures.setdefault(node_id, []).append(f"{step}: {why.strip().splitlines()[-1]}")

    def line(node_id: int, name: str, adversary: str | None, own: list[Offer]) -> PartyAccount:
        held = account(name.partition("-")[0], node_id) if name != CLOUD else CLOUD
        return PartyAccount(
            party=name,
            adversary=adversary,
            bids=len(own),
            selected=sum(offer.won for offer in own),
            sold=sum(offer.paid for offer in own),
            deposit=deposits[held],
            balance=balances[held],
            cost=costs[node_id],
            failures=failures.get(node_id, []),
        )

    lines = [line(record.buyer, "buyer", world.buyer_adversary, []), line(0, CLOUD, None, [])]
    for node_id in sorted(offers.keys() | (failures.keys() - {record.buyer})):
        held = world.sellers[node_id - FIRST_NODE_ID - 1]
        lines.append(line(node_id, party_name(world, node_id), held.adversary, offers.get(node_id, [])))
    return lines


def _adversaries(scored: ScoredPurchase, parties: list[PartyAccount]) -> dict[str, CheatAccount]:
    """Add up the parties that played each cheat of the scenario, and those that nobody came to play."""
    world = scored.world
    cheats = Counter(held.adversary for held in world.sellers)
    cheats.update([world.buyer_adversary])
    return {
        name: cheat_account(
            [party for party in parties if party.adversary == name],
            cheats[name],
            damage_by_buyer(scored) if name == world.buyer_adversary else damage_by_sellers(scored, name),
        )
        for name in dict.fromkeys([*scored.scenario.adversaries, *sorted(name for name in cheats if name)])
    }


def _disputes(record: PurchaseRecord) -> list[Dispute]:
    return [
        Dispute(
            party=f"seller-{offer.seller}",
            complaint=offer.complaint.reason,
            fault=str(offer.verdict.fault),
            reason=offer.verdict.reason,
            payment=offer.payment,
        )
        for offer in record.winners
        if offer.complaint is not None and offer.verdict is not None
    ]


def _learned(scored: ScoredPurchase, cloud_view: View) -> list[Learned]:
    record, traded = scored.record, scored.trades
    bought = sum(trade.offer.paid for trade in traded)
    opened = sum(trade.offer.receipt is not None for trade in traded)
    disputed = sum(trade.offer.verdict is not None for trade in traded)
    lines = [
        Learned(observer="sellers", what="the buyer's samples", detail=f"all {len(scored.world.samples)}, at 64 x 64"),
        Learned(observer="sellers", what="the buyer's budget, quality and name", detail="nothing"),
        Learned(observer="sellers", what="other sellers' bids", detail="nothing"),
        Learned(
            observer="buyer", what="pictures", detail=f"the {opened} that were delivered, {bought} of them paid for"
        ),
        Learned(
            observer="buyer",
            what="sellers' names",
            detail="none: each image came under a key of its own, so not even which ones share a seller",
        ),
        Learned(observer="buyer", what="prices", detail=f"of {count(len(record.winners), 'image')} that won"),
        Learned(observer="cloud", what="pictures", detail=f"{disputed} (only those in dispute), and the samples"),
        Learned(
            observer="cloud", what="prices, and who offers them", detail=f"of {count(len(record.offers), 'offer')}"
        ),
    ]
    return [*lines, _localisation(record, traded, cloud_view)]


def _localisation(record: PurchaseRecord, traded: list[Trade], view: View) -> Learned:
    """Measure how well the cloud can place images in the feature plane, by attacking its own view."""
    what = "features of images on offer"
    if record.call is None or not traded:
        return Learned(observer="cloud", what=what, detail="nothing: there was no bid")
    if record.call.terms.privacy is Privacy.LEVEL1:
        return Learned(observer="cloud", what=what, detail=f"all {len(traded):,}, exactly (level 1)")
    points = {
        bid.bid.pseudonym: bid.bid.signature_points
        for _, message in view.received
        if isinstance(message, Bids)
        for bid in message.bids
    }
    signatures = np.array([points[trade.offer.bid.bid.pseudonym] for trade in traded], dtype=np.uint16)
    guesses = localise(signatures, record.call.salt, record.call.terms.reach)
    errors = np.linalg.norm(guesses - np.array([trade.feature for trade in traded]), axis=1)
    radius = record.call.terms.radius
    return Learned(
        observer="cloud",
        what=what,
        detail=(
            f"{len(traded):,} by their signatures: the localisation attack places them to within "
            f"{np.median(errors):.0f} lattice units (median; 95 % within {np.quantile(errors, 0.95):.0f}), "
            f"{np.median(errors) / radius:.1%} of R. Level 2 blurs features, it does not hide them."
        ),
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
