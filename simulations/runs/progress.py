"""How far a run is, and where its time went."""

import time

from parties.workflow import Progress


class Stopwatch:
    """Wall seconds by step of a run; a step that comes again goes on.

    Args:
        progress: Told of each step as it begins.
        steps: How many there will be, about.
    """

    def __init__(self, progress: Progress, steps: int) -> None:
        self._progress = progress
        self._steps = steps
        self._begun: list[tuple[str, float]] = []

    def step(self, name: str, number: int | None = None) -> None:
        """Begin a step; with its `number`, where the paper's steps have some."""
        if self._begun and self._begun[-1][0] == name:
            return
        done = len({step for step, _ in self._begun})
        self._begun.append((name, time.perf_counter()))
        self._progress(name if number is None else f"step {number:2d} of {self._steps}: {name}", done, self._steps + 2)

    def timings(self) -> dict[str, float]:
        """Return the seconds of each step so far, and ``total``."""
        now = time.perf_counter()
        ends = [start for _, start in self._begun[1:]] + [now]
        seconds: dict[str, float] = {}
        for (name, start), end in zip(self._begun, ends, strict=True):
            seconds[name] = seconds.get(name, 0.0) + end - start
        total = now - self._begun[0][1] if self._begun else 0.0
        return {name: round(each, 3) for name, each in (seconds | {"total": total}).items()}
