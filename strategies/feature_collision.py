"""Pictures made to have a wanted feature: features alone do not identify a picture."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from strategies.featurizer import Featurizer, Pixels, network_input

_LEVEL = 1 / 127.5
"""One grey level in the network's input."""


def collide(
    featurizer: Featurizer,
    pictures: Sequence[Pixels],
    goals: NDArray[np.int64],
    *,
    levels: int = 4,
    steps: int = 40,
) -> NDArray[np.uint8]:
    """Change pictures a little so that their features come close to wanted ones.

    Projected gradient descent on the squared distance of the codes, with steps of the gradient's sign that shrink from
    one grey level to a tenth (Madry et al., 2018); the result is rounded to whole grey levels.

    Parameters
    ----------
    featurizer : Featurizer
        The public model.
    pictures : sequence of n uint8 arrays of shape (64, 64, 3)
        As `Featurizer.prepare` returns them.
    goals : (n, 2) int64
        Wanted lattice points.
    levels : int
        Most that a value may change, grey levels.
    steps : int
        Steps of the descent.

    Returns
    -------
    (n, 64, 64, 3) uint8
        The changed pictures, each within `levels` of its original.
    """
    if not len(pictures):
        return np.zeros((0, 64, 64, 3), dtype=np.uint8)
    calibration = featurizer.calibration
    codes = torch.from_numpy((goals - np.array(calibration.offset)) / calibration.scale).float()
    original = network_input(pictures)
    changed = original
    for size in np.geomspace(1.0, 0.1, steps):
        inputs = changed.detach().requires_grad_()
        loss = (featurizer.autoencoder.encode(featurizer.network(inputs)) - codes).square().sum()
        (gradient,) = torch.autograd.grad(loss, inputs)
        moved = inputs.detach() - float(size) * _LEVEL * gradient.sign()
        changed = moved.clamp(original - levels * _LEVEL, original + levels * _LEVEL).clamp(-1, 1)
    result: NDArray[np.uint8] = ((changed + 1) / _LEVEL).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return result
