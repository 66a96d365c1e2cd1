"""The scene of a portrait: a pose, a background out of focus, and light from one side."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from simulations.data.drawing import textures

Split = Literal["public", "traded"]
"""Public pictures are for training and calibrating featurizers, traded ones for albums. No picture is both."""


def posed(
    figure: Tensor,
    generator: torch.Generator,
    *,
    tilt: float = 40,
    zoom: tuple[float, float] = (0.85, 1.25),
    move: float = 0.4,
) -> Tensor:
    """Tilt, scale, mirror and move each painted figure.

    Args:
        figure: (count, 4, size, size), premultiplied colours and coverage.
        generator: Draws the poses.
        tilt: Degrees between the two extremes.
        zoom: Least and largest magnification.
        move: Distance between the two extremes, in half picture widths.

    Returns:
        (count, 4, size, size)
    """
    count = len(figure)
    uniform = torch.rand(5, count, generator=generator)
    angle = (uniform[0] - 0.5) * math.radians(tilt)
    scale = 1 / (zoom[0] + (zoom[1] - zoom[0]) * uniform[1])
    mirror = torch.where(uniform[2] < 0.5, -1.0, 1.0)
    shift = (uniform[3:] - 0.5) * move
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack([cos * mirror, -sin * mirror, shift[0], sin, cos, shift[1]], 1)
    grid = F.affine_grid(rows.reshape(count, 2, 3), list(figure.shape), align_corners=False)
    return F.grid_sample(figure, grid, padding_mode="border", align_corners=False)


def background(count: int, size: int, texture_seed: int, generator: torch.Generator) -> Tensor:
    """Return a wall above a floor (or a sky above a meadow) out of focus."""
    colours = torch.rand(count, 2, 1, generator=generator) * 0.5 + 0.3
    colours = colours + (torch.rand(count, 2, 3, generator=generator) - 0.5) * 0.3
    horizon = (torch.rand(count, 1, 1, 1, generator=generator) - 0.3) * 1.2
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    texture = textures(count, size, 1.6, texture_seed, generator)[:, None]
    floor = ((axis[None, None, :, None] - horizon) * 3 + 0.5 + 0.3 * texture).clamp(0, 1)
    upper, lower = colours[:, 0, :, None, None], colours[:, 1, :, None, None]
    return torch.lerp(upper, lower, floor).add_(0.08 * texture).clamp_(0, 1)


def lit(picture: Tensor, grain: Tensor, generator: torch.Generator) -> Tensor:
    """Light the scene from one side, with its own exposure, white balance and a sensor's noise."""
    count, _, _, size = picture.shape
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    exposure = 0.78 + 0.44 * torch.rand(count, 1, 1, 1, generator=generator)
    balance = 1 + 0.035 * torch.randn(count, 3, 1, 1, generator=generator)
    slope = (torch.rand(2, count, 1, 1, 1, generator=generator) - 0.5) * 0.3
    light = exposure * (1 + slope[0] * axis + slope[1] * axis[:, None])
    picture.mul_(light * balance).add_(0.022 * grain[:, None])
    return picture.add_(0.012 * torch.randn(picture.shape, generator=generator)).clamp_(0, 1)
