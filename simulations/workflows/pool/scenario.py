"""Settings of a pool scenario."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, field_validator, model_validator

from parties.pool.holdings import Habits
from protocol.errors import nearest
from protocol.mistakes import Misplaced
from protocol.settings import Section
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import CohortSection
from strategies.deep_poisoning.reconstructor import UNSEEN
from strategies.deep_poisoning.split import ARCHITECTURES

Images = Annotated[int, Ge(2), Le(1_000_000)]
Steps = Annotated[int, Ge(1), Le(10_000_000)]


class EntitiesSection(Section):
    """The entities and their images."""

    images: Annotated[tuple[Images, ...], Len(1, 100)] = Field(
        (1200, 500, 500, 50), description="images of each entity; the largest one pre-trains"
    )
    classes: Annotated[int, Ge(2), Le(10)] = Field(10, description="classes of the task")
    alpha: Annotated[float, Ge(0.01), Le(1e6)] | None = Field(
        None,
        description="Dirichlet concentration of classes: near 0 each entity has one class; null: all entities alike",
    )
    late: Annotated[int, Ge(0)] = Field(0, description="how many of the last entities join only in a second round")
    held_back: Annotated[int, Ge(50), Le(100_000)] = Field(600, description="test images of deciders, the same for all")
    public: Annotated[int, Ge(50), Le(1_000_000)] = Field(
        1600, description="public images of other classes, to train reconstructors on"
    )
    side: Annotated[int, Ge(32), Le(512)] = Field(48, description="width and height of images, a multiple of 16")


class TrainingSection(Section):
    """How entities train; steps are of one batch each."""

    RENAMED: ClassVar = {"rate": "learning_rate"}

    architecture: str = Field("compact", description=f"the network: {', '.join(ARCHITECTURES)}")
    pretraining: Steps = Field(Habits.pretraining, description="steps of the published network")
    reconstruction: Steps = Field(Habits.reconstruction, description="steps of the published reconstructor")
    poisoning: Steps = Field(Habits.poisoning, description="steps of each entity's private module")
    refinement: Steps = Field(Habits.refinement, description="steps of a decider")
    batch: Annotated[int, Ge(2), Le(4096)] = Field(Habits.batch, description="images per step")
    learning_rate: Annotated[float, Gt(0), Le(1)] = Field(Habits.learning_rate, description="highest learning rate")
    weight: Annotated[float, Ge(0), Le(1000)] = Field(
        Habits.weight, description="lambda: weight of hiding images against accuracy; 1 in the paper"
    )
    penalty: Literal["absolute", "either", "signed"] = Field(
        Habits.penalty,
        description="the loss of modules; signed: SSIM as in the paper; absolute: its absolute value; either: the"
        " larger SSIM with the image and with its negative",
    )
    decider: Literal["new", "published"] = Field(
        Habits.decider, description="first weights of refinement: new ones, or the published decider's"
    )
    defence: Literal["none", "agreement"] = Field(
        Habits.defence, description="agreement: leave out pooled features that the published decider contradicts"
    )

    @field_validator("architecture")
    @classmethod
    def _architecture_exists(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise Misplaced((), f"training.architecture: there is no {name!r}; {nearest(name, ARCHITECTURES)}")
        return name

    def habits(self) -> Habits:
        """Return the settings for entities."""
        return Habits(**self.model_dump(exclude={"architecture"}))


class AttacksSection(Section):
    """Attacks on the features of the largest entity; each trains its own network."""

    steps: Steps = Field(
        120, description="training steps on leaked pairs, and of DeepObfuscator; other attackers train as entities do"
    )
    unseen: tuple[str, ...] = Field(
        ("rx4s4", "rx2s2-clamp"), description="reconstructor designs that no module is trained against"
    )
    pairs: tuple[Annotated[int, Ge(0)], ...] = Field(
        (0, 10, 100, 1000), description="numbers of leaked pairs of an image and its poisoned feature"
    )
    modules: tuple[Annotated[int, Ge(1), Le(20)], ...] = Field(
        (1,), description="modules that attackers train themselves, as entities do, to learn to undo those"
    )
    aligned: tuple[Annotated[int, Ge(1), Le(20)], ...] = Field(
        (1, 4), description="the same, trained so that their features look like those in the pool"
    )
    attribute: bool = Field(True, description="infer attributes from features: of the scene, and of what is shown")
    obfuscator: bool = Field(True, description="attack DeepObfuscator, trained on the same images, for comparison")
    losses: bool = Field(True, description="show reconstructions from a module trained with the paper's loss")
    attacked: Annotated[int, Ge(8), Le(100_000)] = Field(
        200, description="features to score attackers on, not among leaked pairs"
    )

    @field_validator("modules", "aligned", mode="before")
    @classmethod
    def _one_number_is_one_attacker(cls, given: object) -> object:
        return () if given == 0 else (given,) if isinstance(given, int) else given

    @field_validator("unseen")
    @classmethod
    def _designs_are_designs(cls, designs: tuple[str, ...]) -> tuple[str, ...]:
        for name in designs:
            if name not in UNSEEN:
                raise Misplaced((), f"attacks.unseen: there is no design {name!r}; {nearest(name, UNSEEN)}")
        return designs


class PoolScenario(Scenario):
    """A pool of poisoned features, and attacks on it."""

    crowd = "entity"
    roles = ("entity", "keeper")

    description: str = Field("Entities pool poisoned features on one machine.", description="one line about it")
    workflow: Literal["pool"] = Field("pool", description="the workflow")
    dataset: Literal["pets", "faces"] = Field("pets", description="the pictures: painted pets or faces")
    entities: EntitiesSection = EntitiesSection()
    training: TrainingSection = TrainingSection()
    attacks: AttacksSection = AttacksSection()

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: each of its owners is an entity."""
        return {
            "dataset": "faces",
            "entities.images": (cohort.held,) * cohort.owners,
            "entities.classes": 2,
            "entities.held_back": cohort.fresh,
            "entities.public": cohort.public * cohort.pictures,
            "entities.side": cohort.side,
        }

    @model_validator(mode="after")
    def _sizes_fit(self) -> "PoolScenario":
        entities, most = self.entities, max(self.entities.images)
        if entities.side % 16:
            raise ValueError(f"entities.side: {entities.side} is not a multiple of 16")
        if entities.late >= len(entities.images):
            raise ValueError("entities.late: at least one entity has to join in the first round")
        if self.attacks.attacked >= most:
            raise ValueError(
                f"attacks.attacked: the largest entity has {most} images, and leaked pairs need some of them"
            )
        if self.dataset == "faces" and entities.classes > 8:
            raise ValueError("entities.classes: faces have 8 classes")
        return self


SCENARIO = PoolScenario
