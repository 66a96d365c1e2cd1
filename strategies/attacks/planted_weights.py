r"""Weights that a malicious server plants to read single pictures in what clients answer.

After "Robbing the Fed" (Fowl et al. 2022), whose bins it takes, and "When the Curious Abandon Honesty" (Boenisch et al.
2021), for a network of convolutions with group normalisation that the server cannot change:

1. The convolutions are planted so that the network is linear. Channels come in pairs of opposite sign, so that groups
   have no mean; they are so small that normalisation divides by the square root of its epsilon alone; and their biases
   keep all rectifiers open. What comes out of the second one are cosine coefficients of squares of 4 x 4 pixels.
2. The head compares a picture's mean brightness with a threshold, steeply: the gradient of the loss with respect to the
   logit is :math:`[f > t] - y` for brightness f and label y.
3. The server asks again with other thresholds. The label cancels in the difference of two answers: what remains are the
   pictures with a brightness between both thresholds.
4. The gradient of the third convolution has their coefficients, summed over few places, and says how many they are.

It takes one step on all pictures at once, which a server may ask for, and one question more than there are bins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from strategies.learning.weights import Weights

_STEEP = 4000.0
_SMALL = (1e-4, 1e-5, 1e-4)
"""How large convolutions are: small beside the square root of the normalisation's epsilon."""
_EPSILON = 1e-5
_OPEN = (4.0, 12.0, 4.0)
"""Biases: beyond what a channel can reach below zero."""
_LUMA = (0.299, 0.587, 0.114)
_PAIRS = 16
_SMOOTH = 2.0
LEARNING_RATE = 1e-4
"""At which clients are asked to take their step."""


def brightness(inputs: Tensor) -> Tensor:
    """Return the brightness that thresholds are compared with, (n,), of (n, 3, height, width) inputs in -1..1."""
    return torch.einsum("nchw,c->n", inputs, torch.tensor(_LUMA)) / (inputs.shape[2] * inputs.shape[3])


def thresholds(public: Tensor, bins: int, top: float = 1.0) -> Tensor:
    """Return the limits of bins that are equally likely to hold a picture, (bins + 1,), ascending.

    Args:
        public: (n, 3, height, width), inputs of the same kind, which the server knows.
        top: The brightest share of pictures, which bins are for.
    """
    places = torch.linspace(1 - top, 1, bins + 1)
    limits = torch.quantile(brightness(public), places)
    if top == 1.0:
        limits[0] = -1.0
    limits[-1] = 1.0
    return limits


def plant(like: Weights, threshold: float) -> Weights:
    """Return planted weights for a network of two classes.

    Args:
        like: The weights of the network, for names and shapes (`strategies.learning.group_normalised`).
        threshold: Of brightness, in -1..1.
    """
    planted = {name: torch.zeros_like(value) for name, value in like.items()}
    convolutions, norms = _layers(like)
    for number, (kernel, small) in enumerate(zip((_first(), _second(), _third()), _SMALL, strict=True)):
        planted[convolutions[number]][: len(kernel), : kernel.shape[1]] = small * kernel
        planted[f"{norms[number]}.weight"].fill_(math.sqrt(_EPSILON) / small)
        planted[f"{norms[number]}.bias"].fill_(_OPEN[number])
    head = planted["head.weight"].view(2, -1, 4)
    for quarter in range(4):
        head[1, 4 * quarter, quarter], head[1, 4 * quarter + 1, quarter] = _STEEP / 8, -_STEEP / 8
    planted["head.bias"][1] = -_STEEP * threshold
    return planted


@dataclass(frozen=True)
class Read:
    """What was read.

    Attributes:
        pictures: (n, 3, height, width) float32, in -1..1; of bins that seem to hold one picture.
        bins: (n,) int64, which bins these are.
    """

    pictures: Tensor
    bins: Tensor


def read(like: Weights, limits: Tensor, answers: Sequence[Weights], pictures: int, side: int) -> Read:
    """Read pictures in answers to planted weights.

    Args:
        like: As for `plant`.
        limits: Thresholds, ascending.
        answers: For each of these the model after one step on all pictures, with `LEARNING_RATE`.
        pictures: How many the step was taken on; clients say that themselves.
        side: Height and width of a picture, a multiple of 16.
    """
    third = _layers(like)[0][2]
    gain = _STEEP / 8 / _SMALL[2] / pictures
    steps = [
        (plant(like, limit)[third].double() - answer[third].double()) / (LEARNING_RATE * gain)
        for limit, answer in zip(limits.tolist(), answers, strict=True)
    ]
    apart = [one - other for one, other in pairwise(steps)]
    # Both of a pair are as far above zero, whatever the picture shows: what they have in common counts pictures.
    inside = torch.stack([_read_by(each)[:, :, 1, 1].mean() for each in apart]) / _OPEN[1]
    chosen = ((inside - 1).abs() < 0.5).nonzero()[:, 0]
    found = [_picture(apart[place] * (side // 16) ** 2, side) for place in chosen.tolist()]
    return Read(torch.stack(found) if found else torch.zeros(0, 3, side, side), chosen)


def _layers(like: Weights) -> tuple[list[str], list[str]]:
    """Return the names of the convolutions' weights, and of the normalisations without their ``.weight``."""
    convolutions = [name for name, value in like.items() if value.dim() == 4]
    norms = [name.removesuffix(".bias") for name in like if name.endswith(".bias") and name != "head.bias"]
    return convolutions, norms


def _first() -> Tensor:
    """Return the first convolution, (12, 3, 3, 3): brightness of each of 2 x 2 pixels, and two colours less it."""
    luma, kernel = torch.tensor(_LUMA), torch.zeros(6, 3, 3, 3)
    for number in range(4):
        kernel[number, :, 1 + number // 2, 1 + number % 2] = luma
    for number, colour in ((4, 2), (5, 0)):  # blue and red
        kernel[number, :, 1:, 1:] = ((torch.arange(3) == colour).float() - luma)[:, None, None] / 4
    return _in_pairs(kernel)


def _second() -> Tensor:
    """Return the second convolution, (32, 12, 3, 3): cosine coefficients of 4 x 4 pixels."""
    kernel = torch.zeros(_PAIRS, 6, 3, 3)
    bright, colour = _cosines(4), _cosines(2)
    for number, (u, v) in enumerate(_frequencies()):
        basis = torch.outer(bright[u], bright[v])
        for row in range(4):
            for column in range(4):
                kernel[number, row % 2 * 2 + column % 2, 1 + row // 2, 1 + column // 2] = basis[row, column]
    for number, (channel, (u, v)) in enumerate(_colours(), start=len(_frequencies())):
        kernel[number, channel, 1:, 1:] = torch.outer(colour[u], colour[v])
    return _in_pairs(_of_pairs(kernel))


def _third() -> Tensor:
    """Return the third convolution, (16, 2, 3, 3): brightness, the same for each quarter of the picture."""
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[:, :, 1:, 1:] = 1 / 16
    pair = _in_pairs(_of_pairs(kernel))
    return torch.cat([part for _ in range(4) for part in (pair, torch.zeros_like(pair))])


def _in_pairs(kernel: Tensor) -> Tensor:
    """Return outputs, each followed by its opposite."""
    return torch.stack([kernel, -kernel], dim=1).flatten(0, 1)


def _of_pairs(kernel: Tensor) -> Tensor:
    """Return weights of inputs that come in pairs of opposites around a constant."""
    return torch.stack([kernel, -kernel], dim=2).flatten(1, 2) / 2


def _cosines(size: int) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II), (size, size), a frequency in each row."""
    places, waves = torch.arange(size) + 0.5, torch.arange(size)[:, None]
    basis = torch.cos(math.pi / size * places * waves) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def _frequencies() -> list[tuple[int, int]]:
    return [(u, v) for u in range(4) for v in range(4) if u + v < 4]


def _colours() -> list[tuple[int, tuple[int, int]]]:
    return [(channel, wave) for channel in (4, 5) for wave in ((0, 0), (0, 1), (1, 0))]


def _picture(gradient: Tensor, side: int) -> Tensor:
    """Return the picture of which the third convolution's gradient holds sums of coefficients."""
    rows = _read_by(gradient)
    sums = (rows[:, ::2] - rows[:, 1::2]) / 2  # (4, 16, 3, 3): quarters, coefficients, places in the kernel
    down = sums.reshape(2, 2, _PAIRS, 3, 3).permute(2, 0, 3, 1, 4).reshape(_PAIRS, 6, 6)
    undo = _undoing(side // 4)
    coefficients = undo @ down @ undo.T
    bright, colour = _cosines(4).double(), _cosines(2).double()
    count, squares = len(_frequencies()), side // 4
    full = torch.zeros(4, 4, squares, squares, dtype=torch.float64)
    for (u, v), values in zip(_frequencies(), coefficients, strict=False):
        full[u, v] = values
    luma = torch.einsum("uvab,ur,vc->arbc", full, bright, bright).reshape(side, side)
    shades = torch.zeros(2, 2, 2, squares, squares, dtype=torch.float64)
    for (channel, (u, v)), values in zip(_colours(), coefficients[count:], strict=True):
        shades[channel - 4, u, v] = values
    halves = torch.einsum("kuvab,ur,vc->karbc", shades, colour, colour).reshape(2, side // 2, side // 2)
    blue, red = (half.repeat_interleave(2, 0).repeat_interleave(2, 1) + luma for half in halves)
    green = (luma - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return torch.stack([red, green, blue]).clamp(-1, 1).float()


def _read_by(gradient: Tensor) -> Tensor:
    """Return what the four channels that read a quarter of the picture each are to learn, (4, 32, 3, 3)."""
    return torch.stack([(gradient[4 * quarter] - gradient[4 * quarter + 1]) / 2 for quarter in range(4)])


def _undoing(squares: int) -> Tensor:
    """Return the matrix (squares, 6) from sums over places of a convolution to what was summed up.

    A half of the places sees with each of its three rows every second row of squares; of all that would give these sums
    it is the likeliest, where neighbours are alike.
    """
    half = squares // 4
    seen = torch.zeros(6, squares, dtype=torch.float64)
    for part in range(2):
        for row in range(3):
            for place in range(part * half, (part + 1) * half):
                if 0 <= 2 * place + row - 1 < squares:
                    seen[3 * part + row, 2 * place + row - 1] = 1
    apart = (torch.arange(squares)[:, None] - torch.arange(squares)).abs().double()
    alike = torch.exp(-apart / _SMOOTH)
    undo: Tensor = alike @ seen.T @ torch.linalg.pinv(seen @ alike @ seen.T)
    return undo
