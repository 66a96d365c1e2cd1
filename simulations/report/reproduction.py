"""What the report of a reproduction says: a paper's numbers beside ours, and which of its claims hold here."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

Verdict = Literal["holds", "does not hold", "not shown"]


class Interval(BaseModel):
    """A mean over seeds and its 95 % confidence interval (Student's t)."""

    model_config = ConfigDict(frozen=True)

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Estimate the mean behind independent values.

        Parameters
        ----------
        values : sequence of float
            At least two.

        Examples
        --------
        >>> interval = Interval.of([0.7, 0.8, 0.9])
        >>> round(interval.low, 3), round(interval.mean, 3), round(interval.high, 3)
        (0.552, 0.8, 1.048)
        """
        mean, count = float(np.mean(values)), len(values)
        half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
        return cls(low=mean - half, mean=mean, high=mean + half)


class Cell(BaseModel):
    """One number: the paper's, None where it gives none, and ours."""

    model_config = ConfigDict(frozen=True)

    paper: float | None
    ours: Interval


class Row(BaseModel):
    """One setting, measured for each column."""

    model_config = ConfigDict(frozen=True)

    what: tuple[str, ...]
    cells: dict[str, Cell]


class NumberTable(BaseModel):
    """A table of its own, beside the main one; here a row may lack a column."""

    model_config = ConfigDict(frozen=True)

    title: str
    columns: list[str]
    rows: list[Row]


class Claim(BaseModel):
    """Something the paper says, and what became of it here.

    ``holds`` and ``does not hold`` are said where the 95 % intervals of the differences that decide are on one side of
    0; else it was ``not shown``, either way, with so many seeds.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    verdict: Verdict
    evidence: str


class ReproductionReport(BaseModel):
    """A reproduction, written down.

    Attributes
    ----------
    kind : str
        Tells it from other reports.
    schema_version : int
        Raised with every change of the schema that a reader could notice.
    name, title, summary : str
        Which one it is, and one sentence on what came out.
    settings : list of str
        Sentences: what was done, and how it differs from the paper.
    columns : list of str
        What is compared: the keys of each row's cells.
    rows : list of Row
        All numbers, shares of 1.
    more : list of NumberTable
        Other tables of the paper.
    claims : list of Claim
    seeds : list of int
    equipment : str
        What the jobs ran on.
    devices : dict of str to int
        Jobs by the name of the device.
    seconds : float
        Wall time.
    versions : dict of str to str
        Versions of Parley and of the libraries that the numbers depend on.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["reproduction"] = "reproduction"
    schema_version: int = 1
    name: str
    title: str
    summary: str
    settings: list[str]
    columns: list[str]
    rows: list[Row]
    more: list[NumberTable] = []
    claims: list[Claim]
    seeds: list[int]
    equipment: str
    devices: dict[str, int]
    seconds: float
    versions: dict[str, str]


def judge(text: str, differences: dict[str, Sequence[float]]) -> Claim:
    """Decide a claim that says that each of some differences is positive.

    Parameters
    ----------
    text : str
        The claim.
    differences : dict of str to sequence of float
        One value per seed, by the name of the difference.

    Examples
    --------
    >>> judge("a beats b", {"a - b": [0.1, 0.2, 0.15]}).verdict
    'holds'
    >>> judge("a beats b and c", {"a - b": [0.1, 0.2, 0.15], "a - c": [-0.1, 0.1, 0.0]}).verdict
    'not shown'
    """
    known = {name: Interval.of(values) for name, values in differences.items()}
    if all(interval.low > 0 for interval in known.values()):
        verdict: Verdict = "holds"
    elif any(interval.high < 0 for interval in known.values()):
        verdict = "does not hold"
    else:
        verdict = "not shown"
    return Claim(text=text, verdict=verdict, evidence="; ".join(f"{name}: {points(x)}" for name, x in known.items()))


def points(difference: Interval) -> str:
    """Write a difference of shares in percentage points.

    Examples
    --------
    >>> points(Interval(low=-0.01, mean=0.02, high=0.05))
    '+2.0 points (-1.0 to +5.0)'
    """
    low, mean, high = (f"{100 * value:+.1f}" for value in (difference.low, difference.mean, difference.high))
    return f"{mean} points ({low} to {high})"
