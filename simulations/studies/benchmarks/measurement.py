"""The result of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Measurement:
    """A measured number, and the bar that it must not exceed, or must reach.

    Attributes:
        what: What was measured, in a few words.
        value: The number, in `unit`.
        unit: ``ms``, ``s``, ``x`` (a ratio within the same run), ...
        below: The bar that must not be exceeded, if there is one.
        above: The bar that must be reached, if there is one.
    """

    what: str
    value: float
    unit: str
    below: float | None = None
    above: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        if self.below is None and self.above is None:
            return None
        return (self.below is None or self.value <= self.below) and (self.above is None or self.value >= self.above)

    @property
    def bar(self) -> str:
        """The bar in words; empty if there is none."""
        if self.below is not None:
            return f"<= {self.below:g} {self.unit}"
        return "" if self.above is None else f">= {self.above:g} {self.unit}"


def median_seconds(turns: int, work: Callable[[int], object]) -> float:
    """Return the median time of some work, done in turns; it receives the number of the turn."""
    times = []
    for turn in range(turns):
        start = perf_counter()
        work(turn)
        times.append(perf_counter() - start)
    return median(times)
