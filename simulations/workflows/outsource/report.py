"""What the report of outsourced training says: the schema of its ``report.json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.table import Table

from parties.outsource.owner import Appraisal
from parties.outsource.workflow import OutsourceRecord
from simulations.reports.model import Flow, Learned, RunReport
from simulations.reports.words import percent
from simulations.workflows.outsource.attacks import ATTACKS
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scoring import AttackScore, Scoring, most_frequent, wilson
from simulations.workflows.outsource.tradeoff import Point
from simulations.workflows.outsource.world import OutsourceWorld
from strategies.obfuscation import Obfuscation
from strategies.scores.privacy_scores import SCORES

SCHEMA_VERSION = 1
"""Raised with every change of the schema that a reader could notice."""


class OutsourceOutcome(BaseModel):
    """The result.

    Attributes:
        digest: SHA-256 over the model and what owners found of it: the same on every grid.
        owners, refused: Owners trained for, and owners that were done without.
        images, mixtures: Images of all owners, and mixtures in an epoch.
        epochs, pictures: Epochs, and pictures that were sent in all.
        sent: Bytes of parts that were sent.
        accuracy, low, high: Share of clean test images whose label the model names, mean over owners, with its 95 %
            interval (Wilson).
        reference: The same of a model trained as long on clean images.
        majority: Share of the most frequent label among the test images.
        privacy: Mean score, over mixtures of the last epoch, between a mixture and the image that contributes most.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    owners: int
    refused: int
    images: int
    mixtures: int
    epochs: int
    pictures: int
    sent: int
    accuracy: float
    low: float
    high: float
    reference: float
    majority: float
    privacy: dict[str, float]


class TradeOff(BaseModel):
    """One setting on the privacy-utility plot.

    Attributes:
        technique, weights, strength: The setting, as a scenario writes it.
        accuracy: On clean test images.
        privacy: Mean dSSIM.
        own: Whether it is the owners' own, played through the workflow.
    """

    model_config = ConfigDict(frozen=True)

    technique: str
    weights: tuple[float, ...] | str
    strength: float | None
    accuracy: float
    privacy: float
    own: bool = False


class OutsourceReport(RunReport):
    """Outsourced training, written down.

    Attributes:
        attacks: By the attack's name; on what the first owner sent.
        tradeoffs: The privacy-utility plot, the owners' own setting first.
        losses: Mean training loss of each epoch.
        trained_on: What the service's workshop is.
    """

    schema_version: int = SCHEMA_VERSION
    outcome: OutsourceOutcome
    attacks: dict[Literal[tuple(ATTACKS)], AttackScore]  # type: ignore[valid-type]
    tradeoffs: list[TradeOff]
    losses: list[float | None]
    trained_on: str


def outcome_of(
    scenario: OutsourceScenario,
    world: OutsourceWorld,
    record: OutsourceRecord,
    appraisals: Mapping[int, Appraisal],
    digest: str,
    scoring: Scoring,
    clean: Point,
    flows: Sequence[Flow],
) -> OutsourceOutcome:
    """Return the numbers that sum a training up; `clean` is that on clean images."""
    correct = sum(appraisal.correct for appraisal in appraisals.values())
    tested = sum(appraisal.tested for appraisal in appraisals.values())
    # Owners of one model test it on the same images: the interval is that of these.
    low, high = wilson(correct / tested, len(world.tests.tasks))
    originals = scoring.truth.images[scoring.truth.groups[scoring.places, 0]]
    return OutsourceOutcome(
        digest=digest,
        owners=len(record.enrolments),
        refused=len(world.owners) - len(record.enrolments),
        images=sum(len(held.pictures) for held in world.held),
        mixtures=sum(each.mixtures for each in record.enrolments.values()),
        epochs=scenario.service.epochs,
        pictures=record.pictures,
        sent=sum(flow.bytes for flow in flows if flow.kind == "Part"),
        accuracy=correct / tested,
        low=low,
        high=high,
        reference=clean.accuracy,
        majority=most_frequent(world.tests.tasks),
        privacy={name: float(score(originals, scoring.pictures).mean()) for name, score in SCORES.items()},
    )


def tradeoffs(scenario: OutsourceScenario, outcome: OutsourceOutcome, compared: Sequence[Point]) -> list[TradeOff]:
    """Return the points of the privacy-utility plot, the owners' own setting first."""
    own = _tradeoff(scenario.obfuscation.setting, Point(outcome.accuracy, outcome.privacy["dSSIM"]), own=True)
    return [own, *(_tradeoff(*pair) for pair in zip(scenario.compared, compared, strict=True))]


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
    named = [attacks[name] for name in attacks if name != "label" and attacks[name].after is not None]
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


def _tradeoff(setting: Obfuscation, point: Point, own: bool = False) -> TradeOff:
    weights = setting.weights or setting.info.weights
    usual = setting.info.usual if setting.info.strength else None
    return TradeOff(
        technique=setting.technique,
        weights=weights if isinstance(weights, str) else tuple(float(weight) for weight in np.atleast_1d(weights)),
        strength=usual if setting.strength is None else setting.strength,
        accuracy=point.accuracy,
        privacy=point.privacy,
        own=own,
    )


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
    strength = "" if point.strength is None else f", {point.strength:g}"
    own = " (this run)" if point.own else ""
    return f"{point.technique} {weights}{strength}{own}"
