"""A report as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.outsource.report.model import OutsourceReport
from simulations.outsource.report.words import percent, setting_words
from simulations.outsource.scoring import AttackScore


def tables(report: OutsourceReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    table = Table(title=f"outsource, seed {report.seed}", show_header=False, title_justify="left")
    table.add_column(style="cyan")
    table.add_column(justify="right")
    interval = f"{percent(outcome.low)} to {percent(outcome.high)}"
    for row in (
        ("owners, of them refused", f"{outcome.owners + outcome.refused}, {outcome.refused}"),
        ("images, mixtures per epoch", f"{outcome.images:,}, {outcome.mixtures:,}"),
        (
            "accuracy on clean images",
            f"{percent(outcome.accuracy)} ({interval})",
        ),
        ("trained on clean images instead", percent(outcome.reference)),
        *((f"privacy: {name}", f"{value:.3g}") for name, value in outcome.privacy.items()),
        ("bytes sent", f"{outcome.sent:,}"),
        ("seconds", f"{report.timings['total']:.1f}"),
        ("digest", outcome.digest[:16]),
    ):
        table.add_row(*row)
    yield table
    attacks = Table("attack", "succeeds", "without", "chance", "dSSIM", title="What the service sees gives away",
                    title_justify="left")  # fmt: skip
    for attack in report.attacks.values():
        attacks.add_row(*_row(attack))
    yield attacks
    plot = Table("setting", "privacy (dSSIM)", "accuracy", title="Privacy and utility", title_justify="left")
    for point in report.tradeoffs:
        plot.add_row(setting_words(point), f"{point.privacy:.2f}", percent(point.accuracy))
    yield plot
    yield report.summary
    yield from report.notes


def _row(attack: AttackScore) -> tuple[str, ...]:
    if attack.fails is not None:
        return attack.title, f"does not apply: {attack.fails}", "", "", ""
    interval = "" if attack.low is None else f" ({percent(attack.low)} to {percent(attack.high)})"
    before, after = attack.dissimilarity_before, attack.dissimilarity
    dissimilarity = "" if after is None else f"{after:.2f}" if before is None else f"{before:.2f} to {after:.2f}"
    return attack.title, percent(attack.after) + interval, percent(attack.before), percent(attack.chance), dissimilarity
