"""Where models of a run are trained, and how their trainings end."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from joblib import cpu_count

from parties.workflow import Progress, unwatched
from protocol.compute.workshop import Done, Handle, LocalWorkshop, ProcessWorkshop, RayWorkshop, Workshop
from protocol.errors import RunFailed
from simulations.runs.grids import worker_count
from simulations.runs.seeding import secret
from simulations.scenarios.base import Scenario


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

        Raises:
            RunFailed: When one of them failed.
        """
        names = list(self._handles)
        ends = self._workshop.gather([self._handles.pop(name) for name in names])
        for name, end in zip(names, ends, strict=True):
            if end.failure is not None:
                raise RunFailed(f"the training “{name}” failed: {end.failure}")
            self.seconds[name] = round(end.seconds, 3)
        return {name: end.value for name, end in zip(names, ends, strict=True)}


T = TypeVar("T")


def open_workshop(scenario: Scenario) -> Workshop:
    """Return where a scenario's models are trained: on Ray if its parties are there, else in processes of this machine.

    With a GPU here, or for one worker, that is this process. There are no more of them than processors.

    Raises:
        RayUnavailable: When there is no Ray, or no cluster at the scenario's address.
    """
    workers = worker_count(scenario)
    if scenario.grid == "ray":
        return RayWorkshop(workers, scenario.address)
    side_by_side = min(workers, cpu_count())  # each computes all the time: more of them only take memory
    return LocalWorkshop() if side_by_side == 1 or torch.cuda.is_available() else ProcessWorkshop(side_by_side)


def finished(
    workshop: Workshop, handles: Sequence[Handle[T]], what: str, progress: Progress = unwatched
) -> list[Done[T]]:
    """Wait for jobs, in the order of their handles.

    Args:
        what: What they do, for the progress and for the sentence where one fails.
        progress: Told as each of them ends.

    Raises:
        RunFailed: When one failed.
    """
    done = 0

    def count_one(index: int, end: Done[T]) -> None:
        nonlocal done
        done += 1
        progress(what, done, len(handles))

    ends = workshop.gather(handles, count_one)
    failure = next((end.failure for end in ends if end.failure is not None), None)
    if failure is not None:
        raise RunFailed(f"{what} failed: {failure}")
    return ends
