"""What the report of outsourced training says: the schema of its ``report.json``."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from parties.outsource.owner import Appraisal
from parties.outsource.workflow import OutsourceRecord
from protocol.errors import BadScenario
from protocol.storage.user_files import user_path
from simulations.evaluation.estimates import estimate
from simulations.reports.evaluation import Estimate
from simulations.reports.model import Flow, RunReport
from simulations.workflows.outsource.attacks import ATTACKS, DoesNotApply
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scores import AttackScore, interval, most_frequent
from simulations.workflows.outsource.scoring import Scoring
from simulations.workflows.outsource.tradeoff import Point
from simulations.workflows.outsource.world import OutsourceWorld
from strategies.obfuscation import Obfuscation
from strategies.scores.inception import ClassifierFeatures, InceptionFeatures
from strategies.scores.privacy_scores import SCORES, features_of, frechet, frechet_interval

SCHEMA_VERSION = 2
"""Raised with every change of the schema that a reader could notice."""
FEWEST = 10
"""Mixtures that a Frechet distance compares, at least."""


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
        fid: Frechet distance between these mixtures and images, with a 95 % interval (jackknife); None where there are
            fewer than `FEWEST`, or no network.
        fid_of: Whose features it compares.
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
    fid: Estimate | None = None
    fid_of: str = ""


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
    strength: float | tuple[float, ...] | None
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
    recogniser: nn.Module | DoesNotApply,
) -> OutsourceOutcome:
    """Return the numbers that sum a training up; `clean` is that on clean images, `recogniser` a CNN for these."""
    correct = sum(appraisal.correct for appraisal in appraisals.values())
    tested = sum(appraisal.tested for appraisal in appraisals.values())
    # Owners of one model test it on the same images: the interval is that of these.
    count = len(world.tests.tasks)
    low, high = interval(round(count * correct / tested), count)
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
        **_fid(scenario, recogniser, originals, scoring.pictures),
    )


def _fid(
    scenario: OutsourceScenario, recogniser: nn.Module | DoesNotApply, originals: Tensor, pictures: Tensor
) -> dict[str, Any]:
    """Return the Frechet distance between originals and what was sent, and whose features it compares.

    Raises:
        BadScenario: When the file of weights is none.
    """
    weights = scenario.attackers.inception
    if len(originals) < FEWEST:
        return {}
    named = "the attackers' compact network" if weights is None else "Inception v3"
    network: nn.Module
    if weights is not None:
        network = inception(weights)
    elif isinstance(recogniser, nn.Module):
        network = ClassifierFeatures(recogniser)
    else:
        return {}
    first, second = (features_of(each, network) for each in (originals, pictures))
    value, (low, high) = frechet(first, second), frechet_interval(first, second)
    return {"fid": estimate(value, low, high, len(first)), "fid_of": named}


def inception(weights: str) -> nn.Module:
    """Return Inception v3 with a user's weights.

    Raises:
        BadScenario: When the file is none.
    """
    try:
        return InceptionFeatures(torch.load(user_path(weights), map_location="cpu", weights_only=True))
    except Exception as error:  # a file of somebody's: what torch makes of it is of many kinds
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise BadScenario(f"attackers.inception: {weights} is no file of these weights: {why}") from None


def tradeoffs(
    scenario: OutsourceScenario, setting: Obfuscation, outcome: OutsourceOutcome, compared: Sequence[Point]
) -> list[TradeOff]:
    """Return the points of the privacy-utility plot, the owners' own setting first."""
    own = _tradeoff(setting, Point(outcome.accuracy, outcome.privacy["dSSIM"]), own=True)
    return [own, *(_tradeoff(*pair) for pair in zip(scenario.compared, compared, strict=True))]


def _tradeoff(setting: Obfuscation, point: Point, own: bool = False) -> TradeOff:
    weights, strengths = setting.weights or setting.info.weights, tuple(setting.strengths.values())
    return TradeOff(
        technique=setting.technique,
        weights=weights if isinstance(weights, str) else tuple(float(weight) for weight in np.atleast_1d(weights)),
        strength=None if not strengths else strengths[0] if len(strengths) == 1 else strengths,
        accuracy=point.accuracy,
        privacy=point.privacy,
        own=own,
    )
