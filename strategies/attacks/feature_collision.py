"""Pictures made to have a wanted feature: features alone do not identify a picture."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from strategies.features.featurizer import Featurizer, Pixels
from strategies.pixels import network_inputs, to_pictures

_LEVEL = 1 / 127.5
"""One grey level in the network's input."""


def collide(
    featurizer: Featurizer,
    pictures: Sequence[Pixels],
    goals: NDArray[np.int64],
    *,
    levels: int = 4,
    steps: int = 60,
) -> NDArray[np.uint8]:
    """Change pictures a little so that their features come close to wanted ones.

    Projected gradient descent (Adam) on the distance of the codes; the result is rounded to whole grey levels. What a
    few grey levels cannot reach stays farther away.

    Args:
        featurizer: The public model.
        pictures: n, each (64, 64, 3), as `Featurizer.prepare` returns them.
        goals: (n, 2), wanted lattice points.
        levels: Most that a value may change, grey levels.
        steps: Steps of the descent.

    Returns:
        (n, 64, 64, 3); the changed pictures, each within `levels` of its original.
    """
    if not len(pictures):
        return np.zeros((0, 64, 64, 3), dtype=np.uint8)
    calibration = featurizer.calibration
    codes = torch.from_numpy((goals - np.array(calibration.offset)) / calibration.scale).float()
    original = network_inputs(pictures)
    least, most = (original - levels * _LEVEL).clamp(min=-1), (original + levels * _LEVEL).clamp(max=1)
    changed = original.clone().requires_grad_()
    optimiser = torch.optim.Adam([changed])
    for rate in np.linspace(1.0, 0.02, steps):
        optimiser.param_groups[0]["lr"] = float(rate) * _LEVEL
        distance = (featurizer.autoencoder.encode(featurizer.network(changed)) - codes).norm(dim=1).sum()
        (changed.grad,) = torch.autograd.grad(distance, changed)
        optimiser.step()
        with torch.no_grad():
            changed.copy_(torch.clamp(changed, least, most))
    return to_pictures(((changed.detach() + 1) / _LEVEL).round().byte())
