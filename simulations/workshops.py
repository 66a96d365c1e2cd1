"""Where models of a run are trained, and how their trainings end."""

from collections.abc import Sequence
from typing import TypeVar

from protocol.workshop import Done, Handle, LocalWorkshop, RayWorkshop, Workshop
from simulations.errors import RunFailed
from simulations.grids import worker_count
from simulations.progress import Progress, unwatched
from simulations.scenario import Scenario

T = TypeVar("T")


def open_workshop(scenario: Scenario) -> Workshop:
    """Return where a scenario's models are trained: side by side on Ray if its parties are there, else here.

    Raises
    ------
    RayUnavailable
        When there is no Ray, or no cluster at the scenario's address.
    """
    if scenario.grid == "ray":
        return RayWorkshop(worker_count(scenario), scenario.address)
    return LocalWorkshop()


def finished(
    workshop: Workshop, handles: Sequence[Handle[T]], what: str, progress: Progress = unwatched
) -> list[Done[T]]:
    """Wait for jobs, in the order of their handles.

    Parameters
    ----------
    workshop : Workshop
    handles : sequence of Handle
    what : str
        What they do, for the progress and for the sentence where one fails.
    progress : callable
        Told as each of them ends.

    Raises
    ------
    RunFailed
        When one failed.
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
