"""Settings of a federated learning scenario."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Field, field_validator, model_validator

from parties.federate.workflow import STRATEGIES
from protocol.errors import nearest
from protocol.settings import Section, Share
from simulations.data.people import FIXED, PASSING
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import MOSTLY, CohortSection, attribute
from simulations.scenarios.methods import built_in
from strategies.privacy.sum_graph import FEWEST

PRIVATE = ("dp-clients", "dp-images", "dp-people", "dp-sum")
NOISY = ("dp-images", "dp-people")
"""Clients add noise to what they learn."""
SUMS = ("secure-sum", "dp-sum")
_OWN = {"mu": "fedprox", "malicious": "krum", "beta": "trimmed-mean"}


class MethodSection(Section):
    """A method of federated learning."""

    strategy: str = Field(description=f"one of {', '.join(STRATEGIES)}")
    epsilon: float | None = Field(None, description="dp-...: epsilon of one client, picture or person over all rounds")
    features: Literal["own", "public"] = Field(
        "own",
        description="what is trained; own: the whole network; public: its head alone, on features that were trained on"
        " strangers' pictures, with other attributes, and stay as they are",
    )
    clipping: Annotated[float, Ge(1e-6), Le(1e6)] = Field(1.0, description="dp-...: clipping norm of a contribution")
    mu: Annotated[float, Ge(0), Le(1e6)] = Field(0.0, description="fedprox: weight of the proximal term")
    malicious: Annotated[int, Ge(0)] = Field(0, description="krum: how many clients may be malicious")
    beta: Annotated[float, Ge(0), Lt(0.5)] = Field(0.0, description="trimmed-mean: share of values trimmed at each end")

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(f"there is no strategy {name!r}; {nearest(name, STRATEGIES)}")
        return name

    @model_validator(mode="after")
    def _settings_suit(self) -> "MethodSection":
        if (self.epsilon is not None) != (self.strategy in PRIVATE):
            which = "needs an epsilon" if self.strategy in PRIVATE else "has no epsilon"
            raise ValueError(f"{self.strategy} {which}")
        if self.epsilon is not None and not self.epsilon > 0:
            raise ValueError(f"epsilon is a positive number, not {self.epsilon}")
        for name, strategy in _OWN.items():
            if getattr(self, name) and self.strategy != strategy:
                raise ValueError(f"{name} is a setting of {strategy}, not of {self.strategy}")
        return self


class ClientsSection(Section):
    """Clients, each with pictures of its own people."""

    count: Annotated[int, Ge(2), Le(1000)] = Field(20, description="number of clients")
    pictures: Annotated[int, Ge(2), Le(10_000)] = Field(60, description="pictures of each client")
    per_person: Annotated[int, Ge(1), Le(1000)] = Field(2, description="pictures of each person")
    with_property: Share = Field(0.5, description="share of clients where most people have the property")
    mostly: Annotated[float, Gt(0.5), Le(1)] = Field(0.9, description="share of people with the property there")
    size: Annotated[int, Ge(16), Le(128)] = Field(32, description="width and height of a picture, pixels")


class TrainingSection(Section):
    """How the model is trained."""

    RENAMED: ClassVar = {"private_rate": "dp_learning_rate", "rate": "sampling_rate"}

    rounds: Annotated[int, Ge(1), Le(1000)] = Field(15, description="rounds of federated learning")
    epochs: Annotated[int, Ge(1), Le(100)] = Field(3, description="epochs of a client in each round")
    batch: Annotated[int, Ge(1), Le(1000)] = Field(20, description="pictures per step")
    learning_rate: Annotated[float, Gt(0), Le(10)] = Field(0.2, description="SGD learning rate")
    dp_learning_rate: Annotated[float, Gt(0), Le(100)] = Field(
        4.0, description="dp-images, dp-people: SGD learning rate"
    )
    head_learning_rate: Annotated[float, Gt(0), Le(100)] = Field(
        1.0, description="on public features: SGD learning rate"
    )
    sampling_rate: Annotated[float, Gt(0), Le(1)] = Field(
        1.0, description="dp-images, dp-people: share of a client's images, or people, sampled for each step"
    )
    steps: Annotated[int, Ge(1), Le(1000)] = Field(
        1, description="dp-images, dp-people: steps of a client in each round"
    )


class AttackerSection(Section):
    """The attacker's means."""

    shadows: Annotated[int, Ge(2), Le(100)] = Field(4, description="shadow models, trained on strangers' pictures")
    trials: Annotated[int, Ge(4), Le(1000)] = Field(100, description="trainings to infer the property from")
    strangers: Annotated[int, Ge(50), Le(100_000)] = Field(4000, description="strangers' pictures for these")
    lira: Annotated[int, Ge(0), Le(256)] = Field(
        8,
        description="models of the likelihood ratio attacks (LiRA, RMIA), trained as clients train, each on half of the"
        " candidates; they are tried with a quarter of these models, too; 0: no such attacks",
    )
    probed: Annotated[int, Ge(0), Le(20)] = Field(
        4, description="clients that the cloud asks for single steps, honestly and with planted weights"
    )
    fished: Annotated[int, Ge(0), Le(100)] = Field(
        0,
        description="pictures that a malicious cloud restores from each client, and from a sum, by changing the last"
        " layer alone (Fishing for User Data); 0: no such attack",
    )


USUAL: dict[str, dict[str, Any]] = {
    "fedavg": {"strategy": "fedavg"},
    "fedprox": {"strategy": "fedprox", "mu": 0.1},
    "krum": {"strategy": "krum", "malicious": 4},
    "trimmed-mean": {"strategy": "trimmed-mean", "beta": 0.2},
    "secure-sum": {"strategy": "secure-sum"},
    "dp-images-8": {"strategy": "dp-images", "epsilon": 8.0},
    "dp-images-1": {"strategy": "dp-images", "epsilon": 1.0},
    "dp-people-8": {"strategy": "dp-people", "epsilon": 8.0},
    "dp-clients-8": {"strategy": "dp-clients", "epsilon": 8.0},
    "head": {"strategy": "fedavg", "features": "public"},
    "head-dp-images-8": {"strategy": "dp-images", "epsilon": 8.0, "features": "public"},
    "head-dp-images-1": {"strategy": "dp-images", "epsilon": 1.0, "features": "public"},
}
"""The methods of a scenario by default; one that names some of them need not repeat their settings."""


class FederateScenario(Scenario):
    """The same clients, trained by several methods one after the other."""

    crowd = "client"
    roles = ("client", "aggregator")

    description: str = Field("Clients learn together, without and with differential privacy.", description="one line")
    workflow: Literal["federate"] = Field("federate", description="the workflow")
    dataset: Literal["faces"] = Field("faces", description="the pictures: of persons, with attributes")
    methods: Annotated[dict[str, MethodSection], Len(1, 30), built_in(USUAL)] = Field(
        default_factory=lambda: {name: MethodSection(**settings) for name, settings in USUAL.items()},
        description="methods by name; the built-in names need no settings",
    )
    task: attribute(PASSING) = Field("Smiling", description="the attribute that the model classifies")  # type: ignore[valid-type]
    property: attribute(FIXED) = Field(  # type: ignore[valid-type]
        "Pale_Skin", description="the attribute that an attacker infers of clients' people"
    )
    clients: ClientsSection = ClientsSection()
    training: TrainingSection = TrainingSection()
    delta: Annotated[float, Gt(0), Lt(1)] = Field(
        1e-4, description="delta of differential privacy, below 1 / number of pictures"
    )
    attacker: AttackerSection = AttackerSection()

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: each of its owners is a client."""
        return {
            "task": cohort.task,
            "property": cohort.private,
            "clients.count": cohort.owners,
            "clients.pictures": cohort.held,
            "clients.per_person": cohort.pictures,
            "clients.with_property": -(-cohort.owners // 2) / cohort.owners,
            "clients.mostly": MOSTLY,
            "clients.size": cohort.side,
            "attacker.strangers": cohort.public * cohort.pictures,
        }

    @model_validator(mode="after")
    def _a_cohort_has_enough(self) -> "FederateScenario":
        if self.cohort is not None and self.cohort.public < self.cohort.people:
            raise ValueError("cohort.public: attackers train models on as many public people as people share images")
        return self

    @model_validator(mode="after")
    def _enough_is_left(self) -> "FederateScenario":
        count = self.clients.count
        for name, method in self.methods.items():
            if method.strategy in SUMS and count < FEWEST:
                raise ValueError(f"methods.{name}.strategy: a sum needs {FEWEST} clients or more")
            if 2 * method.malicious + 2 >= count and method.strategy == "krum":
                raise ValueError(f"methods.{name}.malicious: krum needs more than 2 x {method.malicious} + 2 clients")
        return self


SCENARIO = FederateScenario
