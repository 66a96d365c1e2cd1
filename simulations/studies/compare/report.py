"""What a comparison says: the schema of its ``compare.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from simulations.reports.evaluation import Cost, Criterion, Estimate, Promise

SCHEMA_VERSION = 1
"""Raised with every change of the schema that a reader could notice."""

Whom = Literal["cloud", "participants", "public"]
"""Whom one may distrust: who coordinates, who takes part or buys, and everybody."""


SERVING = ("cloud", "service", "collector", "buyer", "reader")
"""Roles that have no images to share."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Risk(_Frozen):
    """What the strongest attack of one observer makes of one method.

    Attributes:
        whom: Who the observer may be.
        attack, knows: The attack with the highest mean risk over the seeds.
        risk: Over the seeds; None where the attack is not shown to work on the undefended form.
        rate, reference: Its success, and that of the same attacker without what was shared.
        victims: People, of all seeds together.
        runs: Names of the runs that it was measured in.
        by_design: It follows from what is shared, and was not measured.
    """

    observer: str
    whom: tuple[Whom, ...]
    criterion: Criterion
    what: str
    attack: str
    knows: str
    risk: Estimate | None
    rate: Estimate
    reference: float
    victims: int
    runs: tuple[str, ...]
    by_design: bool = False


class Worth(_Frozen):
    """What a method is good for.

    Attributes:
        retained: None where training on the originals is not shown to beat the baseline.
        accuracy: On fresh people.
        baseline, ceiling: Of the majority class, and trained alike on the originals.
    """

    task: str
    retained: Estimate | None
    accuracy: Estimate
    baseline: float
    ceiling: Estimate | None
    runs: tuple[str, ...]


class MethodRow(_Frozen):
    """One way of sharing.

    Attributes:
        risks: For each observer and criterion.
        costs: By role, the mean over seeds.
        whole_run: Whether the costs are those of another setting of the run, which its parties played.
        pictures: What the strongest attacker sees of the same people, data URIs; empty where nothing can be seen.
        seen_by: Whose view that is.
        runs: Its runs.
    """

    name: str
    title: str
    workflow: str
    shares: str
    worth: Worth | None
    risks: tuple[Risk, ...]
    promise: Promise | None
    costs: tuple[Cost, ...]
    whole_run: bool
    pictures: tuple[str, ...]
    seen_by: str
    runs: tuple[str, ...]

    @property
    def sharing(self) -> Cost | None:
        """The cost of the role that has images to share; None where nothing was measured."""
        return next((each for each in self.costs if each.role not in SERVING and each.phone is not None), None)

    def worst(
        self, criterion: Criterion, whom: frozenset[str] = frozenset(("cloud", "participants", "public"))
    ) -> Risk | None:
        """Return the largest risk of a criterion, of observers among these; None where none was measured."""
        known = [
            each
            for each in self.risks
            if each.criterion == criterion and each.risk is not None and whom & set(each.whom)
        ]
        return max(known, key=lambda each: each.risk.value if each.risk else 0.0, default=None)

    def largest(self) -> Risk | None:
        """Return the largest risk of all criteria that were measured."""
        found = [each for each in self.risks if each.risk is not None]
        return max(found, key=lambda each: each.risk.value if each.risk else 0.0, default=None)


class Pair(_Frozen):
    """Two methods on the same people: how much more of something the first has.

    Attributes:
        measure: A criterion of leaks, or ``utility``.
        mean, low, high: The difference, first less second, with its interval after Holm's correction.
        shown: Whether it is shown not to be 0.
        people, seeds: On how many people, in how many seeds.
    """

    first: str
    second: str
    measure: str
    mean: float
    low: float
    high: float
    p: float
    shown: bool
    people: int
    seeds: int
    runs: tuple[str, ...]


class Played(_Frozen):
    """A run.

    Attributes:
        digest: Of its outcome.
        page: Its report, from the comparison's folder.
        seconds: Of CPU that playing it took.
    """

    name: str
    workflow: str
    seed: int
    digest: str
    page: str
    seconds: float
    methods: tuple[str, ...]


class ComparisonReport(_Frozen):
    """A comparison, written down.

    Attributes:
        comparison: What was compared.
        cannot: What it cannot show, in sentences.
        originals: The people whose pictures are shown, data URIs.
        comparisons: How many differences are judged together.
        attacks: All attacks that were tried, by criterion.
        left_out: Those that do not count here.
        digest: SHA-256 of all numbers that do not depend on the clock.
        seconds: Of CPU, all runs together.
    """

    kind: Literal["comparison"] = "comparison"
    schema_version: int = SCHEMA_VERSION
    summary: str
    comparison: dict[str, Any]
    cannot: tuple[str, ...]
    methods: tuple[MethodRow, ...]
    pairs: tuple[Pair, ...]
    comparisons: int
    originals: tuple[str, ...]
    attacks: dict[Criterion, tuple[str, ...]]
    left_out: tuple[str, ...]
    runs: tuple[Played, ...]
    digest: str
    seconds: float
    versions: dict[str, str]

    def row(self, name: str) -> MethodRow:
        """Return a method's row."""
        return next(each for each in self.methods if each.name == name)
