"""The rows on which all workflows report alike: what leaks, what it is worth, what it costs, what is proven.

`simulations.evaluation` makes them.
"""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field

Criterion = Literal["singling-out", "linkability", "inference", "reconstruction", "membership"]
"""What a guess is about: the three of the Article 29 Working Party (Opinion 05/2014, section 2), and two more.

Singling out a person; whose image it is, or whether two are of one person; an attribute, a class or a label, or a
property of a group; what an image shows; and whether an image was used.
"""


class Estimate(BaseModel):
    """A number with its 95 % interval.

    Attributes:
        n: Independent looks at it, at most: guesses, images, trainings; 0 for what is known and not estimated.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: Annotated[int, Ge(0)]


class Leak(BaseModel):
    """What one attack makes of what one observer received.

    Attributes:
        method: The way of sharing.
        observer, criterion, what: Who looks, and what about.
        attack, knows: By which attack, and what it knows beside what the observer received.
        budget: How often the default amount of training or search the attack had.
        victims: People, or other independent owners of what was guessed.
        rate: Success of the attack on what was shared.
        baseline: Success of the same attacker without it: guessing, the majority, the prior.
        control: Success of the same attack on people or images that were not shared; None where that makes no sense.
        ceiling: Success of the same attack on the undefended form of the same images; None where this is it.
        risk: ``(rate - reference) / (1 - reference)``, cut at 0, where the reference is the larger of baseline and
            control; None where the attack is broken.
        averted: ``1 - risk / risk of the undefended form``; None without a ceiling.
        broken: The attack does not beat its reference on the undefended form: nothing follows from its failure.
        strongest: Of all attacks of this method, observer and criterion it has the highest risk; where all are broken,
            it is the first.
        measures: The same attack on other scales, such as the SSIM of what it restores.
        people: Mean success by person, where people are of a cohort: not written to ``report.json``.
    """

    model_config = ConfigDict(frozen=True)
    keyed_by: ClassVar[tuple[str, ...]] = ("method", "criterion")

    method: str
    observer: str
    criterion: Criterion
    what: str
    attack: str
    knows: str
    budget: float = 1.0
    victims: int
    rate: Estimate
    baseline: Estimate
    control: Estimate | None = None
    ceiling: Estimate | None = None
    risk: Estimate | None
    averted: Estimate | None = None
    broken: bool = False
    strongest: bool = False
    measures: dict[str, Estimate] = {}
    people: dict[int, float] = Field(default={}, exclude=True, repr=False)

    @property
    def key(self) -> tuple[str, str, str, str, float]:
        """What tells this row from the others of a report."""
        return self.method, self.observer, self.criterion, f"{self.what}; {self.attack}", self.budget


class Utility(BaseModel):
    """What a method is good for.

    Attributes:
        task: What was learnt, and by whom.
        accuracy: On fresh people or images.
        baseline: Of naming the most frequent class always.
        ceiling: Of the same training on the originals; None where it was not trained.
        retained: ``(accuracy - baseline) / (ceiling - baseline)``; None where the ceiling is not above the baseline.
        people: Mean success by person, where people are of a cohort: not written to ``report.json``.
    """

    model_config = ConfigDict(frozen=True)
    keyed_by: ClassVar[tuple[str, ...]] = ("method",)

    method: str
    task: str
    accuracy: Estimate
    baseline: float
    ceiling: Estimate | None
    retained: Estimate | None
    people: dict[int, float] = Field(default={}, exclude=True, repr=False)

    @property
    def learns(self) -> bool:
        """Whether it is shown to beat the majority-class baseline."""
        return self.accuracy.low > self.baseline


class OnePhone(BaseModel):
    """What the work of one party would take on a phone: seconds of work and of moving bytes, and joules of both."""

    model_config = ConfigDict(frozen=True)

    model: str
    seconds: float
    moving: float
    joules: float


class Cost(BaseModel):
    """What a run cost the parties of one role, all of them together.

    Attributes:
        parties: How many.
        seconds: Of CPU, as measured; None on a grid that does not measure them.
        sent, received: Bytes.
        messages: Sent and received.
        rounds: Times that the server waited for one of them, the most of any; 0 for the server.
        phone: Of one party, on average; None for servers, and where no seconds were measured.
    """

    model_config = ConfigDict(frozen=True)
    keyed_by: ClassVar[tuple[str, ...]] = ("role",)

    role: str
    parties: int
    seconds: float | None
    sent: int
    received: int
    messages: int
    rounds: int
    phone: OnePhone | None


class Promise(BaseModel):
    """What is proven of a method.

    Attributes:
        proven: In a sentence, with what it does not cover; "nothing is proven" where nothing is.
        epsilon, delta: Differential privacy; None where there is none.
        unit: Whose presence or change it hides.
        neighbours: Which two inputs it makes hard to tell apart.
    """

    model_config = ConfigDict(frozen=True)
    keyed_by: ClassVar[tuple[str, ...]] = ("method",)

    method: str
    proven: str
    epsilon: float | None = None
    delta: float | None = None
    unit: str | None = None
    neighbours: str | None = None


NOTHING = "nothing is proven"


class Effect(BaseModel):
    """What the cheats of a run changed: a number with them, and in the honest twin, the same world without them.

    Attributes:
        cheat: Who is honest in the twin: a cheat, or all; empty in reports of before.
        part: ``leak``, ``utility`` or ``money``.
        what: Which row, or whose money.
        unit: Of both numbers.
    """

    model_config = ConfigDict(frozen=True)

    cheat: str = ""
    part: Literal["leak", "utility", "money"]
    what: str
    unit: str
    honest: float
    cheated: float

    @property
    def difference(self) -> float:
        """How much more there is with the cheats."""
        return self.cheated - self.honest
