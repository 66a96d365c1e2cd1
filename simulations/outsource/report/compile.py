"""From finished training to its report."""

from collections.abc import Mapping, Sequence

import numpy as np

from parties.outsource.owner import Appraisal
from parties.outsource.workflow import OutsourceRecord
from protocol.flower import FIRST_NODE_ID
from simulations.grids import worker_count
from simulations.outsource.report.model import OutsourceOutcome, OutsourceReport, TradeOff
from simulations.outsource.scenario import OutsourceScenario
from simulations.outsource.scoring import AttackScore, Scoring, most_frequent, wilson
from simulations.outsource.tradeoff import Point
from simulations.outsource.world import OutsourceWorld
from simulations.report.failed import failed_steps
from simulations.report.model import Learned
from simulations.report.versions import versions
from simulations.traffic import Flow
from strategies.obfuscation import Obfuscation
from strategies.privacy_scores import SCORES


def compile_report(
    scenario: OutsourceScenario,
    world: OutsourceWorld,
    record: OutsourceRecord,
    appraisals: Mapping[int, Appraisal],
    digest: str,
    scoring: Scoring,
    points: Sequence[Point],
    flows: list[Flow],
    equipment: str,
    timings: Mapping[str, float],
) -> OutsourceReport:
    """Write down what happened; `points` are those of clean training, then those of the scenario's comparison."""
    correct = sum(appraisal.correct for appraisal in appraisals.values())
    tested = sum(appraisal.tested for appraisal in appraisals.values())
    # Owners of one model test it on the same images: the interval is that of these.
    low, high = wilson(correct / tested, len(world.tests.tasks))
    originals = scoring.truth.images[scoring.truth.groups[scoring.places, 0]]
    outcome = OutsourceOutcome(
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
        reference=points[0].accuracy,
        majority=most_frequent(world.tests.tasks),
        privacy={name: float(score(originals, scoring.pictures).mean()) for name, score in SCORES.items()},
    )
    own = _tradeoff(scenario.obfuscation.setting, Point(outcome.accuracy, outcome.privacy["dSSIM"]), own=True)
    compared = [_tradeoff(*pair) for pair in zip(scenario.compared, points[1:], strict=True)]
    return OutsourceReport(
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        summary=summary(outcome, scoring.done.scores),
        outcome=outcome,
        attacks=scoring.done.scores,
        tradeoffs=[own, *compared],
        losses=record.losses,
        trained_on=equipment,
        traffic=flows,
        timings=dict(timings),
        failed=failed_steps(record.failures, lambda node_id: f"owner-{node_id - FIRST_NODE_ID + 1}"),
        learned=learned(outcome, scoring.done.scores),
        notes=world.notes,
        versions=versions(),
    )


def summary(outcome: OutsourceOutcome, attacks: Mapping[str, AttackScore]) -> str:
    """Say in one sentence what came of it."""
    text = (
        f"The model names {outcome.accuracy:.1%} of clean test images right, trained on obfuscated ones alone, "
        f"against {outcome.reference:.1%} when trained as long on clean ones"
    )
    worst = worst_attack(attacks)
    if worst is not None and worst.after is not None and worst.chance is not None:
        text += (
            f"; the worst attack on what the service saw names the class of {worst.after:.0%} of the images "
            f"(guessing: {worst.chance:.0%})"
        )
    return text + "."


def worst_attack(attacks: Mapping[str, AttackScore]) -> AttackScore | None:
    """Return the attack that names most classes of images."""
    named = [attacks[name] for name in attacks if name != "label" and attacks[name].after is not None]
    return max(named, key=lambda attack: attack.after or 0.0, default=None)


def learned(outcome: OutsourceOutcome, attacks: Mapping[str, AttackScore]) -> list[Learned]:
    """Say what each party learned."""
    lines = [
        Learned(
            observer="service",
            what="obfuscated pictures and their labels",
            detail=f"{outcome.pictures:,} pictures, {outcome.sent:,} bytes; never which images are in one, nor weights",
        )
    ]
    for attack in attacks.values():
        if attack.after is not None and attack.low is not None and attack.high is not None:
            guessing = "" if attack.chance is None else f"; guessing: {attack.chance:.1%}"
            lines.append(
                Learned(
                    observer="service",
                    what=f"{attack.title}, knowing {attack.knows}",
                    detail=f"{attack.after:.1%} ({attack.low:.1%} to {attack.high:.1%}) {attack.measure}{guessing}",
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
