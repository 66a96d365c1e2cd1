"""What the report of a sweep says: the schema of its ``report.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Range(BaseModel):
    """The lowest, the middle and the highest of several worlds.

    Lowest and highest are a confidence interval of the median: of 93.75 % for 5 worlds, 1 - 2^(1 - n) for n.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    median: float
    high: float


class SweepPoint(BaseModel):
    """All worlds with one share of noise sellers.

    Attributes
    ----------
    noise : float
        Share of sellers who hold only what nobody asked for.
    candidates, bought : Range or None
        Precision of what matched (the paper's Fig. 6) and of what was bought; None where there was nothing.
    recall : Range or None
        Share of the wanted images that matched.
    digests : list of str
        The outcome of each purchase.
    """

    model_config = ConfigDict(frozen=True)

    noise: float
    candidates: Range | None
    bought: Range | None
    recall: Range | None
    digests: list[str]


class RadiusPoint(BaseModel):
    """Mean precision and recall, over several worlds, of what lies within a radius (lattice units) of a sample."""

    model_config = ConfigDict(frozen=True)

    radius: int
    precision: float
    recall: float


class SweepReport(BaseModel):
    """A sweep, written down.

    Attributes
    ----------
    kind : str
        Tells it from the report of one purchase.
    schema_version : int
        Raised with every change of the schema that a reader could notice.
    scenario, seed
        The scenario, defaults included, and its first seed.
    summary : str
        One sentence on what came out.
    points : list of SweepPoint
        By share of noise.
    radius : int
        R, in lattice units.
    curve_noise : float
        Share of noise sellers in the worlds of `curve`.
    curve : list of RadiusPoint
        What other choices of R would have done.
    seconds : float
        Wall time.
    versions : dict of str to str
        Versions of Parley and of the libraries that the outcome depends on.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["sweep"] = "sweep"
    schema_version: int = 1
    scenario: dict[str, Any]
    seed: int
    summary: str
    points: list[SweepPoint]
    radius: int
    curve_noise: float
    curve: list[RadiusPoint]
    seconds: float
    versions: dict[str, str]
