"""Settings of a crowdsourcing scenario."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, ValidationInfo, field_validator, model_validator

from protocol.errors import nearest
from protocol.mistakes import Misplaced
from protocol.settings import Section
from simulations.data import people
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import CohortSection
from strategies.pric.training import Recipe

CELEBA_ONLY = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Big_Lips", "Blurry", "Double_Chin",
    "Goatee", "High_Cheekbones", "Oval_Face", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns",
    "Straight_Hair", "Wavy_Hair", "Wearing_Lipstick",
)  # fmt: skip
"""CelebA's attributes that painted faces do not have."""

Weight = Annotated[float, Gt(0), Le(1e4)]
Many = Annotated[int, Ge(20), Le(1_000_000)]


class CollectorSection(Section):
    """The collector, and the extractor that it trains on its own labelled pictures."""

    hide: Annotated[tuple[str, ...], Len(1, 8)] = Field(("Eyeglasses",), description="attributes to hide, by name")
    tasks: Annotated[tuple[str, ...], Len(1, 16)] = Field(
        ("Male", "Heavy_Makeup", "Smiling"),
        description="what it trains on representations, chosen after they have arrived",
    )
    pictures: Many = Field(6000, description="its own pictures, to train the extractor and its attackers on")
    weight: Weight = Field(1.0, description="lambda of Eq. 6: larger keeps more of the picture and hides less")
    curve: Annotated[tuple[Weight, ...], Len(0, 10)] = Field(
        (10.0,), description="other lambdas, for the curve of utility against privacy"
    )
    bound: Literal["decoder", "local", "global"] = Field(
        "decoder",
        description="information kept, by decoder, or by Eq. 4 at each position (local) or of the picture (global)",
    )
    ascent: Literal["entropy", "flipped", "uniform"] = Field(
        "entropy", description="against the classifier: entropy (Eq. 6), or the bounded flipped and uniform"
    )
    conditional: bool = Field(True, description="keep I(x; z, u); false: I(x; z), the ablation")
    adversary_steps: Annotated[int, Ge(1), Le(32)] = Field(4, description="classifier's steps per extractor's step")
    epochs: Annotated[int, Ge(1), Le(1000)] = Field(8, description="rounds of training after one round of warm-up")
    batch: Annotated[int, Ge(2), Le(1024)] = Field(64, description="pictures per step")
    extractor: Literal["compact", "vgg16"] = Field(
        "compact", description="compact, or vgg16 as in the authors' follow-up paper"
    )
    quantised: bool = Field(True, description="send representations as bytes")

    def recipe(self, weight: float) -> Recipe:
        """Return the training settings for a lambda."""
        return Recipe(
            weight=weight,
            bound=self.bound,
            conditional=self.conditional,
            ascent=self.ascent,
            adversary_steps=self.adversary_steps,
            epochs=self.epochs,
            batch=self.batch,
        )

    def undefended(self) -> Recipe:
        """Return the training settings of an extractor that hides nothing; its classifier has no effect on it."""
        return replace(self.recipe(1.0), ascent="none", adversary_steps=1)

    @model_validator(mode="after")
    def _what_is_hidden_is_no_task(self) -> "CollectorSection":
        if both := set(self.hide) & set(self.tasks):
            raise ValueError(
                f"the task {min(both)} is also in collector.hide: participants do not send labels of hidden attributes"
            )
        return self


class FederatedSection(Section):
    """Training of the extractor by participants; the collector sees sums of gradients, and no pictures."""

    RENAMED: ClassVar = {"rate": "learning_rate", "adversary_rate": "adversary_learning_rate"}

    rounds: Annotated[int, Ge(0), Le(100_000)] = Field(
        0, description="rounds of training by participants; 0: the collector trains on its own pictures"
    )
    called: Annotated[int, Ge(3), Le(1000)] = Field(8, description="participants in each round")
    warm_up: Annotated[int, Ge(0), Le(100_000)] = Field(40, description="how many of the rounds are warm-up")
    learning_rate: Annotated[float, Gt(0), Le(1)] = Field(2e-4, description="the extractor's learning rate")
    adversary_learning_rate: Annotated[float, Gt(0), Le(1)] = Field(
        6e-3, description="the classifier's learning rate, which has to be higher"
    )


class ParticipantsSection(Section):
    """Participants, each with pictures of one person."""

    count: Annotated[int, Ge(20), Le(200_000)] = Field(1000, description="number of participants")
    album: Annotated[int, Ge(2), Le(1000)] = Field(4, description="pictures of each participant")


class AttackersSection(Section):
    """Attackers that try to infer hidden attributes; none is the classifier that the extractor was trained against."""

    pictures: Annotated[tuple[Many, ...], Len(0, 6)] = Field(
        (250, 1000), description="how many of the collector's pictures each attacker has; one more has all of them"
    )
    leaked: Annotated[float, Ge(0), Le(0.9)] = Field(
        0.25, description="share of participants whose hidden attributes have leaked, for another attacker"
    )
    budget: Annotated[int, Ge(1), Le(100)] = Field(
        4, description="how many times as long the strongest attacker trains as well; 1: no longer"
    )


class CrowdsourceScenario(Scenario):
    """Representations, crowdsourced."""

    crowd = "participant"
    roles = ("participant", "collector")

    description: str = Field("Representations that hide an attribute, crowdsourced.", description="one line about it")
    workflow: Literal["crowdsource"] = Field("crowdsource", description="the workflow")
    dataset: Literal["faces", "celeba"] = Field("faces", description="the pictures: painted faces, or CelebA's")
    side: Annotated[int, Ge(16), Le(224)] = Field(
        32, description="pixels that pictures are scaled to; a multiple of 16"
    )
    tested: Many = Field(1500, description="pictures of other people, to test the collector's tasks on")
    collector: CollectorSection = CollectorSection()
    federated: FederatedSection = FederatedSection()
    participants: ParticipantsSection = ParticipantsSection()
    attackers: AttackersSection = AttackersSection()

    @field_validator("side")
    @classmethod
    def _side_is_a_multiple(cls, side: int) -> int:
        if side % 16:
            raise ValueError(f"a side is a multiple of 16 pixels, not {side}")
        return side

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: each of its people is a participant."""
        return {
            "dataset": "faces",
            "side": cohort.side,
            "tested": cohort.fresh,
            "collector.hide": (cohort.private,),
            "collector.tasks": (cohort.task,),
            "collector.pictures": cohort.public * cohort.pictures,
            "participants.count": cohort.people,
            "participants.album": cohort.pictures,
        }

    @field_validator("collector")
    @classmethod
    def _attributes_exist(cls, collector: CollectorSection, info: ValidationInfo) -> CollectorSection:
        if info.data.get("cohort") is not None:
            return collector
        known = attribute_names(info.data.get("dataset", "faces"))
        for key, names in (("hide", collector.hide), ("tasks", collector.tasks)):
            for name in names:
                if name not in known:
                    raise Misplaced((key,), f"collector.{key}: there is no attribute {name!r}; {nearest(name, known)}")
        return collector

    @model_validator(mode="after")
    def _as_many_as_are_called(self) -> "CrowdsourceScenario":
        if self.federated.rounds and self.federated.called > self.participants.count:
            raise ValueError(
                f"federated.called: {self.federated.called} is more than participants.count, {self.participants.count}"
            )
        return self

    @model_validator(mode="after")
    def _attackers_have_what_there_is(self) -> "CrowdsourceScenario":
        for count in self.attackers.pictures:
            if count >= self.collector.pictures:
                raise ValueError(
                    f"attackers.pictures: {count} is not less than collector.pictures, {self.collector.pictures}"
                )
        return self


def attribute_names(dataset: str) -> Sequence[str]:
    """Return the attributes in the labels of a data set."""
    if dataset == "faces":
        return people.ATTRIBUTES
    return sorted({*people.ATTRIBUTES, *CELEBA_ONLY} - {"Long_Hair"})


SCENARIO = CrowdsourceScenario
