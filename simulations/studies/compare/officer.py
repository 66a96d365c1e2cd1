"""A summary for who has to answer for data protection: the criteria of Opinion 05/2014 of the Article 29 Working Party.

Its section 2.2 asks of any anonymisation whether one can still single out a person, link records of one, or infer
something about one. The European Data Protection Board's Opinion 28/2024 asks for all means that are reasonably likely
to be used: so it is said which attackers were tried, and which were not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from simulations.reports.evaluation import Criterion
from simulations.reports.words import percent
from simulations.studies.compare.report import ComparisonReport, MethodRow

THREE: tuple[Criterion, ...] = ("singling-out", "linkability", "inference")
Verdict = Literal["yes", "not shown", "not tried", "no: nothing is shared"]
NOT_TRIED = (
    "Attackers with other images of the same people from elsewhere than the cohort, such as social networks.",
    "Attackers who train on more public images than the cohort has, or larger networks than are named here.",
    "Several observers who put together what they received, but for the cloud and the buyer of a purchase.",
    "Faults of software and machines, and who reads memory or traffic below the messages of the protocols.",
    "The same images shared again, later or by another method: losses add up.",
)


@dataclass(frozen=True)
class Opinion:
    """What is said of one method: whether each criterion is still possible, and on what ground."""

    title: str
    verdicts: dict[Criterion, tuple[Verdict, str]]


def opinion(report: ComparisonReport) -> list[Opinion]:
    """Answer the three questions for every method.

    "Yes" is said where the interval of the risk of the strongest attack is above 0. "No" is never said of what is
    shared: that an attack fails is no proof.
    """
    return [Opinion(row.title, {each: _verdict(row, each) for each in THREE}) for row in report.methods]


def _verdict(row: MethodRow, criterion: Criterion) -> tuple[Verdict, str]:
    some: Sequence[object] = [each for each in row.risks if each.criterion == criterion]
    worst = row.worst(criterion)
    if worst is None or worst.risk is None:
        return "not tried", "no attack that works on the originals" if some else ""
    if worst.by_design:
        return "no: nothing is shared", ""
    ground = f"risk {percent(worst.risk.value, 0)}, {worst.observer}"
    return ("yes" if worst.risk.low > 0 else "not shown"), ground
