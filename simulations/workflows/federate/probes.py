"""What a cloud asks clients for beside training: single steps, honestly and with planted weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from parties.federate.client import ARRAYS, CONFIG
from parties.federate.workflow import Federate, Federation
from parties.workflow import WorkflowFailed
from protocol.encoding.codec import decode, read_array
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, new_message
from protocol.messages.federate import TrainCall
from strategies.attacks import fishing, planted_weights
from strategies.attacks.fishing import Bait
from strategies.learning.group_normalised import GroupNormalisedClassifier
from strategies.learning.weights import Weights

LEARNING_RATE = 0.1
BINS, BINS_OF_SUMS = 32, 16
"""Into how many bins planted weights sort pictures: those of one client, and those of all in a sum."""
MULTIPLE = 16
"""Planted weights are for pictures with sides that are multiples of this."""
Settings = Mapping[str, float]


@dataclass(frozen=True)
class Probe:
    """Steps on few pictures.

    Attributes:
        clients: How many clients are asked, at most.
    """

    pictures: int
    steps: int
    clients: int = 20

    @property
    def words(self) -> str:
        """What clients are asked for."""
        pictures = "one image" if self.pictures == 1 else f"{self.pictures} images"
        return f"{'one step' if self.steps == 1 else f'{self.steps} steps'} on {pictures}"


SINGLE, BATCH, STEPS = Probe(1, 1), Probe(4, 1, clients=2), Probe(4, 3, clients=1)


@dataclass(frozen=True)
class Trap:
    """Weights that compare what a picture shows with a threshold, for a step on all pictures.

    Attributes:
        limits: Thresholds.
        weights: By threshold.
        learning_rate: At which the step is asked for.
        bait: The feature that is compared; None for the brightness.
    """

    limits: Tensor
    weights: Callable[[float], Weights]
    learning_rate: float
    bait: Bait | None = None


@dataclass(frozen=True)
class Planted:
    """Answers to planted weights, or to bait.

    Attributes:
        limits: Thresholds of brightness, or of a feature.
        answers: By client, or of all together by -1: one for each threshold.
        clipping: The norm to which clients clip what a picture contributes; None where they do not.
    """

    limits: Tensor
    answers: dict[int, list[Weights]]
    clipping: float | None = None
    bait: Bait | None = None


@dataclass
class Asked:
    """What came of asking, by method; without a name that of clients who add nothing.

    Attributes:
        steps: By method and probe: answers by client.
    """

    steps: dict[tuple[str, Probe], dict[int, Weights]] = field(default_factory=dict)
    planted: dict[str, Planted] = field(default_factory=dict)
    fished: dict[str, Planted] = field(default_factory=dict)


def probe(grid: Grid, run_id: int, node_ids: Sequence[int], model: Weights, settings: Settings) -> dict[int, Weights]:
    """Ask clients to train, and return what they make of the model by their numbers; who fails is left out."""
    once: dict[str, str | float] = {"training": "probe", "epochs": 1, "batch": 1, "learning-rate": LEARNING_RATE}
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(value.numpy()) for name, value in model.items()}),
            CONFIG: ConfigRecord({**once, **settings}),
        }
    )
    questions = [new_message(content, run_id=run_id, message_type="train", dst_node_id=node_id) for node_id in node_ids]
    return {
        reply.metadata.src_node_id - FIRST_NODE_ID: received(reply.content, model)
        for reply in grid.send_and_receive(questions)
        if not reply.has_error()
    }


def ask_for_steps(
    grid: Grid, run_id: int, clients: int, model: Weights, asked: Probe, settings: Settings
) -> dict[int, Weights]:
    """Ask some clients for steps on few pictures."""
    nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + min(clients, asked.clients))
    told = {"pictures": asked.pictures, "batch": asked.pictures, "epochs": asked.steps, **settings}
    return probe(grid, run_id, nodes, model, told)


def plants(model: Weights, public: Tensor, of_sums: int = 0) -> Trap:
    """Return planted weights.

    Args:
        public: Inputs of public pictures.
        of_sums: Pictures in a secure sum, of which the brightest are wanted; 0 for those of one client, all wanted.
    """
    bins = BINS_OF_SUMS if of_sums else BINS
    limits = planted_weights.thresholds(public, bins, top=_top(bins, of_sums))
    return Trap(limits, lambda limit: planted_weights.plant(model, limit), planted_weights.LEARNING_RATE)


def baits(network: GroupNormalisedClassifier, model: Weights, public: Tensor, pictures: int, of_sums: int = 0) -> Trap:
    """Return the network with its last layer changed; see `plants`.

    Args:
        pictures: Of a client.
    """
    bins = BINS_OF_SUMS if of_sums else BINS
    bait = fishing.bait(network, public, bins, _top(bins, of_sums))
    return Trap(bait.limits, lambda limit: bait.weights(model, limit), fishing.learning_rate(of_sums or pictures), bait)


def _top(bins: int, of_sums: int) -> float:
    return min(1.0, bins / 2 / of_sums) if of_sums else 1.0


def trapped(grid: Grid, run_id: int, clients: int, trap: Trap, pictures: int, settings: Settings) -> Planted:
    """Ask some clients for a step on all of their pictures, once for each threshold.

    Args:
        pictures: Of each client.
    """
    told = {**settings, "batch": pictures, "learning-rate": trap.learning_rate}
    nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + clients)
    answers: dict[int, list[Weights]] = {}
    for limit in trap.limits.tolist():
        for number, answer in probe(grid, run_id, nodes, trap.weights(limit), told).items():
            answers.setdefault(number, []).append(answer)
    whole = {number: found for number, found in answers.items() if len(found) == len(trap.limits)}
    return Planted(trap.limits, whole, settings.get("clipping"), trap.bait)


def trapped_in_sums(grid: Grid, federation: Federation, trap: Trap, pictures: int) -> Planted:
    """Have secure sums made of steps on all pictures of all clients, once for each threshold.

    Args:
        federation: The method; of its settings only the pictures per step change.
        pictures: Of all clients together.
    """
    settings = {"epochs": 1, "batch": pictures, "learning-rate": trap.learning_rate}
    kind, answers = "planted" if trap.bait is None else "fished", []
    try:
        for number, limit in enumerate(trap.limits.tolist()):
            asked = Federation(
                f"{federation.training} {kind} {number}", federation.strategy, 1, settings,
                trap.weights(limit), federation.clients,
            )  # fmt: skip
            answers.append(Federate(asked, Exchange(grid)).run().model)
    except WorkflowFailed:
        return Planted(trap.limits, {}, bait=trap.bait)
    return Planted(trap.limits, {-1: answers}, bait=trap.bait)


def settings_of(content: RecordDict) -> dict[str, object]:
    """Return the settings with which a client is asked to train, by one of Flower's strategies or for a secure sum."""
    if CONFIG in content:
        return dict(content.config_records[CONFIG])
    return {each.name: each.value for each in decode(content, TrainCall).settings}


def received(content: RecordDict, like: Weights) -> Weights:
    """Read the model in a client's answer."""
    arrays = content[ARRAYS]
    assert isinstance(arrays, ArrayRecord)
    return {name: torch.from_numpy(np.array(read_array(arrays[name]), dtype=np.float32)) for name in like}
