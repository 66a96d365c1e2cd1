"""Where the parties of a scenario run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from flwr.clientapp import ClientApp
from joblib import cpu_count

from deploy.processes import ProcessesGrid
from parties.policy.guard import guarded
from protocol.compute.ray_cluster import RayUnavailable, connect
from protocol.errors import GridUnavailable
from protocol.grids import LocalGrid, NumberedGrid, RayGrid
from protocol.storage.vault import Vault
from simulations.scenarios.base import Scenario

OpenedGrid = LocalGrid | RayGrid | NumberedGrid | ProcessesGrid
"""A grid whose parties are there; `state` says what each keeps."""
OpenGrid = Callable[[Sequence[ClientApp]], AbstractContextManager[OpenedGrid]]
"""Makes the grid of the parties' apps; one of Flower's runtimes has apps of its own."""


def grid_opener(scenario: Scenario, vault: Vault, here: Sequence[int] = (), *, gpus: bool = False) -> OpenGrid:
    """Return what makes the scenario's grid; its parties have the scenario's policy.

    Args:
        scenario: Its ``grid``, ``workers``, ``address`` and ``policy``.
        vault: The cloud's, for processes that attach.
        here: Node ids of parties that stay in this process where the others are on Ray: those that write files.
        gpus: Whether parties on Ray train, on the cluster's GPUs where it has any.
    """
    opener, policy = _opener(scenario, vault, here, gpus), scenario.policy
    if policy is None:
        return opener

    def with_policy(apps: Sequence[ClientApp]) -> AbstractContextManager[OpenedGrid]:
        guarded(apps, policy)
        return opener(apps)

    return with_policy


def _opener(scenario: Scenario, vault: Vault, here: Sequence[int], gpus: bool) -> OpenGrid:
    if scenario.grid == "local":
        return LocalGrid
    if scenario.grid == "grpc":
        return partial(ProcessesGrid, vault=vault, workers=worker_count(scenario))
    return partial(RayGrid, workers=worker_count(scenario), address=scenario.address, here=tuple(here), gpus=gpus)


def worker_count(scenario: Scenario) -> int:
    """Return how many processes share a scenario's work: its trainings, and on other grids than `local` its parties."""
    return scenario.workers or cpu_count()


def _warm() -> None:
    """Do nothing in a Ray worker; to get there it has imported all that parties need, while the world is built."""


@contextmanager
def cluster(scenario: Scenario) -> Iterator[None]:
    """Have Ray up for the whole run, where it is wanted.

    Raises:
        GridUnavailable: When there is no Ray, or no cluster at the address.
    """
    if scenario.grid != "ray":
        yield
        return
    try:
        with connect(worker_count(scenario), scenario.address) as ray:
            warm = ray.remote(num_cpus=0)(_warm)
            for _ in range(worker_count(scenario)):
                warm.remote()
            yield
    except RayUnavailable as unavailable:
        raise GridUnavailable(str(unavailable)) from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one torch thread, so that sums are always taken in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
