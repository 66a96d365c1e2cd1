"""Portraits of cats and dogs of twenty breeds, painted from a generator: a data set without a download.

No two animals of a breed look the same. Each is a slight cross with another breed of its species, with its own shade
of coat, markings, pose, light and background, so that breeds overlap: a compact CNN has an accuracy of about 93 % on
fresh portraits.

Public and traded portraits never coincide: their backgrounds and fur are cut from different textures, so that no seed
of one split paints a picture of the other.
"""

from dataclasses import astuple, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.data.breeds import BLACK, BREEDS, CATS, DOGS, WHITE, Breed
from simulations.data.drawing import Canvas, textures
from simulations.data.scene import Split, background, lit, posed

__all__ = ["BREEDS", "draw"]

_TEXTURE_SEED: dict[Split, int] = {"public": 1, "traded": 2}
_CHUNK = 256

# Variation within a breed; together these set the difficulty of the classification.
_CROSSING = 0.50  # largest share of another breed of the same species
_COAT_SHADE, _COAT_HUE = 0.10, 0.03  # standard deviations of the coat's brightness and of each colour channel

_WHITE, _BLACK, _PINK = torch.tensor(WHITE), torch.tensor(BLACK), torch.tensor((0.86, 0.56, 0.55))


def draw(
    classes: NDArray[np.int64], size: int, generator: torch.Generator, split: Split = "traded"
) -> NDArray[np.uint8]:
    """Paint one portrait per class index.

    Args:
        classes: (n,), indices into `BREEDS`.
        size: Width and height in pixels; 32 or more shows the markings.
        generator: The same state gives the same portraits.
        split: The textures of backgrounds and fur. Featurizers are trained on public portraits only; albums have traded
            ones.

    Returns:
        (n, size, size, 3), RGB, 0..255.

    Raises:
        ValueError: If a class is not an index into `BREEDS`.

    Examples:
        >>> draw(np.array([0, 13]), 64, torch.Generator().manual_seed(1)).shape
        (2, 64, 64, 3)
    """
    breeds = torch.as_tensor(np.asarray(classes, dtype=np.int64))
    if len(breeds) and not 0 <= breeds.min() <= breeds.max() < len(BREEDS):
        raise ValueError(f"breeds are numbered 0 to {len(BREEDS) - 1}, not {breeds.min()} to {breeds.max()}")
    pictures = np.empty((len(breeds), size, size, 3), dtype=np.uint8)
    for start in range(0, len(breeds), _CHUNK):
        chunk = _portraits(breeds[start : start + _CHUNK], size, generator, _TEXTURE_SEED[split])
        pictures[start : start + _CHUNK] = chunk.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pictures


def _trait_table() -> dict[str, Tensor]:
    """Return every trait of every breed: (20, 3) for colours, (20,) for the rest."""
    breeds = [*CATS.values(), *DOGS.values()]
    columns = zip(*(astuple(breed) for breed in breeds), strict=True)
    return {field.name: torch.tensor(column) for field, column in zip(fields(Breed), columns, strict=True)}


_TRAITS = _trait_table()


def _individuals(breeds: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw the traits of animals that are slight crosses of their breed with another of the same species."""
    count = len(breeds)
    species = breeds // len(CATS) * len(CATS)
    other = species + torch.randint(len(CATS), (count,), generator=generator)
    share = _CROSSING * torch.rand(count, generator=generator)
    traits = {}
    for name, table in _TRAITS.items():
        weight = share[:, None] if table.ndim == 2 else share
        traits[name] = torch.lerp(table[breeds], table[other], weight)
    for ears in ("pricked", "hanging"):  # ears come from one parent, as a mean of two forms is none, and vary in length
        traits[ears] = _TRAITS[ears][breeds] * (1 + 0.12 * torch.randn(count, generator=generator))
    shade = 1 + _COAT_SHADE * torch.randn(count, 1, generator=generator)
    for colour in ("coat", "second"):
        hue = _COAT_HUE * torch.randn(count, 3, generator=generator)
        traits[colour] = ((traits[colour] + hue) * shade).clamp(0.03, 0.97)
    for length in ("width", "height", "muzzle"):
        traits[length] = traits[length] * (1 + 0.07 * torch.randn(count, generator=generator))
    for marking in ("stripes", "spots", "patches", "points", "brows", "blaze", "snout", "bib"):
        faded = traits[marking] * (0.75 + 0.4 * torch.rand(count, generator=generator))
        traits[marking] = torch.where(faded < 0.12, 0.0, faded).clamp(0, 1)
    return traits


def _portraits(breeds: Tensor, size: int, generator: torch.Generator, texture_seed: int) -> Tensor:
    count = len(breeds)
    traits = _individuals(breeds, generator)
    grain = textures(count, size, 0.6, texture_seed, generator)
    animal = _Animal(traits, breeds < len(CATS), grain, textures(count, size, 1.0, texture_seed, generator), generator)
    figure = posed(animal.paint(size), generator)
    scene = background(count, size, texture_seed, generator)
    picture = scene.mul_(1 - figure[:, 3:]).add_(figure[:, :3])
    return lit(picture, grain, generator)


class _Animal:
    """A batch of animals facing the viewer, each turned a little to one side."""

    def __init__(
        self, traits: dict[str, Tensor], is_cat: Tensor, grain: Tensor, clouds: Tensor, generator: torch.Generator
    ) -> None:
        self.traits = traits
        self.cat = is_cat.float()
        self.dog = 1 - self.cat
        self.grain, self.clouds = grain, clouds
        count = len(is_cat)
        uniform = torch.rand(6, count, generator=generator)
        self.turn = (uniform[0] - 0.5) * 0.22  # how far the middle of the face has moved sideways
        self.nod = (uniform[1] - 0.5) * 0.10
        self.lid = 0.75 + 0.4 * uniform[2]  # how wide the eyes are open
        self.pupil = uniform[3]
        self.tongue = (uniform[4] < 0.3).float() * self.dog
        self.perk = (uniform[5] - 0.5) * 0.16  # how far the ears lean out
        self.middle = (self.turn, -0.08 + self.nod)

    def paint(self, size: int) -> Tensor:
        """Return (count, 4, size, size): premultiplied colours and coverage."""
        canvas = Canvas(len(self.cat), size, self.grain)
        self._body(canvas)
        self._pricked_ears(canvas)
        self._head(canvas)
        self._coat_pattern(canvas)
        self._white_markings(canvas)
        self._hanging_ears(canvas)
        self._eyes(canvas)
        self._muzzle(canvas)
        return canvas.pixels

    def _shaded(self, factor: float) -> Tensor:
        return self.traits["coat"] * factor

    def _ear_colour(self) -> Tensor:
        t = self.traits
        return torch.lerp(t["coat"] * 0.85, t["second"], t["dark_ears"][:, None])

    def _body(self, canvas: Canvas) -> None:
        t = self.traits
        shoulders = t["width"] * (1.3 + 0.3 * self.dog)
        canvas.ellipse((0.0, 1.05), (shoulders, 0.85), self._shaded(0.82), soft=1.5, rough=0.15 * t["fluff"])
        canvas.ellipse((0.5 * self.turn, 0.85), (t["width"] * 0.55, 0.55), _WHITE * 0.95, t["bib"], soft=3, rough=0.2)

    def _pricked_ears(self, canvas: Canvas) -> None:
        t = self.traits
        visible = (t["pricked"] > 0).float()
        colour, inner = self._ear_colour(), _PINK * 0.6 + t["coat"] * 0.3
        for side in (-1, 1):
            root = -0.08 + self.nod - 0.38 * t["height"]
            middle = side * 0.66 * t["width"] + 0.3 * self.turn
            tip = (middle + side * (0.09 + self.perk), root - 0.22 * t["height"] - t["pricked"])
            half = 0.17 + 0.12 * t["pricked"]
            for scale, paint in ((1.0, colour), (0.62, inner)):
                left = (middle - half * scale, root + 0.05 * (1 - scale))
                right = (middle + half * scale, root + 0.05 * (1 - scale))
                point = (tip[0], tip[1] + (1 - scale) * 0.5 * t["pricked"])
                canvas.triangle(left, right, point, paint, visible, soft=1.3)

    def _hanging_ears(self, canvas: Canvas) -> None:
        t = self.traits
        visible, length = (t["hanging"] > 0).float(), t["hanging"]
        for side in (-1, 1):
            x = side * (t["width"] * 0.98 + 0.2 * self.perk) + 0.35 * self.turn
            top = -0.08 + self.nod - 0.62 * t["height"]
            canvas.ellipse(
                (x, top + 0.75 * length), (0.09 + 0.15 * length, 0.95 * length), self._ear_colour(), visible,
                soft=1.3, rough=0.25 * t["fluff"],
            )  # fmt: skip

    def _head(self, canvas: Canvas) -> None:
        t = self.traits
        x, y = 0.5 * self.turn, -0.08 + self.nod
        cheeks = t["width"] * (0.98 - 0.12 * self.dog)
        canvas.ellipse(
            (x, y + 0.45 * t["height"]),
            (cheeks, 0.62 * t["height"]),
            self._shaded(0.93),
            soft=1.3,
            rough=0.3 * t["fluff"],
        )
        canvas.ellipse((x, y), (t["width"], t["height"]), self._shaded(1.0), soft=2, rough=0.22 * t["fluff"])

    def _coat_pattern(self, canvas: Canvas) -> None:
        t = self.traits
        size = self.grain.shape[-1]
        axis = (torch.arange(size) + 0.5) / size * 2 - 1
        x = axis[None, None, :] - 0.5 * self.turn[:, None, None]
        y = axis[None, :, None] - self.nod[:, None, None]
        if bool((t["stripes"] > 0).any()):
            bands = torch.sin(9 * (y - 0.9 * x.square()).abs() * 2.6 + 1.2 * self.clouds) - 0.25
            canvas.tint((bands * 4).clamp_(0, 1), t["second"], 0.85 * t["stripes"])
        blots = self.clouds + 0.6 * self.grain
        canvas.tint(((blots - 0.75) * 5).clamp_(0, 1), t["second"], t["spots"])
        canvas.tint(((self.clouds - 0.15) * 6).clamp_(0, 1), t["second"], t["patches"])
        canvas.tint(((-self.clouds - 0.55) * 6).clamp_(0, 1), _BLACK * 1.6, t["patches"])
        mx, my = self.middle
        canvas.ellipse(
            (mx, my + 0.12), (0.66 * t["width"], 0.72 * t["height"]), t["second"], t["points"], soft=5, rough=0.2
        )
        for side in (-1, 1):
            canvas.ellipse(
                (mx + side * 0.40 * t["width"], my - 0.20), (0.075, 0.055), t["second"], t["brows"], soft=1.5
            )
            canvas.ellipse(
                (mx + side * 0.45 * t["width"], my + 0.24), (0.14, 0.14), t["second"], t["brows"], soft=2, rough=0.2
            )

    def _white_markings(self, canvas: Canvas) -> None:
        t = self.traits
        x, y = self.middle
        canvas.ellipse((x, y - 0.10), (0.085, 0.85 * t["height"]), _WHITE, t["blaze"], soft=1.5, rough=0.2)
        canvas.ellipse((x, y + 0.24), (1.5 * t["muzzle"], 1.05 * t["muzzle"]), _WHITE, t["snout"], soft=2, rough=0.25)

    def _eyes(self, canvas: Canvas) -> None:
        t = self.traits
        x, y = self.middle
        radius = 0.105 - 0.025 * self.dog
        for side in (-1, 1):
            eye = (x + side * 0.43 * t["width"], y - 0.05)
            canvas.ellipse(eye, (radius * 1.22, radius * (0.25 + self.lid)), self._shaded(0.35))
            canvas.ellipse(eye, (radius, radius * self.lid), t["eyes"])
            slit = radius * (0.62 * self.dog + (0.22 + 0.45 * self.pupil) * self.cat)
            canvas.ellipse(eye, (slit, radius * self.lid * (0.92 * self.cat + 0.66 * self.dog)), _BLACK * 0.4)
            canvas.ellipse((eye[0] - 0.03, eye[1] - 0.035), (0.022, 0.022), _WHITE)

    def _muzzle(self, canvas: Canvas) -> None:
        t = self.traits
        x, y = self.middle
        low = y + 0.16 + 0.06 * self.dog
        light = torch.lerp(t["coat"] * 1.08, _WHITE, t["snout"][:, None])
        fur = torch.lerp(light, t["second"] * 0.9, torch.maximum(t["points"], 0.8 * t["brows"])[:, None]).clamp(0, 1)
        canvas.ellipse((x, low + 0.12), (t["muzzle"] * 0.95, t["muzzle"] * 0.75), fur * 0.9, self.dog, soft=2)
        for side in (-1, 1):
            canvas.ellipse(
                (x + side * 0.45 * t["muzzle"], low + 0.06), (t["muzzle"] * 0.62, t["muzzle"] * 0.55), fur, soft=1.5
            )
        canvas.ellipse((x, low + 0.22), (0.075, 0.12), torch.tensor((0.85, 0.42, 0.45)), self.tongue)
        mouth = (x, low + 0.10)
        for side in (-1, 1):
            corner = (x + side * 0.55 * t["muzzle"], low + 0.15)
            canvas.stroke(mouth, corner, 0.022, _BLACK * 0.8, 0.8)
            for slope in (-0.05, 0.05):
                start = (x + side * 0.6 * t["muzzle"], low + 0.05 + 0.3 * slope)
                end = (x + side * (t["muzzle"] + 0.36), low + 0.04 + 1.6 * slope + 0.3 * self.perk)
                canvas.stroke(start, end, 0.014, _WHITE, 0.75 * self.cat)
        nose = torch.where(self.cat[:, None] > 0, 0.6 * _PINK + 0.3 * t["coat"], _BLACK)
        half = 0.055 + 0.035 * self.dog
        canvas.ellipse((x, low - 0.01), (half, half * 0.72), nose)
        canvas.stroke((x, low), mouth, 0.02, _BLACK, 0.7)
