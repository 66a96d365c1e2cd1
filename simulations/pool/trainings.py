"""Trainings that do not depend on each other, side by side in a workshop."""

from collections.abc import Callable
from typing import Any

from protocol.workshop import Workshop
from simulations.errors import RunFailed
from simulations.seeding import secret


class Trainings:
    """Jobs by name, handed in one after the other and gathered together."""

    def __init__(self, workshop: Workshop, seed: int) -> None:
        self._workshop, self._seed = workshop, seed
        self._handles: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def add(self, name: str, job: Callable[..., Any], *arguments: Any) -> None:
        """Hand in a job."""
        self._handles[name] = self._workshop.submit(job, *arguments)

    def seed(self, name: str) -> int:
        """Return the seed of a job."""
        return int.from_bytes(secret(self._seed, "training", name)[:8]) >> 1

    def gather(self) -> dict[str, Any]:
        """Return what became of all jobs handed in since the last time.

        Raises
        ------
        RunFailed
            When one of them failed.
        """
        names = list(self._handles)
        ends = self._workshop.gather([self._handles.pop(name) for name in names])
        for name, end in zip(names, ends, strict=True):
            if end.failure is not None:
                raise RunFailed(f"the training “{name}” failed: {end.failure}")
            self.seconds[name] = round(end.seconds, 3)
        return {name: end.value for name, end in zip(names, ends, strict=True)}
