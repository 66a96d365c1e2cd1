"""Which ways of sharing answer to a question, and why the others do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from simulations.reports.words import listed, percent
from simulations.studies.compare.report import MethodRow
from simulations.studies.compare.table import CRITERIA
from strategies.privacy.sum_graph import FEWEST

SUMS = "sum"
"""What the names of methods by secure sums have in them."""


@dataclass(frozen=True)
class Question:
    """Who asks.

    Attributes:
        owners: Institutions that would share.
        distrust: Whom one does not trust: of `simulations.studies.compare.report.Whom`.
        least: The utility that has to be retained, a share.
        most: The largest risk that is accepted, of any criterion, to those who are not trusted.
        proven: Whether differential privacy has to be proven.
    """

    owners: int = 4
    distrust: frozenset[str] = frozenset(("cloud",))
    least: float = 0.8
    most: float = 0.2
    proven: bool = False

    def __str__(self) -> str:
        whom = listed([f"the {each}" for each in sorted(self.distrust)]) if self.distrust else "nobody"
        proof = ", with a proof of differential privacy" if self.proven else ""
        return (
            f"{self.owners} institutions that distrust {whom}, want at least {percent(self.least, 0)} of the utility"
            f" and accept a risk of {percent(self.most, 0)} at most{proof}"
        )


@dataclass(frozen=True)
class Answer:
    """What is said of one method.

    Attributes:
        against: Why it does not remain; empty where it does.
        open: What is not known of it.
    """

    name: str
    title: str
    against: tuple[str, ...]
    open: tuple[str, ...]


def choose(question: Question, rows: Sequence[MethodRow]) -> list[Answer]:
    """Answer for every method: those that remain first, the one with the smallest of its largest risks first."""
    answers = [(_answer(question, row), _largest(question, row), row) for row in rows]
    answers.sort(key=lambda each: (bool(each[0].against), each[1], -_utility(each[2])))
    return [answer for answer, *_ in answers]


def _answer(question: Question, row: MethodRow) -> Answer:
    against, unknown = [], []
    if SUMS in row.name and question.owners < FEWEST:
        against.append(f"a sum of fewer than {FEWEST} owners hides nobody")
    share = None if row.worth is None else row.worth.retained
    if share is None:
        against.append("its utility was not shown")
    elif share.value < question.least:
        against.append(f"it retains {percent(share.value, 0)} of the utility")
    elif share.low < question.least:
        unknown.append(f"it retains {percent(share.value, 0)}, but not less than {percent(share.low, 0)} is shown")
    if question.proven and (row.promise is None or row.promise.epsilon is None):
        against.append("nothing is proven")
    for criterion in CRITERIA:
        worst = row.worst(criterion, question.distrust)
        if worst is None or worst.risk is None:
            if question.distrust:
                unknown.append(f"{criterion} was not measured for them")
        elif worst.risk.value > question.most:
            against.append(f"{criterion} by {worst.observer}: risk {percent(worst.risk.value, 0)}")
        elif worst.risk.high > question.most:
            unknown.append(f"{criterion}: a risk of up to {percent(worst.risk.high, 0)} is not ruled out")
    return Answer(row.name, row.title, tuple(against), tuple(unknown))


def _largest(question: Question, row: MethodRow) -> float:
    found = [row.worst(criterion, question.distrust) for criterion in CRITERIA]
    return max((each.risk.value for each in found if each is not None and each.risk is not None), default=0.0)


def _utility(row: MethodRow) -> float:
    return row.worth.retained.value if row.worth is not None and row.worth.retained is not None else -1.0
