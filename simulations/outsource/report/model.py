"""What the report of outsourced training says: the schema of its ``report.json``."""

from pydantic import BaseModel, ConfigDict

from simulations.outsource.scoring import AttackScore
from simulations.report.model import RunReport

SCHEMA_VERSION = 1
"""Raised with every change of the schema that a reader could notice."""


class OutsourceOutcome(BaseModel):
    """The result.

    Attributes
    ----------
    digest : str
        SHA-256 over the model and what owners found of it: the same on every grid.
    owners, refused : int
        Owners trained for, and owners that were done without.
    images, mixtures : int
        Images of all owners, and mixtures in an epoch.
    epochs, pictures : int
        Epochs, and pictures that were sent in all.
    sent : int
        Bytes of parts that were sent.
    accuracy, low, high : float
        Share of clean test images whose label the model names, mean over owners, with its 95 % interval (Wilson).
    reference : float
        The same of a model trained as long on clean images.
    majority : float
        Share of the most frequent label among the test images.
    privacy : dict of str to float
        Mean score, over mixtures of the last epoch, between a mixture and the image that contributes most.
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

    Attributes
    ----------
    technique, weights, strength
        The setting, as a scenario writes it.
    accuracy : float
        On clean test images.
    privacy : float
        Mean dSSIM.
    own : bool
        Whether it is the owners' own, played through the workflow.
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

    Attributes
    ----------
    outcome : OutsourceOutcome
    attacks : dict of str to AttackScore
        By the attack's name; on what the first owner sent.
    tradeoffs : list of TradeOff
        The privacy-utility plot, the owners' own setting first.
    losses : list of float
        Mean training loss of each epoch.
    trained_on : str
        What the service's workshop is.
    """

    schema_version: int = SCHEMA_VERSION
    outcome: OutsourceOutcome
    attacks: dict[str, AttackScore]
    tradeoffs: list[TradeOff]
    losses: list[float | None]
    trained_on: str
