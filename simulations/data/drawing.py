"""A batch of canvases to paint on: anti-aliased ellipses, triangles and strokes, and pink-noise textures.

Coordinates run from -1 to 1, x to the right and y down, whatever the size in pixels. A coordinate, radius or opacity is
a float shared by the whole batch or a tensor of shape (count,). Colours have shape (count, 3) or (3,), in 0..1.
"""

import functools
import math

import torch
from torch import Tensor

Scalar = Tensor | float
Point = tuple[Scalar, Scalar]


class Canvas:
    """`count` transparent pictures of `size` x `size` pixels, painted together.

    Args:
        size: Width and height in pixels.
        grain: (count, size, size), zero-mean texture that roughens the edges of shapes with `rough` > 0.

    Attributes:
        pixels: (count, 4, size, size); red, green, blue and coverage; colours are premultiplied by the coverage.
    """

    def __init__(self, count: int, size: int, grain: Tensor) -> None:
        self.pixels = torch.zeros(count, 4, size, size)
        self._count = count
        self._size = size
        self._grain = grain
        self._axis = (torch.arange(size) + 0.5) / size * 2 - 1

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        colour: Tensor,
        opacity: Scalar = 1.0,
        *,
        soft: float = 1.0,
        rough: Scalar = 0.0,
        above: Scalar = math.inf,
        below: Scalar = -math.inf,
    ) -> None:
        """Paint an ellipse with an edge of `soft` pixels, roughened by `rough` times the grain.

        Only the part above one height and below another is painted.
        """
        rows, (cx, cy, rx, ry, rough, above, below) = self._visible(opacity, *centre, *radii, rough, above, below)
        if not len(rows):
            return
        reach = 1 + float(rough.max()) + 2 * soft / self._size
        top, bottom = torch.maximum(cy - ry * reach, below), torch.minimum(cy + ry * reach, above)
        x, y, window = self._window(cx - rx * reach, cx + rx * reach, top, bottom)
        distance = ((y - cy) / ry).square() + ((x - cx) / rx).square()
        if float(rough.max()) > 0:
            distance += rough * self._grain[:, *window][rows]
        edge = torch.minimum(rx, ry) * (self._size / 4 / soft)
        mask = ((1 - distance) * edge + 0.5).clamp_(0, 1)
        for inside in (above - y, y - below):
            if math.isfinite(float(inside.max())):
                mask = mask * (inside * (self._size / 2) + 0.5).clamp_(0, 1)
        self._paint(rows, window, mask, colour, opacity)

    def triangle(
        self, a: Point, b: Point, c: Point, colour: Tensor, opacity: Scalar = 1.0, *, soft: float = 1.0
    ) -> None:
        """Paint the triangle with corners `a`, `b` and `c`, in either orientation."""
        rows, (ax, ay, bx, by, cx, cy) = self._visible(opacity, *a, *b, *c)
        if not len(rows):
            return
        xs, ys = torch.cat([ax, bx, cx], 1), torch.cat([ay, by, cy], 1)
        x, y, window = self._window(xs.amin(1), xs.amax(1), ys.amin(1), ys.amax(1))
        turn = torch.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        inside = torch.full((1, 1, 1), math.inf)
        for px, py, qx, qy in ((ax, ay, bx, by), (bx, by, cx, cy), (cx, cy, ax, ay)):
            length = torch.hypot(qx - px, qy - py).clamp_min(1e-6)
            inside = torch.minimum(inside, ((qx - px) * (y - py) - (qy - py) * (x - px)) * (turn / length))
        self._paint(rows, window, (inside * (self._size / 2 / soft) + 0.5).clamp_(0, 1), colour, opacity)

    def stroke(self, a: Point, b: Point, width: Scalar, colour: Tensor, opacity: Scalar = 1.0) -> None:
        """Paint a straight line from `a` to `b` with round ends; lines under a pixel wide fade instead of vanishing."""
        rows, (ax, ay, bx, by, width) = self._visible(opacity, *a, *b, width)
        if not len(rows):
            return
        pad = width / 2 + 2 / self._size
        x, y, window = self._window(
            torch.minimum(ax, bx) - pad,
            torch.maximum(ax, bx) + pad,
            torch.minimum(ay, by) - pad,
            torch.maximum(ay, by) + pad,
        )
        dx, dy = bx - ax, by - ay
        along = (((x - ax) * dx + (y - ay) * dy) / (dx.square() + dy.square()).clamp_min(1e-9)).clamp_(0, 1)
        distance = torch.hypot(x - ax - along * dx, y - ay - along * dy)
        pixels = width * self._size / 2
        mask = ((width / 2 - distance) * (self._size / 2) + 0.5).clamp_(0, 1) * pixels.clamp(max=1)
        self._paint(rows, window, mask, colour, opacity)

    def tint(self, mask: Tensor, colour: Tensor, opacity: Scalar = 1.0) -> None:
        """Colour the painted pixels by a mask of shape (count, size, size) in 0..1; coverage does not change."""
        rows, _ = self._visible(opacity)
        if not len(rows):
            return
        coverage = self.pixels[rows, 3:]
        strength = mask[rows][:, None] * self._column(opacity)[rows][:, None]
        painted = self.pixels[rows, :3]
        self.pixels[rows, :3] = painted + (self._rows(colour, rows)[:, :, None, None] * coverage - painted) * strength

    def _column(self, value: Scalar) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32).expand(self._count).reshape(-1, 1, 1)

    def _rows(self, colour: Tensor, rows: Tensor) -> Tensor:
        return colour.expand(self._count, 3)[rows]

    def _visible(self, opacity: Scalar, *values: Scalar) -> tuple[Tensor, list[Tensor]]:
        rows = self._column(opacity).reshape(-1).nonzero().reshape(-1)
        return rows, [self._column(value)[rows] for value in values]

    def _window(
        self, left: Tensor, right: Tensor, top: Tensor, bottom: Tensor
    ) -> tuple[Tensor, Tensor, tuple[slice, slice]]:
        """Return the coordinates and slices of the smallest window that holds the shape in every picture."""

        def pixels(low: Tensor, high: Tensor) -> slice:
            first = math.floor((float(low.min()) + 1) / 2 * self._size) - 1
            last = math.ceil((float(high.max()) + 1) / 2 * self._size) + 1
            return slice(min(max(first, 0), self._size), min(max(last, 0), self._size))

        columns, rows = pixels(left, right), pixels(top, bottom)
        return self._axis[None, None, columns], self._axis[None, rows, None], (rows, columns)

    def _paint(self, rows: Tensor, window: tuple[slice, slice], mask: Tensor, colour: Tensor, opacity: Scalar) -> None:
        mask = (mask * self._column(opacity)[rows])[:, None]
        colour = torch.cat([self._rows(colour, rows), torch.ones(len(rows), 1)], 1)[:, :, None, None]
        if len(rows) == self._count:
            self.pixels[:, :, *window].lerp_(colour, mask)
        else:
            region = self.pixels[:, :, *window]
            region[rows] = region[rows].lerp(colour, mask)


@functools.lru_cache(maxsize=16)
def _texture_bank(size: int, exponent: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = 2 * size
    frequency = torch.hypot(torch.fft.rfftfreq(side)[None, :], torch.fft.fftfreq(side)[:, None]).clamp_min(1 / side)
    noise = torch.randn(64, side, side, generator=generator)
    bank: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * frequency**-exponent, s=(side, side))
    bank -= bank.mean((1, 2), keepdim=True)
    return (bank / bank.std((1, 2), keepdim=True)).clamp(-3, 3)


def textures(count: int, size: int, exponent: float, seed: int, generator: torch.Generator) -> Tensor:
    """Cut `count` textures of pink noise (amplitude ~ 1/frequency^exponent) from a fixed bank.

    Args:
        count, size: Number of textures, and their width and height in pixels.
        exponent: 0 is white noise; about 1 looks like a natural, out-of-focus scene.
        seed: Of the bank. Textures of different banks share no pixels.
        generator: Draws a texture of the bank and the place to cut.

    Returns:
        (count, size, size); mean 0 and standard deviation 1 over a bank texture, within -3..3.
    """
    bank = _texture_bank(size, exponent, seed)
    which = torch.randint(len(bank), (count,), generator=generator)
    top, left = torch.randint(size, (2, count), generator=generator)
    cuts: Tensor = bank.unfold(1, size, 1).unfold(2, size, 1)[which, top, left]
    return cuts
