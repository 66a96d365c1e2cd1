"""What the scenario of federated learning can set."""

import re
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Field, field_validator, model_validator

from parties.federate.workflow import STRATEGIES
from protocol.errors import nearest
from protocol.settings import Section, Share
from simulations.data.people import FIXED, PASSING
from simulations.scenarios.base import Scenario

_METHOD = re.compile(r"[a-z][a-z0-9-]*")
PRIVATE = ("dp-clients", "dp-images", "dp-people")
_OWN = {"mu": "fedprox", "malicious": "krum", "beta": "trimmed-mean"}


class MethodSection(Section):
    """A way to learn together."""

    strategy: str = Field(description=f"one of {', '.join(STRATEGIES)}")
    epsilon: float | None = Field(None, description="of one client, picture or person (dp-...); all rounds")
    clipping: Annotated[float, Gt(0)] = Field(1.0, description="dp-...: largest norm of a contribution")
    mu: Annotated[float, Ge(0)] = Field(0.0, description="fedprox: the pull towards the common model")
    malicious: Annotated[int, Ge(0)] = Field(0, description="krum: how many clients may be malicious")
    beta: Annotated[float, Ge(0), Lt(0.5)] = Field(0.0, description="trimmed-mean: share cut off at both ends")

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(f"there is no strategy {name!r}; {nearest(name, STRATEGIES)}")
        return name

    @model_validator(mode="after")
    def _settings_suit(self) -> "MethodSection":
        if (self.epsilon is not None) != (self.strategy in PRIVATE):
            which = "takes an epsilon" if self.strategy in PRIVATE else "promises nothing, and has no epsilon"
            raise ValueError(f"{self.strategy} {which}")
        if self.epsilon is not None and not self.epsilon > 0:
            raise ValueError(f"epsilon is a positive number, not {self.epsilon}")
        for name, strategy in _OWN.items():
            if getattr(self, name) and self.strategy != strategy:
                raise ValueError(f"{name} is a setting of {strategy}, not of {self.strategy}")
        return self


class ClientsSection(Section):
    """Clients, each with pictures of its own people."""

    count: Annotated[int, Ge(2), Le(1000)] = Field(20, description="how many clients there are")
    pictures: Annotated[int, Ge(2), Le(10_000)] = Field(60, description="pictures that each of them has")
    per_person: Annotated[int, Ge(1), Le(1000)] = Field(2, description="how many of them show the same person")
    with_property: Share = Field(0.5, description="share of clients whose people mostly have the property")
    mostly: Annotated[float, Gt(0.5), Le(1)] = Field(0.9, description="what share of their people that is")
    size: Annotated[int, Ge(16), Le(128)] = Field(32, description="width and height of a picture, pixels")


class TrainingSection(Section):
    """How the model is trained."""

    RENAMED: ClassVar = {"private_rate": "dp_learning_rate", "rate": "sampling_rate"}

    rounds: Annotated[int, Ge(1), Le(1000)] = Field(15, description="how often the model goes out and comes back")
    epochs: Annotated[int, Ge(1), Le(100)] = Field(
        3, description="rounds over its pictures that a client makes in each"
    )
    batch: Annotated[int, Ge(1), Le(1000)] = Field(20, description="pictures per step")
    learning_rate: Annotated[float, Gt(0), Le(10)] = Field(0.2, description="SGD learning rate")
    dp_learning_rate: Annotated[float, Gt(0), Le(100)] = Field(
        4.0, description="dp-images, dp-people: SGD learning rate"
    )
    sampling_rate: Annotated[float, Gt(0), Le(1)] = Field(
        1.0, description="dp-images, dp-people: share of a client's images, or people, sampled for each step"
    )
    steps: Annotated[int, Ge(1), Le(1000)] = Field(
        1, description="dp-images, dp-people: steps of a client in each round"
    )


class AttackerSection(Section):
    """Who attacks, with what."""

    shadows: Annotated[int, Ge(2), Le(100)] = Field(4, description="models of the attacker's own, trained on strangers")
    trials: Annotated[int, Ge(4), Le(1000)] = Field(100, description="the attacker's trainings, to know a property by")
    strangers: Annotated[int, Ge(50), Le(100_000)] = Field(4000, description="pictures that these draw from")
    lira: Annotated[int, Ge(0), Le(256)] = Field(
        0, description="models trained with half of the candidates each, for the likelihood ratio attack; 0: left out"
    )
    probed: Annotated[int, Ge(0), Le(20)] = Field(3, description="clients whom the cloud asks to train on one picture")


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
}
"""The methods of a scenario that names none; one that names some of these need not repeat their settings."""


class FederateScenario(Scenario):
    """The same clients learn together by several methods, one after the other."""

    crowd = "client"
    roles = ("client",)

    description: str = Field("Clients learn together, without and with differential privacy.", description="one line")
    workflow: Literal["federate"] = Field("federate", description="what is played")
    dataset: Literal["faces"] = Field("faces", description="the pictures: of persons, with attributes")
    methods: Annotated[dict[str, MethodSection], Len(1, 30)] = Field(
        default_factory=lambda: {name: MethodSection(**settings) for name, settings in USUAL.items()},
        description="methods by name; the built-in names need no settings",
    )
    task: Literal[PASSING] = Field("Smiling", description="the attribute that the model is to tell")  # type: ignore[valid-type]
    property: Literal[FIXED] = Field("Pale_Skin", description="what an attacker wants to know of clients' people")  # type: ignore[valid-type]
    clients: ClientsSection = ClientsSection()
    training: TrainingSection = TrainingSection()
    delta: Annotated[float, Gt(0), Lt(1)] = Field(1e-4, description="below one in the number of pictures")
    attacker: AttackerSection = AttackerSection()

    @field_validator("methods", mode="before")
    @classmethod
    def _methods_are_named(cls, methods: Any) -> Any:
        if not isinstance(methods, dict):
            return methods
        for name in methods:
            if not isinstance(name, str) or not _METHOD.fullmatch(name):
                raise ValueError(f"invalid method name {name!r}: use lower-case letters, digits and hyphens")
        return {
            name: {**USUAL.get(name, {}), **given} if isinstance(given, dict) else given
            for name, given in methods.items()
        }

    @model_validator(mode="after")
    def _enough_is_left(self) -> "FederateScenario":
        count = self.clients.count
        for name, method in self.methods.items():
            if 2 * method.malicious + 2 >= count and method.strategy == "krum":
                raise ValueError(f"methods.{name}.malicious: krum takes more than 2 x {method.malicious} + 2 clients")
        return self


SCENARIO = FederateScenario
