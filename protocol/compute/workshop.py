"""Heavy work, such as training: in this process, in several, or in parallel on Ray, on GPUs if there are any.

A job is a function that takes a device first and returns what can be pickled. It draws randomness only from seeds or
generators among its arguments. Then the same jobs give the same results in every workshop, to the last bit on one kind
of device: each runs on one thread, by deterministic algorithms.
"""

import os
import signal
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import psutil
import torch
from loky import ProcessPoolExecutor

from protocol.compute.ray_cluster import connect

T = TypeVar("T")

RETRIES = 1
"""How often a job whose worker died is restarted."""
IDLE, LOOK = 60, 1.0
"""Seconds after which a process without a job ends, and between two looks whether the one that started it is there."""


@dataclass(frozen=True)
class Done(Generic[T]):
    """A job that is over.

    Attributes:
        value: What the function returned; None where it failed.
        device: The name of the device it ran on; empty where its worker died.
        seconds: Wall time of the function.
        failure: The traceback of a function that raised, or why there is no result at all.
    """

    value: T | None
    device: str
    seconds: float
    failure: str | None = None

    def result(self) -> T:
        """Return the value.

        Raises:
            RuntimeError: With the failure, where there is one.
        """
        if self.failure is not None:
            raise RuntimeError(f"a job failed:\n{self.failure}")
        return self.value  # type: ignore[return-value]


@dataclass(frozen=True)
class Handle(Generic[T]):
    """A submitted job; `ticket` is the workshop's own."""

    ticket: Any


class Placed(ABC):
    """An object that stays in the workshop from job to job."""

    @abstractmethod
    def call(self, method: str, *arguments: Any) -> Any:
        """Call one of its methods and return the result, which can be pickled.

        Raises:
            RuntimeError: When the method raised, or the object is lost with its worker.
        """


def _quiet(index: int, done: Done[Any]) -> None:
    pass


class Workshop(ABC):
    """Runs jobs and returns their results; a context manager.

    Examples:
        >>> with LocalWorkshop() as workshop:
        ...     jobs = [workshop.submit(lambda device, number: number + 1, number) for number in (1, 2)]
        ...     [done.result() for done in workshop.gather(jobs)]
        [2, 3]
    """

    @abstractmethod
    def submit(self, function: Callable[..., T], *arguments: Any) -> Handle[T]:
        """Hand in ``function(device, *arguments)``; it runs when there is room, at the latest in `gather`."""

    @abstractmethod
    def gather(self, handles: Sequence[Handle[T]], on_done: Callable[[int, Done[T]], None] = _quiet) -> list[Done[T]]:
        """Wait for jobs and return them in the order of the handles; a job that failed is one of them.

        Args:
            handles: Each may be gathered once.
            on_done: Called with the index of a handle, and its end, as jobs end.
        """

    @abstractmethod
    def place(self, make: Callable[..., object], *arguments: Any) -> Placed:
        """Make an object, by ``make(device, *arguments)``; it stays, with its GPU, while it is referred to."""

    @property
    @abstractmethod
    def equipment(self) -> str:
        """What the jobs run on, with or without a GPU."""

    @abstractmethod
    def close(self) -> None:
        """Release what the workshop holds."""

    def __enter__(self) -> Self:
        """Return the workshop, ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class LocalWorkshop(Workshop):
    """Jobs run in this process, one after the other, as they are gathered."""

    def submit(self, function: Callable[..., T], *arguments: Any) -> Handle[T]:
        """Keep a job until it is gathered."""
        return Handle((function, arguments))

    def gather(self, handles: Sequence[Handle[T]], on_done: Callable[[int, Done[T]], None] = _quiet) -> list[Done[T]]:
        """Run the jobs in the order of the handles."""
        device = _own_device()
        ends = []
        for index, handle in enumerate(handles):
            function, arguments = handle.ticket
            ends.append(_perform(device, function, arguments))
            on_done(index, ends[-1])
        return ends

    def place(self, make: Callable[..., object], *arguments: Any) -> Placed:
        """Make an object in this process."""
        return _Here(_Place(_own_device(), make, arguments))

    @property
    def equipment(self) -> str:
        """This process, with or without a GPU."""
        there = "one GPU" if torch.cuda.is_available() else "no GPU, on the CPU"
        return f"in this process, one after the other: {there}"

    def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, eq=False)
class _Job:
    """What is to be done, and where it will have been done."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Done[Any]]


class ProcessWorkshop(Workshop):
    """Jobs run side by side in processes of this machine, on the CPU; they begin when they are handed in.

    A job whose process dies is restarted once, alone: so it takes no other with it. Objects stay in this process.

    Args:
        workers: Processes, which start with the first jobs.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., T], *arguments: Any) -> Handle[T]:
        """Send a job to the next process that is free."""
        return Handle(_Job(function, arguments, self._sent(function, arguments)))

    def _sent(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> Future[Done[T]]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(self._workers, timeout=IDLE, initializer=_begin_worker)
        try:
            sent: Future[Done[T]] = self._executor.submit(_perform, torch.device("cpu"), function, arguments)
        except BrokenExecutor:
            self.close()
            return self._sent(function, arguments)
        return sent

    def gather(self, handles: Sequence[Handle[T]], on_done: Callable[[int, Done[T]], None] = _quiet) -> list[Done[T]]:
        """Take results as they come."""
        jobs: list[_Job] = [handle.ticket for handle in handles]
        waiting = {job.future: index for index, job in enumerate(jobs)}
        ends: dict[int, Done[T]] = {}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                index = waiting.pop(future)
                try:
                    ends[index] = future.result()
                except BrokenExecutor:
                    ends[index] = self._alone(jobs[index])
                on_done(index, ends[index])
        return [ends[index] for index in range(len(handles))]

    def _alone(self, job: _Job) -> Done[Any]:
        """Do a job again that was under way when a process died."""
        with ProcessWorkshop(1) as workshop:
            try:
                return workshop._sent(job.function, job.arguments).result()
            except BrokenExecutor as error:
                return Done(None, "", 0.0, f"no result, after up to {1 + RETRIES} attempts: {error}")

    def place(self, make: Callable[..., object], *arguments: Any) -> Placed:
        """Make an object in this process."""
        return _Here(_Place(torch.device("cpu"), make, arguments))

    @property
    def equipment(self) -> str:
        """The processes."""
        return f"side by side in {self._workers} processes: no GPU, on the CPU"

    def close(self) -> None:
        """Stop the processes; jobs that were not gathered are lost."""
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)
            self._executor = None


def _begin_worker() -> None:
    """Leave an interrupt to the process that started this one, which then ends both, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has: another one has adopted it then, or, on Windows, there is none."""
    never = threading.Event()
    while os.getppid() == parent and psutil.pid_exists(parent):
        never.wait(LOOK)
    os._exit(1)


class RayWorkshop(Workshop):
    """Jobs run side by side in Ray's workers: one GPU each where the cluster has any, else one CPU each.

    A job whose worker dies is restarted once. Jobs wait for CPUs that others hold in the same cluster, so an actor
    that stays must not claim all of them.

    Args:
        workers: CPUs of a Ray that is started here.
        address: Of a running cluster (see `protocol.compute.ray_cluster.connect`).

    Raises:
        RayUnavailable: When Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, workers: int = 2, address: str | None = None) -> None:
        self._open = ExitStack()
        self._ray: Any = self._open.enter_context(connect(workers, address))
        resources = self._ray.cluster_resources()
        self._gpus, self._cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        self._perform = self._ray.remote(_perform_on_worker).options(
            num_cpus=1, num_gpus=1 if self._gpus else 0, max_retries=RETRIES
        )

    def submit(self, function: Callable[..., T], *arguments: Any) -> Handle[T]:
        """Send a job to the next worker that is free."""
        return Handle(self._perform.remote(function, arguments))

    def gather(self, handles: Sequence[Handle[T]], on_done: Callable[[int, Done[T]], None] = _quiet) -> list[Done[T]]:
        """Take results as they come."""
        waiting = {handle.ticket: index for index, handle in enumerate(handles)}
        ends: dict[int, Done[T]] = {}
        while waiting:
            (ticket,), _ = self._ray.wait(list(waiting), num_returns=1)
            index = waiting.pop(ticket)
            try:
                ends[index] = self._ray.get(ticket)
            except self._ray.exceptions.RayError as error:
                ends[index] = Done(None, "", 0.0, f"no result, after up to {1 + RETRIES} attempts: {error}")
            on_done(index, ends[index])
        return [ends[index] for index in range(len(handles))]

    def place(self, make: Callable[..., object], *arguments: Any) -> Placed:
        """Make an object in a worker of its own: with a GPU where the cluster has any."""
        actor = self._ray.remote(_Place).options(num_cpus=0, num_gpus=1 if self._gpus else 0)
        return _There(self._ray, actor.remote(None, make, arguments))

    @property
    def equipment(self) -> str:
        """The cluster's GPUs, or its CPUs."""
        if self._gpus:
            return f"side by side on Ray, one GPU each: {self._gpus} in the cluster"
        return f"side by side on Ray, one CPU each: {self._cpus} in the cluster, and no GPU"

    def close(self) -> None:
        """Stop Ray if it was started here; jobs that were not gathered are lost."""
        self._open.close()


def _perform_on_worker(function: Callable[..., T], arguments: tuple[Any, ...]) -> Done[T]:
    return _perform(_lent_device(), function, arguments)


def _own_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _lent_device() -> torch.device:
    import ray  # noqa: PLC0415

    lent = bool(ray.get_gpu_ids()) and torch.cuda.is_available()
    return torch.device("cuda" if lent else "cpu")


class _Place:
    """The object, and how its methods are called: as jobs are."""

    def __init__(self, device: torch.device | None, make: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        with reproducible():
            self._object = make(device or _lent_device(), *arguments)

    def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        with reproducible():
            return getattr(self._object, method)(*arguments)


class _Here(Placed):
    def __init__(self, place: _Place) -> None:
        self._place = place

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            return self._place.call(method, arguments)
        except Exception:
            raise RuntimeError(f"{method} failed:\n{traceback.format_exc()}") from None


class _There(Placed):
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            return self._ray.get(self._actor.call.remote(method, arguments))
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"{method} failed: {error}") from None


def _perform(device: torch.device, function: Callable[..., T], arguments: tuple[Any, ...]) -> Done[T]:
    start = time.perf_counter()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    with reproducible():
        try:
            value, failure = function(device, *arguments), None
        except Exception:
            value, failure = None, traceback.format_exc()
    return Done(value, name, time.perf_counter() - start, failure)


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute on one thread and by deterministic algorithms, so that sums are always taken in the same order."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for it
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        torch.backends.cudnn.benchmark = benchmark
