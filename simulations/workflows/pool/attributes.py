"""What an image shows beside its class, or with it: the attributes that attackers infer from features."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.data.breeds import CATS

Attributes = dict[str, Tensor]
"""Attributes of images, (n,) bool each, by what they say of one."""


def of_pictures(images: Tensor, public: Tensor) -> Attributes:
    """Return what the scene shows, which the class does not tell.

    Args:
        images: (n, 3, height, width) in 0..1.
        public: (m, 3, height, width); bright is what is brighter than the median of these.
    """
    middle = images.shape[3] // 2
    return {
        "is bright": images.mean((1, 2, 3)) > public.mean((1, 2, 3)).median(),
        "is lit from the left": images[..., :middle].mean((1, 2, 3)) > images[..., middle:].mean((1, 2, 3)),
    }


def of_classes(dataset: str, classes: NDArray[np.int64]) -> Attributes:
    """Return what follows from the class, and is private where labels are left out.

    Args:
        dataset: ``pets``, whose classes are the breeds, cats first, or ``faces``, whose classes are `people.CLASSES`.
        classes: (n,)

    Examples:
        >>> {name: shown.tolist() for name, shown in of_classes("faces", np.array([0, 6])).items()}
        {'shows a man': [False, True], 'shows somebody young': [False, True]}
    """
    numbers = torch.from_numpy(classes)
    if dataset == "pets":
        return {"shows a cat": numbers < len(CATS)}
    return {"shows a man": numbers // 4 == 1, "shows somebody young": numbers // 2 % 2 == 1}
