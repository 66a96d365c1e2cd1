"""A cloud that asks clients for one step on one picture, and looks at what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from parties.federate.client import ARRAYS, CONFIG
from protocol.encoding.codec import decode, read_array
from protocol.flower import new_message
from protocol.messages.federate import TrainCall
from simulations.workflows.federate.scoring import network_of
from strategies.attacks.gradient_inversion import invert_gradient
from strategies.learning.weights import Weights
from strategies.scores.image_quality import ssim

LEARNING_RATE = 0.1


@dataclass(frozen=True)
class Inverted:
    """Pictures that were found.

    Attributes:
        originals, found: (k, 3, height, width) float32, in 0..1.
        alike: Their mean SSIM.
    """

    originals: Tensor
    found: Tensor
    alike: float


def probe(
    grid: Grid, run_id: int, node_ids: Sequence[int], model: Weights, settings: Mapping[str, float]
) -> list[Weights]:
    """Ask clients to train on one picture once, and return what they make of the model; who fails is left out."""
    once: dict[str, str | float] = {
        "training": "probe",
        "epochs": 1,
        "batch": 1,
        "learning-rate": LEARNING_RATE,
        "pictures": 1,
    }
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({name: Array(value.numpy()) for name, value in model.items()}),
            CONFIG: ConfigRecord({**once, **settings}),
        }
    )
    questions = [new_message(content, run_id=run_id, message_type="train", dst_node_id=node_id) for node_id in node_ids]
    return [received(reply.content, model) for reply in grid.send_and_receive(questions) if not reply.has_error()]


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


def invert(
    start: Weights, answers: Sequence[Weights], originals: Tensor, generator: torch.Generator, steps: int = 500
) -> Inverted:
    """Find the pictures behind answers to `probe`.

    Args:
        start: What clients were sent.
        originals: (k, 3, height, width) float32, in -1..1, for scoring alone.
        steps: Of the search.
    """
    network = network_of(start)
    names = [name for name, _ in network.named_parameters()]
    found = []
    for answer in answers:
        gradient = [(start[name] - answer[name]) / LEARNING_RATE for name in names]
        found.append(invert_gradient(network, gradient, tuple(originals.shape[1:]), generator, steps=steps))  # type: ignore[arg-type]
    pictures, truth = (torch.stack(found) + 1) / 2, (originals + 1) / 2
    return Inverted(truth, pictures, ssim(pictures, truth).mean().item())
