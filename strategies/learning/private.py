"""DP-SGD (Abadi et al. 2016) by Opacus, for one image or for all images of a person.

Noise is the discrete Gaussian on a grid of which the standard deviation is 2^20 units, from a cryptographic stream.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.privacy.discrete_noise import GAUSSIAN_BITS, discrete_gaussian
from strategies.privacy.stream import Stream

_MOMENTUM = 0.9


@dataclass(frozen=True)
class PrivateTraining:
    """How to train with differential privacy.

    Attributes:
        sigma: Noise by clipping norm; 0 for none, and then no clipping either.
        sampling_rate: q, the probability with which each unit (an image, or a person) is in a batch, in (0, 1].
        clipping: The largest norm of what one unit contributes.
        learning_rate: Of SGD with momentum.
        per_person: None: a unit is an image. Otherwise a person, of whose images at most this many are in a batch.

    Raises:
        ValueError: When a number is out of its range.
    """

    sigma: float
    sampling_rate: float
    steps: int
    clipping: float = 1.0
    learning_rate: float = 0.5
    per_person: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < math.inf or not 0 < self.sampling_rate <= 1 or self.steps < 1:
            raise ValueError(
                "sigma is 0 or more, the sampling rate lies in (0, 1], and there is at least 1 step, "
                f"not {self.sigma}, {self.sampling_rate} and {self.steps}"
            )
        if not self.clipping > 0 or not self.learning_rate > 0 or (self.per_person is not None and self.per_person < 1):
            raise ValueError("clipping norm, learning rate and images per person are positive")


def train_privately(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    training: PrivateTraining,
    stream: Stream,
    *,
    persons: Tensor | None = None,
) -> nn.Module:
    """Train a network in place, and return it.

    In each step,

    1. every unit is drawn with probability q (Poisson sampling), of a person's images at most `per_person` of them;
    2. each unit's gradient (of a person: the mean over its drawn images) is clipped;
    3. noise is added to their sum, which is divided by the *expected* number of units: the true one is secret.

    Args:
        network: Without batch normalisation. Parameters that require no gradient stay as they are.
        inputs: (n, ...) float32
        labels: (n,) int64
        stream: Draws batches and noise.
        persons: (n,) int64, the person in each image; needed for `per_person`.

    Raises:
        ValueError: When persons are missing, or the network has layers that mix the samples of a batch.
    """
    if training.per_person is None:
        units = torch.arange(len(labels))
    elif persons is None:
        raise ValueError("to protect people, training needs to know whose each image is")
    else:
        units = torch.unique(persons, return_inverse=True)[1]
    count = int(units.max()) + 1
    trained = copy.deepcopy(network).train()
    take = (_private_step if training.sigma > 0 else _plain_step)(trained, count, training, stream)
    for _ in range(training.steps):
        drawn = torch.from_numpy(stream.uniform(count) < training.sampling_rate)
        chosen = _images_of(units, drawn, training.per_person, stream)
        take(inputs[chosen], labels[chosen], units[chosen])
    network.load_state_dict(trained.state_dict())
    return network.eval()


Step = Callable[[Tensor, Tensor, Tensor], None]
"""Learns from inputs with their labels; the third tensor numbers the units that they are of."""


def _plain_step(network: nn.Module, units: int, training: PrivateTraining, stream: Stream) -> Step:
    sgd = torch.optim.SGD(network.parameters(), lr=training.learning_rate, momentum=_MOMENTUM)

    def take(inputs: Tensor, labels: Tensor, owners: Tensor) -> None:
        if len(inputs):
            sgd.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
            sgd.step()

    return take


def _private_step(network: nn.Module, units: int, training: PrivateTraining, stream: Stream) -> Step:
    from opacus import GradSampleModule  # noqa: PLC0415  (three seconds)
    from opacus.optimizers import DPOptimizer  # noqa: PLC0415
    from opacus.validators import ModuleValidator  # noqa: PLC0415

    if problems := ModuleValidator.validate(network, strict=False):
        raise ValueError(f"this network cannot be trained privately: {problems[0]}")
    wrapped = GradSampleModule(network, loss_reduction="sum")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = DPOptimizer(
        torch.optim.SGD(trained, lr=training.learning_rate, momentum=_MOMENTUM),
        noise_multiplier=training.sigma,
        max_grad_norm=training.clipping,
        expected_batch_size=max(1, round(training.sampling_rate * units)),
    )
    optimiser.add_noise = lambda: _add_noise(optimiser.params, training, stream)

    def take(inputs: Tensor, labels: Tensor, owners: Tensor) -> None:
        optimiser.zero_grad()
        if len(inputs):
            with warnings.catch_warnings(action="ignore"):  # that inputs need no gradient
                F.cross_entropy(wrapped(inputs), labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
        for parameter in trained:
            gradients = parameter.grad_sample if len(inputs) else parameter.new_zeros(0, *parameter.shape)  # type: ignore[attr-defined]
            parameter.grad_sample = gradients if training.per_person is None else _means(gradients, owners)  # type: ignore[attr-defined]
        optimiser.step()

    return take


def _add_noise(parameters: list[nn.Parameter], training: PrivateTraining, stream: Stream) -> None:
    """Set each gradient to its clipped sum with noise, in place of Opacus's noise of floating-point numbers.

    Sums are rounded to the grid, which can part those of neighbours by 1 unit more in each of d numbers: their
    distance is the clipping norm and sqrt(d) units at most, and the noise is sigma times that.

    Raises:
        ValueError: When sigma is so large that no grid is fine enough.
    """
    sums = torch.cat([parameter.summed_grad.flatten() for parameter in parameters])  # type: ignore[attr-defined]
    scale = 2.0**GAUSSIAN_BITS - training.sigma * math.sqrt(len(sums))
    if scale <= 0:
        raise ValueError(f"a sigma of {training.sigma} is too large for {len(sums)} parameters")
    unit = training.sigma * training.clipping / scale
    noise = discrete_gaussian(GAUSSIAN_BITS, len(sums), stream)
    noisy = torch.from_numpy((np.rint(sums.double().numpy() / unit) + noise) * unit).to(sums.dtype)
    parts = torch.split(noisy, [each.numel() for each in parameters])
    for parameter, values in zip(parameters, parts, strict=True):
        parameter.grad = values.reshape(parameter.shape)
        parameter.summed_grad = None  # type: ignore[attr-defined]


def _images_of(units: Tensor, drawn: Tensor, most: int | None, stream: Stream) -> Tensor:
    """Return the places of the images of drawn units, at most `most` of each, chosen at random."""
    places = drawn[units].nonzero()[:, 0]
    if most is None:
        return places
    places = places[torch.from_numpy(stream.permutation(len(places)))]
    order = units[places].argsort(stable=True)
    places, owners = places[order], units[places][order]
    # How many images of the same unit come before each.
    before = torch.arange(len(owners)) - torch.searchsorted(owners, owners)
    return places[before < most]


def _means(gradients: Tensor, owners: Tensor) -> Tensor:
    """Return the mean gradient of each owner, (owners, ...)."""
    _, number, counts = torch.unique(owners, return_inverse=True, return_counts=True)
    sums = gradients.new_zeros(len(counts), *gradients.shape[1:]).index_add_(0, number, gradients)
    means: Tensor = sums / counts.reshape(-1, *[1] * (gradients.dim() - 1))
    return means
