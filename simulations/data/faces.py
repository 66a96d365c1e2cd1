"""Faces of people who do not exist, painted from a generator: 24 attributes, several pictures per person.

`people` draws who they are and how a picture shows them; this module paints the picture. All 24 attributes are visible
at 64 pixels. Two pictures of one person differ in expression, clothing, pose, light and place.

Public and traded faces never coincide: they show different people, with backgrounds and skin from different textures.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.data.drawing import Canvas, textures
from simulations.data.people import ATTRIBUTES, Build, build, look
from simulations.data.scene import Split, background, lit, posed

__all__ = ["ATTRIBUTES", "Faces", "draw", "paint"]

_TEXTURE_SEED: dict[Split, int] = {"public": 3, "traded": 4}
_CHUNK = 256

_WHITE, _BLACK = torch.tensor((0.96, 0.95, 0.93)), torch.tensor((0.07, 0.06, 0.07))
_GOLD, _RED, _VIOLET = (
    torch.tensor((0.96, 0.80, 0.22)),
    torch.tensor((0.80, 0.08, 0.20)),
    torch.tensor((0.42, 0.22, 0.55)),
)
_PALE, _LIGHT, _DARK = (
    torch.tensor((0.98, 0.90, 0.86)),
    torch.tensor((0.88, 0.68, 0.53)),
    torch.tensor((0.40, 0.26, 0.18)),
)
_BLUE_EYES, _BROWN_EYES = torch.tensor((0.32, 0.55, 0.75)), torch.tensor((0.26, 0.14, 0.07))
_FROM_THE_SIDE = 0.10  # how far the middle of the face moves when the head turns


@dataclass(frozen=True)
class Faces:
    """Pictures of people, with their labels.

    Attributes:
        images: (n, size, size, 3), RGB.
        attributes: (n, 24), one column per name in `ATTRIBUTES`.
        persons: (n,), the person in each picture.
    """

    images: NDArray[np.uint8]
    attributes: NDArray[np.bool_]
    persons: NDArray[np.int64]


def draw(persons: NDArray[np.int64], size: int, generator: torch.Generator, split: Split = "traded") -> Faces:
    """Take one picture of each person.

    Args:
        persons: (n,), the person in each picture: any whole numbers, also repeated ones.
        size: Width and height in pixels; 48 or more shows every attribute.
        generator: The same state gives the same pictures.
        split: Number 5 of one split is not number 5 of the other.

    Examples:
        >>> faces = draw(np.array([4, 4, 9]), 64, torch.Generator().manual_seed(1))
        >>> faces.images.shape, faces.attributes.shape
        ((3, 64, 64, 3), (3, 24))
    """
    persons = np.asarray(persons, dtype=np.int64)
    attributes = look(persons, generator, split)
    return Faces(paint(persons, attributes, size, generator, split), attributes, persons)


def paint(
    persons: NDArray[np.int64],
    attributes: NDArray[np.bool_],
    size: int,
    generator: torch.Generator,
    split: Split = "traded",
) -> NDArray[np.uint8]:
    """Paint people with given attributes, as `look` draws them or otherwise.

    Args:
        persons: (n,), for their build.
        attributes: (n, 24), how each picture shows them.
        size, generator, split: As for `draw`.

    Returns:
        (n, size, size, 3), RGB.
    """
    pictures = np.empty((len(persons), size, size, 3), dtype=np.uint8)
    for start in range(0, len(persons), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        traits = dict(zip(ATTRIBUTES, torch.from_numpy(attributes[chunk]).float().T, strict=True))
        portraits = _portraits(traits, build(persons[chunk], split), size, generator, _TEXTURE_SEED[split])
        pictures[chunk] = portraits.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pictures


def _portraits(
    traits: dict[str, Tensor], build: Build, size: int, generator: torch.Generator, texture_seed: int
) -> Tensor:
    count = len(build.skin)
    grain = textures(count, size, 0.6, texture_seed, generator)
    figure = _Portrait(traits, build, textures(count, size, 1.1, texture_seed, generator), generator).paint(size)
    figure = posed(figure, generator, tilt=16, zoom=(1.04, 1.18), move=0.10)
    scene = background(count, size, texture_seed, generator)
    return lit(scene.mul_(1 - figure[:, 3:]).add_(figure[:, :3]), grain, generator)


def _mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return colours (n, 3) between two, by a share of shape (n,)."""
    return torch.lerp(one.expand(len(share), 3), other.expand(len(share), 3), share[:, None])


class _Portrait:
    """A batch of people looking at the viewer, each turned a little to one side."""

    def __init__(self, traits: dict[str, Tensor], build: Build, grain: Tensor, generator: torch.Generator) -> None:
        self.has, self.build, self.grain = traits, build, grain
        count = len(build.skin)
        self.old = 1 - traits["Young"]
        self.skin = self._skin_colour()
        self.hair = self._hair_colour()
        uniform = torch.rand(4, count, generator=generator)
        self.turn = (uniform[0] - 0.5) * _FROM_THE_SIDE
        self.gaze = (uniform[1] - 0.5) * 0.05
        self.cloth, self.felt, self.tie = torch.rand(3, count, 3, generator=generator) * 0.75 + 0.1
        self.smile = traits["Smiling"] * (0.8 + 0.4 * uniform[2]) - (1 - traits["Smiling"]) * 0.35 * uniform[3]
        self.width = 0.40 + 0.025 * traits["Male"] + 0.085 * traits["Chubby"] + 0.05 * (build.width - 0.5)
        self.height = 0.50 + 0.06 * (build.height - 0.5)
        self.eye = 0.185 + 0.04 * (build.spacing - 0.5)
        self.lips = 0.27 + 0.03 * (build.mouth - 0.5)

    def paint(self, size: int) -> Tensor:
        """Return (count, 4, size, size): premultiplied colours and coverage."""
        canvas = Canvas(len(self.old), size, self.grain)
        self._hair_behind(canvas)
        self._body(canvas)
        self._necktie(canvas)
        self._necklace(canvas)
        self._head(canvas)
        self._age(canvas)
        self._beard(canvas)
        self._nose(canvas)
        self._mouth(canvas)
        self._eyes(canvas)
        self._fringe(canvas)
        self._earrings(canvas)
        self._eyeglasses(canvas)
        self._hat(canvas)
        return canvas.pixels

    def _skin_colour(self) -> Tensor:
        colours = ("Black_Hair", "Brown_Hair", "Gray_Hair", "Bald")
        dark = sum((self.has[name] for name in colours), torch.zeros_like(self.old))  # not blond or red
        tanned = _mix(_LIGHT, _DARK, self.build.skin * (0.35 + 0.65 * dark))
        return _mix(tanned, _PALE, self.has["Pale_Skin"] * (0.9 + 0.1 * self.build.skin))

    def _hair_colour(self) -> Tensor:
        red = torch.tensor((0.62, 0.24, 0.10))
        colour = red.expand(len(self.old), 3)
        for name, dark, light in (
            ("Black_Hair", (0.04, 0.04, 0.05), (0.11, 0.09, 0.09)),
            ("Brown_Hair", (0.30, 0.18, 0.10), (0.43, 0.27, 0.15)),
            ("Blond_Hair", (0.82, 0.64, 0.30), (0.95, 0.83, 0.52)),
            ("Gray_Hair", (0.62, 0.63, 0.66), (0.86, 0.86, 0.88)),
            ("Bald", (0.30, 0.22, 0.16), (0.45, 0.36, 0.28)),  # what is left: brows and beard
        ):
            shade = _mix(torch.tensor(dark), torch.tensor(light), self.build.hair)
            colour = _mix(colour, shade, self.has[name])
        return colour

    def _hair_behind(self, canvas: Canvas) -> None:
        long, bald = self.has["Long_Hair"], self.has["Bald"]
        x = 0.4 * self.turn
        canvas.ellipse((x, 0.16), (self.width + 0.17, 0.80), self.hair * 0.85, long, soft=1.5, rough=0.1, above=0.82)
        canvas.ellipse((x, -0.24), (self.width + 0.09, 0.50), self.hair, 1 - bald, soft=1.5, rough=0.08, above=0.06)

    def _body(self, canvas: Canvas) -> None:
        shoulders = 0.74 + 0.14 * self.has["Male"] + 0.08 * self.has["Chubby"]
        canvas.ellipse((0.0, 1.16), (shoulders, 0.50), self.cloth, soft=1.5)
        neck = 0.15 + 0.05 * self.has["Male"] + 0.03 * self.has["Chubby"]
        canvas.ellipse((0.2 * self.turn, 0.62), (neck, 0.26), self.skin * 0.80)
        open_neck = 1 - self.has["Wearing_Necktie"]
        canvas.ellipse((0.0, 0.70), (neck + 0.10, 0.17), self.skin * 0.86, open_neck)

    def _necktie(self, canvas: Canvas) -> None:
        worn = self.has["Wearing_Necktie"]
        for side in (-1, 1):
            canvas.triangle((side * 0.24, 0.58), (side * 0.32, 0.82), (0.0, 0.78), _WHITE, worn)
        canvas.triangle((-0.13, 1.30), (0.13, 1.30), (0.0, 0.64), self.tie, worn)
        canvas.triangle((-0.09, 0.64), (0.09, 0.64), (0.0, 0.80), self.tie * 0.7, worn)

    def _necklace(self, canvas: Canvas) -> None:
        worn = self.has["Wearing_Necklace"]
        points = [(-0.21, 0.54), (-0.14, 0.65), (0.0, 0.71), (0.14, 0.65), (0.21, 0.54)]
        for start, end in pairwise(points):
            canvas.stroke(start, end, 0.035, _GOLD, worn)
        canvas.ellipse((0.0, 0.75), (0.05, 0.05), _GOLD, worn)

    def _head(self, canvas: Canvas) -> None:
        x, w, h = 0.4 * self.turn, self.width, self.height
        for side in (-1, 1):
            canvas.ellipse((side * (w + 0.01) + x, 0.02), (0.065, 0.115), self.skin * 0.90, 1 - self.has["Long_Hair"])
        canvas.ellipse((x, -0.26), (w * 0.99, 0.42), self.skin, self.has["Bald"], soft=1.5)
        canvas.ellipse((x, -0.06), (w, h), self.skin, soft=1.5)
        jaw = w * (0.70 + 0.24 * self.has["Male"] + 0.12 * self.has["Chubby"])
        canvas.ellipse((x, 0.16), (jaw, h * 0.60), self.skin, soft=1.5)
        stubble = _mix(self.skin, self.hair * 0.8, 0.22 + 0 * self.old)
        canvas.ellipse((x, 0.20), (jaw * 0.94, h * 0.54), stubble, self.has["Male"], soft=3, below=0.15)
        chin = self.has["Chubby"]
        canvas.ellipse((x, 0.45), (w * 0.62, 0.13), self.skin * 0.84, chin, soft=1.5)
        canvas.ellipse((x, 0.39), (w * 0.70, 0.13), self.skin, chin, soft=1.5)
        for side in (-1, 1):
            canvas.ellipse((side * w * 0.62 + self.turn, 0.17), (0.12, 0.09), self.skin * 0.93, chin, soft=2)
            canvas.ellipse(
                (side * w * 0.60 + self.turn, 0.14), (0.12, 0.08), _mix(self.skin, _RED, 0.30 + 0 * self.old),
                self.has["Heavy_Makeup"], soft=2.5,
            )  # fmt: skip
        top = -0.06 - h
        hairline = (x + 0.16 * (self.build.parting - 0.5), top + 0.06)
        canvas.ellipse(hairline, (w * 0.86, 0.13), self.hair, 1 - self.has["Bald"], rough=0.08)

    def _age(self, canvas: Canvas) -> None:
        fold = self.skin * 0.60
        x = self.turn
        for y, half in ((-0.37, 0.17), (-0.30, 0.20)):
            canvas.stroke((x - half, y), (x + half, y), 0.03, fold, 0.75 * self.old)
        for side in (-1, 1):
            eye = x + side * self.eye
            canvas.stroke((x + side * 0.13, 0.14), (x + side * 0.22, 0.27), 0.03, fold, 0.8 * self.old)
            canvas.stroke((eye - 0.07, 0.055), (eye + 0.07, 0.055), 0.03, fold, 0.8 * self.old)
            for slope in (-0.04, 0.05):
                start = (eye + side * 0.13, -0.06 + 0.3 * slope)
                canvas.stroke(start, (eye + side * 0.20, -0.06 + slope), 0.022, fold, 0.8 * self.old)

    def _beard(self, canvas: Canvas) -> None:
        x, colour = self.turn * 0.6, self.hair * 0.88
        bearded = 1 - self.has["No_Beard"]
        canvas.ellipse(
            (x, 0.12), (self.width * 0.97, self.height * 0.74), colour, 0.95 * bearded, soft=1.5, rough=0.12, below=0.14
        )
        canvas.ellipse((x, 0.06), (self.width * 0.66, 0.15), self.skin, bearded, soft=1.5)
        canvas.ellipse((self.turn, self.lips), (0.17, 0.075), self.skin * 0.95, bearded, soft=1.5)
        moustache = self.has["Mustache"]
        for side in (-1, 1):
            end = (self.turn + side * 0.17, self.lips - 0.045)
            canvas.stroke((self.turn + side * 0.03, self.lips - 0.085), end, 0.085, colour, moustache)

    def _nose(self, canvas: Canvas) -> None:
        big, x = self.has["Big_Nose"], 1.25 * self.turn
        tip = 0.09 + 0.03 * (self.build.nose - 0.5) + 0.02 * big
        half = 0.055 + 0.09 * big
        canvas.ellipse((x, 0.02), (0.035 + 0.02 * big, 0.14), self.skin * 0.90, soft=1.5)
        canvas.ellipse((x, tip), (half, 0.042 + 0.05 * big), self.skin * 0.76)
        canvas.ellipse((x - 0.01, tip - 0.015), (half * 0.6, 0.025 + 0.02 * big), self.skin * 1.04)
        for side in (-1, 1):
            nostril = (x + side * half * 0.55, tip + 0.028 + 0.018 * big)
            canvas.ellipse(nostril, (0.018 + 0.012 * big, 0.014), self.skin * 0.45)

    def _mouth(self, canvas: Canvas) -> None:
        x, y, smile = self.turn, self.lips, self.smile
        opened = self.has["Mouth_Slightly_Open"]
        smiling = self.has["Smiling"]
        natural = self.skin * _mix(torch.tensor((0.86, 0.50, 0.50)), torch.tensor((0.78, 0.60, 0.56)), self.has["Male"])
        colour = _mix(natural, _RED, self.has["Heavy_Makeup"])
        half = 0.12 + 0.06 * smile.clamp_min(0)
        lift = 0.085 * smile
        canvas.ellipse((x, y + 0.025), (half * 0.75, 0.055), colour, 1 - opened)
        for side in (-1, 1):
            bend, corner = (x + side * 0.62 * half, y - 0.25 * lift), (x + side * half, y - lift)
            canvas.stroke((x, y + 0.005), bend, 0.045, colour)
            canvas.stroke(bend, corner, 0.038, colour)
            canvas.stroke((x, y + 0.01), bend, 0.02, self.skin * 0.30, 0.8 * (1 - opened))
            canvas.stroke(bend, corner, 0.02, self.skin * 0.30, 0.8)
            dimple = (x + side * (half + 0.045), y - lift - 0.05), (x + side * (half + 0.055), y - lift + 0.04)
            canvas.stroke(*dimple, 0.024, self.skin * 0.68, smile.clamp(0, 1))
        rounded, laughing = opened * (1 - smiling), opened * smiling
        canvas.ellipse((x, y + 0.035), (0.095, 0.095), colour, rounded)
        canvas.ellipse((x, y + 0.035), (0.065, 0.065), _BLACK, rounded)
        line = y - 0.4 * lift
        canvas.ellipse((x, line), (half * 0.98, 0.155), colour, laughing, below=line)
        canvas.ellipse((x, line), (half * 0.84, 0.12), _BLACK, laughing, below=line)
        canvas.ellipse((x, line), (half * 0.84, 0.12), _WHITE, laughing, below=line, above=line + 0.06)

    def _eyes(self, canvas: Canvas) -> None:
        narrow, made_up = self.has["Narrow_Eyes"], self.has["Heavy_Makeup"]
        lid = (0.066 - 0.040 * narrow) * (1 - 0.10 * self.old)
        iris = _mix(_BROWN_EYES, _BLUE_EYES, (self.build.eyes * 1.6 - 0.6).clamp(0, 1))
        line = 0.024 + 0.016 * made_up
        shadow = _mix(self.skin, _VIOLET, 0.75 + 0 * self.old)
        thick = 0.03 + 0.012 * self.has["Male"] + 0.06 * self.has["Bushy_Eyebrows"]
        brow = self.hair * 0.62
        y = -0.06
        for side in (-1, 1):
            x = self.turn + side * self.eye
            canvas.ellipse((x, y - 0.055), (0.125, 0.075), shadow, 0.85 * made_up, soft=1.5)
            canvas.ellipse((x, y), (0.105, lid), _WHITE)
            canvas.ellipse((x + self.gaze, y), (torch.minimum(0.052 + 0 * lid, lid + 0.012), lid), iris)
            canvas.ellipse((x + self.gaze, y), (0.024, torch.minimum(0.026 + 0 * lid, lid)), _BLACK)
            canvas.ellipse((x + self.gaze - 0.02, y - 0.02), (0.014, 0.014), _WHITE, 1 - narrow)
            inner, outer = (x - side * 0.10, y + 0.01 - 0.3 * lid), (x + side * 0.115, y - 0.012 - 0.3 * lid)
            peak = (x + side * 0.01, y - lid)
            canvas.stroke(inner, peak, line, self.skin * 0.28)
            canvas.stroke(peak, outer, line, self.skin * 0.28)
            lash = (outer[0] + side * 0.035, outer[1] - 0.045)
            canvas.stroke(outer, lash, 0.03, _BLACK, 1 - self.has["Male"])
            height = y - 0.145 - 0.02 * self.build.brows - 0.01 * self.has["Bushy_Eyebrows"]
            arch = (x + side * 0.03, height - 0.02)
            canvas.stroke((x - side * 0.10, height + 0.012), arch, thick, brow)
            canvas.stroke(arch, (x + side * 0.125, height + 0.015), thick * 0.85, brow)

    def _fringe(self, canvas: Canvas) -> None:
        worn, x = self.has["Bangs"], 0.5 * self.turn
        top = -0.06 - self.height
        canvas.ellipse((x, top + 0.13), (self.width * 0.93, 0.17), self.hair, worn, rough=0.1)
        for index in range(5):
            middle = x + (index - 2) * 0.36 * self.width
            left, right = (middle - 0.24 * self.width, -0.40), (middle + 0.24 * self.width, -0.40)
            canvas.triangle(left, right, (middle + 0.03, -0.20 - 0.02 * (index % 2)), self.hair * 0.93, worn)
        for side in (-1, 1):  # long hair falls beside the cheeks
            lock = x + side * (self.width + 0.055)
            canvas.ellipse((lock, 0.12), (0.085, 0.55), self.hair, self.has["Long_Hair"], soft=1.5, rough=0.15)

    def _earrings(self, canvas: Canvas) -> None:
        for side in (-1, 1):
            ear = 0.4 * self.turn + side * (self.width + 0.03)
            canvas.ellipse((ear, 0.22), (0.05, 0.075), _GOLD, self.has["Wearing_Earrings"])
            canvas.ellipse((ear, 0.22), (0.02, 0.035), _GOLD * 0.6, self.has["Wearing_Earrings"])

    def _eyeglasses(self, canvas: Canvas) -> None:
        worn, y, frame = self.has["Eyeglasses"], -0.045, 0.028
        for side in (-1, 1):
            x = self.turn + side * self.eye
            corners = [(0.15, -0.05), (0.11, -0.12), (-0.11, -0.12), (-0.15, -0.05), (-0.13, 0.08), (-0.07, 0.13),
                       (0.07, 0.13), (0.13, 0.08), (0.15, -0.05)]  # fmt: skip
            canvas.ellipse((x, y), (0.145, 0.125), _WHITE, 0.16 * worn)
            for (dx, dy), (ex, ey) in pairwise(corners):
                canvas.stroke((x + dx, y + dy), (x + ex, y + ey), frame * 1.5, _BLACK, worn)
            temple = 0.4 * self.turn + side * (self.width + 0.02)
            canvas.stroke((x + side * 0.15, y - 0.05), (temple, y - 0.06), frame * 1.3, _BLACK, worn)
        inner = self.eye - 0.15
        canvas.stroke((self.turn - inner, y - 0.04), (self.turn + inner, y - 0.04), frame * 1.5, _BLACK, worn)

    def _hat(self, canvas: Canvas) -> None:
        worn, x = self.has["Wearing_Hat"], 0.4 * self.turn
        brim = -0.06 - self.height + 0.20
        canvas.ellipse((x, brim), (self.width + 0.09, 0.50), self.felt, worn, soft=1.5, above=brim)
        band = self.width + 0.05
        canvas.stroke((x - band, brim - 0.05), (x + band, brim - 0.05), 0.10, self.felt * 0.55, worn)
        canvas.stroke((x - band - 0.14, brim + 0.01), (x + band + 0.14, brim + 0.01), 0.07, self.felt * 0.85, worn)
