"""A purchase, or a sweep of many, in words, and as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from parties.purchase.terms import COIN
from protocol.messages.purchase import Privacy
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import count, percent, score
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.report.phones import duration
from simulations.workflows.purchase.report.sweep import SweepReport, ranged
from simulations.workflows.purchase.scoring import PurchaseOutcome, ScoredPurchase
from strategies.features.featurizer import VECTOR_UNITS


def coins(amount: int) -> str:
    """Write an amount of minor units in coins.

    Examples:
        >>> coins(-1205)
        '-12.05'
    """
    return f"{'-' if amount < 0 else ''}{abs(amount) // COIN}.{abs(amount) % COIN:02d}"


def summary(outcome: PurchaseOutcome) -> str:
    """Say in one sentence what happened."""
    if outcome.candidates == 0:
        offered = f"none of {count(outcome.bids, 'image')} on offer" if outcome.bids else "no image in any album"
        return f"Nothing was bought: {offered} matches the samples."
    if outcome.selected == 0:
        return (
            f"Nothing was bought: the budget of {coins(outcome.budget)} coins is too small for any image that matches."
        )
    text = (
        f"The buyer bought {count(outcome.verified, 'image')} out of {outcome.candidates:,} that matched, for "
        f"{coins(outcome.paid_total + outcome.commission)} of its {coins(outcome.budget)} coins"
    )
    if outcome.precision is not None:
        text += f"; precision {percent(outcome.precision)}"
    if outcome.refunded_total:
        text += f"; {coins(outcome.refunded_total)} refunded"
    if outcome.kept_for_nothing:
        text += f"; it keeps {count(outcome.kept_for_nothing, 'image')} unpaid, because false complaints were accepted"
    if outcome.upheld:
        text += f"; {count(outcome.upheld, 'complaint')} {'was' if outcome.upheld == 1 else 'were'} false"
    return text + "."


def verification(scored: ScoredPurchase) -> str:
    """Say what an image was compared with before it was paid for, and how often a wrong one would pass."""
    basic = scored.scenario.cloud.privacy is Privacy.BASIC
    calibration = scored.featurizer.calibration
    tolerance = calibration.vector_tolerance if basic else calibration.tolerance
    rate = calibration.vector_false_accepts if basic else calibration.false_accepts
    unit = f"{tolerance / VECTOR_UNITS:.3g} in each number" if basic else f"{tolerance} lattice units"
    wrong = "not measured" if rate is None else f"{rate:.1e} of those measured" if rate else "none of those measured"
    return (
        "Every delivered image had to open the commitment to all its pixels; "
        f"{percent(scored.scenario.buyer.checked, digits=0)} were featurised again, and had to be within {unit} of the "
        f"bid. False-accept rate, pairs of different images of one category that pass by the feature alone: {wrong}."
    )


def tables(report: PurchaseReport | SweepReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    yield from _sweep(report) if isinstance(report, SweepReport) else _purchase(report)


def _sweep(report: SweepReport) -> Iterator[RenderableType]:
    table = Table("noise sellers", "candidates", "bought", "recall", title="precision under noise")
    for point in report.points:
        table.add_row(percent(point.noise, digits=0), *map(ranged, (point.candidates, point.bought, point.recall)))
    yield table
    yield report.summary


def _awarded(report: PurchaseReport) -> list[tuple[str, str]]:
    """Return what the selected images asked, and what they were to be paid."""
    if report.auction is None:
        return []
    return [("selected images: asked, awarded", f"{coins(report.auction.asked)}, {coins(report.auction.awarded)}")]


def _purchase(report: PurchaseReport) -> Iterator[RenderableType]:
    outcome = report.outcome
    table = Table(title=f"{report.scenario['workflow']}, seed {report.seed}", show_header=False, title_justify="left")
    table.add_column(style="cyan")
    table.add_column(justify="right")
    rows = [
        *([("mechanism", report.auction.mechanism)] if report.auction else []),
        ("sellers called", str(outcome.sellers)),
        ("images offered", str(outcome.bids)),
        ("candidates (matching the samples)", str(outcome.candidates)),
        ("selected", str(outcome.selected)),
        ("delivered", str(outcome.delivered)),
        ("verified and paid", str(outcome.verified)),
        ("complaints, of them unfounded", f"{outcome.complaints}, {outcome.upheld}"),
        ("kept without payment", str(outcome.kept_for_nothing)),
        ("paid to sellers", coins(outcome.paid_total)),
        *_awarded(report),
        ("commission", coins(outcome.commission)),
        ("refunded", coins(outcome.refunded_total)),
        ("penalties", coins(outcome.penalties)),
        ("budget", coins(outcome.budget)),
        ("precision of candidates", percent(outcome.candidate_precision)),
        ("precision of bought images", percent(outcome.precision)),
        ("mean matching degree", score(outcome.quality.matching_degree, 2)),
        ("diversity (squares)", score(outcome.quality.diversity, 2)),
        *_worth(report),
        ("messages", str(sum(flow.messages for flow in report.traffic))),
        ("bytes", f"{sum(flow.bytes for flow in report.traffic):,}"),
        ("seconds", f"{report.timings['total']:.1f}"),
        ("digest", outcome.digest[:16]),
    ]
    for row in rows:
        table.add_row(*row)
    yield table
    yield from evaluation_tables(report)
    yield report.summary
    if report.phones is not None:
        spent = report.phones.spent
        missed = report.phones.asked - report.phones.answered
        yield (
            f"On these phones it takes {duration(report.phones.seconds)}. The median phone spends "
            f"{duration(spent.seconds.median)}, {spent.bytes.median / 1000:.0f} kB and {spent.joules.median:.0f} J. "
            f"{missed:,} of {report.phones.asked:,} questions to phones were not answered in time."
        )
    yield from report.notes


def _worth(report: PurchaseReport) -> list[tuple[str, str]]:
    """Return the accuracy of CNNs, where any were trained."""
    worth = report.worth
    if worth is None:
        return []
    return [
        ("accuracy of a CNN trained on them; on random candidates", f"{percent(worth.bought)}; {percent(worth.random)}")
    ]
