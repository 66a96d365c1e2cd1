"""The paper's network: torchvision's VGG-16, whose last fully connected layer gives 1,000 numbers (section III.A)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import vgg16

from strategies.features.featurizer import Network, Pixels, height_and_width
from strategies.pixels import to_tensor

RESIZED, CROPPED = 256, 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, per channel, 0..1."""


class Vgg16(Network):
    """VGG-16 by Simonyan and Zisserman, as in torchvision, with torchvision's own preprocessing.

    Args:
        weights: torchvision's state dict of VGG-16 (`VGG16_Weights.IMAGENET1K_V1`, or one of the same shapes).

    Raises:
        RuntimeError: When names or shapes are not those of VGG-16.
    """

    BATCH = 1

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        with torch.device("meta"):
            self.vgg = vgg16(init_weights=False)
        self.vgg.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
        self.requires_grad_(False)

    @staticmethod
    def prepare(picture: Pixels) -> Pixels:
        """Resize the shorter side to 256 and cut out the central 224 x 224; a picture of that size stays as it is.

        The resizing is bilinear and antialiased, in fixed-point arithmetic, as torchvision does it on PIL images: the
        same on every machine.

        Raises:
            ValueError: If the picture is not a uint8 array of shape (height, width, 3).
        """
        height, width = height_and_width(picture)
        if height == width == CROPPED:
            return picture
        short = min(height, width)
        size = (RESIZED * width // short, RESIZED * height // short)
        left, top = (round((side - CROPPED) / 2) for side in size)
        resized = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
        return np.asarray(resized)[top : top + CROPPED, left : left + CROPPED]

    @staticmethod
    def inputs(pictures: Sequence[Pixels]) -> Tensor:
        """Return prepared pictures as (n, 3, 224, 224), each channel standardised by ImageNet's mean and deviation."""
        pixels = to_tensor(pictures).float().div_(255)
        mean, deviation = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, DEVIATION))
        return pixels.sub_(mean).div_(deviation)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, 3, 224, 224) inputs to (n, 1000) fc8 features."""
        fc8: Tensor = self.vgg(inputs)
        return fc8
