"""Outsourced training in words, and as tables for the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import percent
from simulations.workflows.outsource.compared import IMAGES
from simulations.workflows.outsource.report import OutsourceOutcome, OutsourceReport, TradeOff
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scores import AttackScore
from strategies.obfuscation import Obfuscation


def summary(outcome: OutsourceOutcome, attacks: Mapping[str, AttackScore]) -> str:
    """Say in one sentence what came of it."""
    text = (
        f"Trained on obfuscated images alone, the model has an accuracy of {percent(outcome.accuracy)} on clean test "
        f"images; trained as long on clean images, {percent(outcome.reference)}"
    )
    worst = worst_attack(attacks)
    if worst is not None and worst.after is not None and worst.chance is not None:
        text += (
            f". The best attack on what the service saw finds the class of the images with an accuracy of "
            f"{percent(worst.after)} (majority-class baseline: {percent(worst.chance)})"
        )
    return text + "."


def worst_attack(attacks: Mapping[str, AttackScore]) -> AttackScore | None:
    """Return the attack that finds the class of most images."""
    others = ("label", "membership")
    named = [attacks[name] for name in attacks if name not in others and attacks[name].after is not None]
    return max(named, key=lambda attack: attack.after or 0.0, default=None)


def learned(outcome: OutsourceOutcome, attacks: Mapping[str, AttackScore]) -> list[Learned]:
    """Say what each party learned."""
    lines = [
        Learned(
            observer="service",
            what="obfuscated images and their labels",
            detail=f"{outcome.pictures:,} images, {outcome.sent:,} bytes; never what was mixed, nor the weights",
        )
    ]
    for attack in attacks.values():
        if attack.after is not None and attack.low is not None and attack.high is not None:
            baseline = "" if attack.chance is None else f"; majority-class baseline {percent(attack.chance)}"
            lines.append(
                Learned(
                    observer="service",
                    what=f"{attack.title}, knowing {attack.knows}",
                    detail=f"{attack.measure}: {percent(attack.after)} ({percent(attack.low)} to "
                    f"{percent(attack.high)}){baseline}",
                )
            )
    return lines


def notes(scenario: OutsourceScenario, others: Sequence[Obfuscation]) -> list[str]:
    """Say how the other settings were attacked."""
    if not others:
        return []
    count = min(IMAGES, scenario.images.training)
    return [
        f"Other settings are attacked as if an owner of {count} of the images had chosen"
        " them, by fewer attacks and with less training than this run's own."
    ]


def tables(report: OutsourceReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    table = Table(title=f"outsource, seed {report.seed}", show_header=False, title_justify="left")
    table.add_column(style="cyan")
    table.add_column(justify="right")
    interval = f"{percent(outcome.low)} to {percent(outcome.high)}"
    for row in (
        ("owners, refused", f"{outcome.owners + outcome.refused}, {outcome.refused}"),
        ("images, mixtures per epoch", f"{outcome.images:,}, {outcome.mixtures:,}"),
        (
            "accuracy on clean images",
            f"{percent(outcome.accuracy)} ({interval})",
        ),
        ("trained on clean images instead", percent(outcome.reference)),
        *((f"privacy: {name}", f"{value:.3g}") for name, value in outcome.privacy.items()),
        *(
            [(f"FID by {outcome.fid_of}", f"{outcome.fid.value:.3g} ({outcome.fid.low:.3g} to {outcome.fid.high:.3g})")]
            if outcome.fid
            else []
        ),
        ("bytes sent", f"{outcome.sent:,}"),
        ("seconds", f"{report.timings['total']:.1f}"),
        ("digest", outcome.digest[:16]),
    ):
        table.add_row(*row)
    yield table
    columns = ("attack", "accuracy", "as sent", "majority class", "dSSIM")
    attacks = Table(*columns, title="Attacks on what the service sees", title_justify="left")
    for attack in report.attacks.values():
        attacks.add_row(*_row(attack))
    yield attacks
    plot = Table("setting", "privacy (dSSIM)", "accuracy", title="Privacy and utility", title_justify="left")
    for point in report.tradeoffs:
        plot.add_row(setting_words(point), f"{point.privacy:.2f}", percent(point.accuracy))
    yield plot
    yield from evaluation_tables(report)
    yield report.summary
    yield from report.notes


def _row(attack: AttackScore) -> tuple[str, ...]:
    if attack.fails is not None:
        return attack.title, f"does not apply: {attack.fails}", "", "", ""
    interval = "" if attack.low is None else f" ({percent(attack.low)} to {percent(attack.high)})"
    before, after = attack.dissimilarity_before, attack.dissimilarity
    dissimilarity = "" if after is None else f"{after:.2f}" if before is None else f"{before:.2f} to {after:.2f}"
    shares = (percent(attack.after) + interval, percent(attack.before), percent(attack.chance))
    return attack.title, *shares, dissimilarity


def setting_words(point: TradeOff) -> str:
    """Write a setting on one line.

    Examples:
        >>> setting_words(TradeOff(technique="noise-mix", weights=(0.75, 0.25), strength=20, accuracy=1, privacy=0))
        'noise-mix 0.75/0.25, 20'
    """
    weights = point.weights if isinstance(point.weights, str) else "/".join(f"{weight:g}" for weight in point.weights)
    strengths = point.strength if isinstance(point.strength, tuple) else (point.strength,)
    strength = "".join(f", {each:g}" for each in strengths if each is not None)
    own = " (this run)" if point.own else ""
    return f"{point.technique} {weights}{strength}{own}"
