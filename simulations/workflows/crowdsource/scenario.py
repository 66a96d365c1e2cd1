"""What the scenario of crowdsourcing representations can set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, ValidationInfo, field_validator, model_validator

from protocol.errors import nearest
from protocol.settings import Section, Share
from simulations.data import people
from simulations.scenarios.base import Misplaced, Scenario
from strategies.pric.training import Recipe

CELEBA_ONLY = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Big_Lips", "Blurry", "Double_Chin",
    "Goatee", "High_Cheekbones", "Oval_Face", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns",
    "Straight_Hair", "Wavy_Hair", "Wearing_Lipstick",
)  # fmt: skip
"""CelebA's attributes that painted faces lack."""

Weight = Annotated[float, Gt(0), Le(1e4)]
Many = Annotated[int, Ge(20), Le(1_000_000)]


class CollectorSection(Section):
    """The collector, and the extractor that it trains on labelled pictures of its own."""

    hide: Annotated[tuple[str, ...], Len(1, 8)] = Field(("Eyeglasses",), description="attributes to hide, by name")
    tasks: Annotated[tuple[str, ...], Len(1, 16)] = Field(
        ("Male", "Heavy_Makeup", "Smiling"), description="what it trains on representations, chosen once they are there"
    )
    pictures: Many = Field(6000, description="its own pictures, which it trains the extractor and its attackers on")
    weight: Weight = Field(1.0, description="lambda of Eq. 6: more keeps more of the picture, and hides less")
    curve: Annotated[tuple[Weight, ...], Len(0, 10)] = Field(
        (3.0, 10.0), description="other lambdas, for the curve of utility against privacy"
    )
    bound: Literal["decoder", "local", "global"] = Field(
        "decoder", description="on what is kept of a picture: decoder, or Eq. 4 at each position, or as a whole"
    )
    ascent: Literal["entropy", "flipped", "uniform"] = Field(
        "entropy", description="against the classifier: entropy (Eq. 6), or what has a limit: flipped, uniform"
    )
    conditional: bool = Field(True, description="keep I(x; z, u); false: I(x; z), the ablation")
    adversary_steps: Annotated[int, Ge(1), Le(32)] = Field(4, description="classifier's steps per extractor's step")
    epochs: Annotated[int, Ge(1), Le(1000)] = Field(8, description="rounds of training after one round of warm-up")
    batch: Annotated[int, Ge(2), Le(1024)] = Field(64, description="pictures per step")
    extractor: Literal["compact", "vgg16"] = Field("compact", description="compact, or what the authors' follow-up has")
    quantised: bool = Field(True, description="have representations sent as bytes")

    def recipe(self, weight: float) -> Recipe:
        """Return how to train with a lambda."""
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
        """Return how to train an extractor that keeps what it can; its classifier is trained along, in vain."""
        return replace(self.recipe(1.0), ascent="none", adversary_steps=1)

    @model_validator(mode="after")
    def _what_is_hidden_is_no_task(self) -> "CollectorSection":
        if both := set(self.hide) & set(self.tasks):
            raise ValueError(f"the task {min(both)} is to be hidden: participants would send no label of it")
        return self


class FederatedSection(Section):
    """Training the extractor where the pictures are; the collector learns sums of gradients and sees no picture."""

    RENAMED: ClassVar = {"rate": "learning_rate", "adversary_rate": "adversary_learning_rate"}

    rounds: Annotated[int, Ge(0), Le(100_000)] = Field(
        0, description="how often participants train; 0: the collector trains on its own pictures"
    )
    called: Annotated[int, Ge(3), Le(1000)] = Field(8, description="participants who train in each round")
    warm_up: Annotated[int, Ge(0), Le(100_000)] = Field(40, description="rounds of warm-up among them")
    learning_rate: Annotated[float, Gt(0), Le(1)] = Field(2e-4, description="the extractor's learning rate")
    adversary_learning_rate: Annotated[float, Gt(0), Le(1)] = Field(
        6e-3, description="the classifier's learning rate, which has to be higher"
    )


class ParticipantsSection(Section):
    """The participants; each has pictures of one person."""

    count: Annotated[int, Ge(20), Le(200_000)] = Field(1000, description="how many there are")
    album: Annotated[int, Ge(2), Le(1000)] = Field(4, description="pictures that each has")


class AttackersSection(Section):
    """Who tries to read what is hidden; none has anything to do with how the extractor was trained."""

    pictures: Annotated[tuple[Many, ...], Len(0, 6)] = Field(
        (250, 1000), description="with so many of the collector's pictures; one with all of them there is in any case"
    )
    leaked: Share = Field(0.25, description="with what this share of participants has told of itself")


class CrowdsourceScenario(Scenario):
    """Representations, crowdsourced."""

    crowd = "participant"
    roles = ("participant",)

    description: str = Field("Representations that hide an attribute, crowdsourced.", description="one line about it")
    workflow: Literal["crowdsource"] = Field("crowdsource", description="what is played")
    dataset: Literal["faces", "celeba"] = Field("faces", description="the pictures: painted faces, or CelebA's")
    side: Annotated[int, Ge(16), Le(224)] = Field(
        32, description="pixels that pictures are scaled to; a multiple of 16"
    )
    tested: Many = Field(1500, description="pictures of other people that the collector's tasks are tested on")
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

    @field_validator("collector")
    @classmethod
    def _attributes_exist(cls, collector: CollectorSection, info: ValidationInfo) -> CollectorSection:
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
                f"federated.called: {self.federated.called} are more than there are participants, "
                f"{self.participants.count}"
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
    """Return the attributes that a data set's pictures are labelled with."""
    if dataset == "faces":
        return people.ATTRIBUTES
    return sorted({*people.ATTRIBUTES, *CELEBA_ONLY} - {"Long_Hair"})


SCENARIO = CrowdsourceScenario
