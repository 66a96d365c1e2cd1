"""What the cloud, and anyone with the model, make of what they have.

None of these sees the truth; `scoring` does. Each attack is a workshop's job: it takes a device first.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.runs.seeding import torch_generator
from simulations.workflows.federate.attackers import Attackers, Trials
from simulations.workflows.federate.methods import network_of
from simulations.workflows.federate.probes import LEARNING_RATE, Planted, Probe
from strategies.attacks.fishing import caught, land
from strategies.attacks.gradient_inversion import (
    Steps,
    invert_update,
    label_in_gradient,
    labels_in_gradient,
)
from strategies.attacks.membership import (
    Scores,
    by_likelihood_ratio,
    by_loss,
    by_relative_likelihood,
    by_shadow_models,
    confidence,
)
from strategies.attacks.planted_weights import Read, plant, read
from strategies.attacks.property_inference import infer_property
from strategies.learning.batches import apply
from strategies.learning.group_normalised import inputs_of
from strategies.learning.weights import Weights, to_row

LOSS, SHADOWS, LIRA, RMIA = "loss", "shadow models", "LiRA", "RMIA"
MORE = 4
"""How many times as many reference models the larger budget has."""
SEARCH = 400
"""Steps of the search for pictures behind an update."""
MembershipAttack = tuple[str, int]
"""Its name and its budget."""


def members(
    device: torch.device, model: Weights, pictures: NDArray[np.uint8], labels: NDArray[np.int64], attackers: Attackers
) -> dict[MembershipAttack, Scores]:
    """Score how likely each candidate was trained on, by several attacks; a job.

    Args:
        pictures, labels: (n, size, size, 3) and (n,), the candidates.
    """
    network = network_of(model)
    inputs, targets = inputs_of(pictures), torch.from_numpy(labels)
    known = inputs_of(attackers.known.pictures), torch.from_numpy(attackers.known.labels)
    shadows = [(network_of(shadow.model), shadow.inside) for shadow in attackers.shadows]
    found: dict[MembershipAttack, Scores] = {
        (LOSS, 1): by_loss(network, inputs, targets),
        (SHADOWS, 1): by_shadow_models(network, inputs, targets, shadows, known),
    }
    if attackers.references is None:
        return found
    seen, others = confidence(network, inputs, targets), confidence(network, *known)
    count = len(attackers.references.inside)
    for budget, models in ((1, count // MORE), (MORE, count)):
        if models < 2:
            continue
        part = attackers.references.first(models)
        found[LIRA, budget] = by_likelihood_ratio(seen, part.confidences, part.inside)
        found[RMIA, budget] = by_relative_likelihood(seen, part.confidences, others, part.others)
    return found


def tell_property(
    device: torch.device, updates: Sequence[Weights], start: Weights, trials: Trials
) -> NDArray[np.bool_]:
    """Say of each client whether most of its people have the property, from its first update; a job."""
    sent = np.stack([(to_row(update) - to_row(start)).numpy() for update in updates])
    told: NDArray[np.bool_] = infer_property(sent, trials.updates, trials.has) > 0
    return told


def invert(
    device: torch.device, start: Weights, answer: Weights, probe: Probe, public: NDArray[np.uint8], seed: int, name: str
) -> Tensor:
    """Find the pictures behind an answer to a probe, (n, 3, height, width) in 0..1; a job.

    Args:
        public: Pictures of the same kind, to know what the model usually answers.
        name: Of what is drawn.
    """
    network = network_of(start)
    names = [name for name, _ in network.named_parameters()]
    update = [(start[name] - answer[name]) / LEARNING_RATE for name in names]
    if probe.pictures == 1:
        labels = torch.tensor([label_in_gradient(update)])
    else:
        usual = apply(inputs_of(public), network).softmax(1).mean(0)
        labels = labels_in_gradient([part / probe.steps for part in update], probe.pictures, usual)
    shape = (3, public.shape[1], public.shape[2])
    generator = torch_generator(seed, "inversion", name)
    taken = Steps(probe.steps, LEARNING_RATE)
    found = invert_update(network, update, labels, shape, generator, taken=taken, steps=SEARCH)
    return (found + 1) / 2


def read_planted(
    device: torch.device,
    start: Weights,
    limits: Tensor,
    answers: Sequence[Weights],
    pictures: int,
    public: NDArray[np.uint8],
    clipping: float | None,
) -> Read:
    """Read pictures in answers to planted weights, in 0..1; a job.

    Args:
        limits, answers, pictures: See `strategies.attacks.planted_weights.read`.
        public: Pictures of the same kind, to know how large a picture's gradient is.
        clipping: The norm to which clients clip what a picture contributes; None where they do not.
    """
    if clipping is not None:
        answers = _unclipped([plant(start, limit) for limit in limits.tolist()], answers, public, clipping)
    found = read(start, limits, answers, pictures, public.shape[1])
    return Read((found.pictures + 1) / 2, found.bins)


def land_fished(
    device: torch.device,
    start: Weights,
    planted: Planted,
    answers: Sequence[Weights],
    pictures: int,
    public: NDArray[np.uint8],
    most: int,
    seed: int,
    name: str,
) -> Read:
    """Restore the pictures of some bins of answers to bait, in 0..1; a job.

    Args:
        pictures: That steps were taken on.
        public: Pictures of the same kind.
        most: Pictures to restore.
        name: Of what is drawn.
    """
    assert planted.bait is not None
    network, shape = network_of(start), (3, public.shape[1], public.shape[2])
    if planted.clipping is not None:
        sent = [planted.bait.weights(start, limit) for limit in planted.limits.tolist()]
        answers = _unclipped(sent, answers, public, planted.clipping)
    catches = caught(start, planted.bait, answers, pictures)[:most]
    generator = torch_generator(seed, "fishing", name)
    found = [land(network, planted.bait, catch, shape, generator, SEARCH) for catch in catches]
    landed = torch.stack(found) if found else torch.zeros(0, *shape)
    return Read((landed + 1) / 2, torch.tensor([catch.bin for catch in catches], dtype=torch.int64))


def _unclipped(
    sent: Sequence[Weights], answers: Sequence[Weights], public: NDArray[np.uint8], clipping: float
) -> list[Weights]:
    """Return answers as if contributions had not been clipped: a picture that comes through has about such a norm."""
    scale = max(1.0, _norm(sent[0], public[:1]) / clipping)
    return [
        {name: value + scale * (answer[name] - value) for name, value in model.items()}
        for model, answer in zip(sent, answers, strict=True)
    ]


def _norm(sent: Weights, picture: NDArray[np.uint8]) -> float:
    """Return the norm of the gradient of a picture that is wrong."""
    network = network_of(sent)
    inputs = inputs_of(picture)
    wrong = network(inputs).argmin(1)
    gradient = torch.autograd.grad(
        torch.nn.functional.cross_entropy(network(inputs), wrong), list(network.parameters())
    )
    return float(torch.stack([part.square().sum() for part in gradient]).sum().sqrt())
