"""What each party learned in a purchase, by what it received and by attacks on that."""

from collections.abc import Iterator, Sequence

import numpy as np

from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Bid, Privacy
from simulations.purchase.attacks import (
    bids_in,
    invert_bids,
    known_to_attackers,
    sampled,
    score_inversion,
    seen_features,
)
from simulations.purchase.scoring import ScoredPurchase, Trade, located
from simulations.report.model import Learned
from simulations.report.words import count
from simulations.traffic import View


def learned(scored: ScoredPurchase, cloud_view: View) -> list[Learned]:
    """Say what each party learned, by observer."""
    record, traded = scored.record, scored.trades
    bought = sum(trade.offer.paid for trade in traded)
    opened = sum(trade.offer.receipt is not None for trade in traded)
    disputed = sum(trade.offer.verdict is not None for trade in traded)
    lines = [
        Learned(
            observer="sellers", what="the buyer's samples", detail=f"all {len(scored.world.samples)}{_size(record)}"
        ),
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
    return [*lines, _localisation(record, traded, cloud_view), *_inversion(scored, cloud_view)]


def _localisation(record: PurchaseRecord, traded: list[Trade], view: View) -> Learned:
    """Measure how well the cloud can place images in the feature plane, by attacking its own view."""
    what = "features of images on offer"
    if record.call is None or not traded:
        return Learned(observer="cloud", what=what, detail="nothing: there was no bid")
    if record.call.terms.privacy is Privacy.BASIC:
        dimensions = record.targets.shape[1]
        detail = f"all {len(traded):,}, exactly: the whole fc8 vectors of {dimensions:,} numbers (basic mode)"
        return Learned(observer="cloud", what=what, detail=detail)
    if record.call.terms.privacy is Privacy.LEVEL1:
        return Learned(observer="cloud", what=what, detail=f"all {len(traded):,}, exactly (level 1)")
    checked = located(traded)
    guesses = seen_features(_seen(view, checked), record.call)
    errors = np.linalg.norm(guesses - np.array([trade.feature for trade in checked]), axis=1)
    radius = record.call.terms.radius
    return Learned(
        observer="cloud",
        what=what,
        detail=(
            f"{len(traded):,} by their signatures: the localisation attack places them to within "
            f"{np.median(errors):.0f} lattice units (median{_of(checked, traded)}; 95 % within "
            f"{np.quantile(errors, 0.95):.0f}), "
            f"{np.median(errors) / radius:.1%} of R. Level 2 blurs features, it does not hide them."
        ),
    )


def _seen(view: View, traded: Sequence[Trade]) -> list[Bid]:
    """Return the bids behind some trades as they are in a view."""
    seen = {bid.pseudonym: bid for bid in bids_in(view, {trade.offer.seller for trade in traded})}
    return [seen[trade.offer.bid.bid.pseudonym] for trade in traded]


def _of(checked: Sequence[Trade], traded: Sequence[Trade]) -> str:
    return "" if len(checked) == len(traded) else f" of {len(checked):,} that were checked"


def _inversion(scored: ScoredPurchase, view: View) -> Iterator[Learned]:
    """Measure what the cloud can tell of pictures on offer from their features, by attacking its own view."""
    record, names = scored.record, scored.world.class_names
    public = known_to_attackers(scored)
    traded = sampled(scored.trades, names)
    if record.call is None or public is None or not traded:
        return
    inverted = invert_bids(_seen(view, traded), record.call, public)
    found = score_inversion(inverted, public, traded, names)
    yield Learned(
        observer="cloud",
        what="what pictures on offer show",
        detail=(
            f"the inversion attack (public decoder, public pictures) names the right class of {found.named} of "
            f"{found.offers:,}; the most frequent class would be right for {100 * found.guessed:.0f} %. Its pictures "
            f"explain {found.likeness} of the pixels' variance."
        ),
    )


def _size(record: PurchaseRecord) -> str:
    if record.call is None:
        return ""
    height, width, _ = record.call.samples[0].shape
    return f", at {width} x {height}"
