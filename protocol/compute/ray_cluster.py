"""Ray, started here or joined where it runs: the one place that does either.

Ray moves pickles, so a cluster is trusted like this process is: the machines in it are one person's own.
"""

import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from protocol.compute import user_modules
from protocol.errors import ProtocolError


def loose_modules() -> Iterator[ModuleType]:
    """Yield modules that were loaded from a file and lie on no path, such as a user's own adversaries.

    What they define has to travel as it is to the processes of this program.
    """
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__" or not getattr(module, "__file__", None):
            continue
        if not any(finder.find_spec(name, None) for finder in sys.meta_path):
            yield module


PACKAGES = ("strategies", "protocol", "parties", "deploy", "simulations", "parley")
"""Packages that are sent to a cluster, so that it computes with this version of them."""
PROBE_SECONDS = 5.0


class RayUnavailable(ProtocolError):
    """There is no Ray here, or no cluster where one was said to be."""


@contextmanager
def connect(workers: int, address: str | None = None) -> Iterator[ModuleType]:
    """Connect this process to Ray, and leave nothing of it behind.

    Without an address Ray is started on this machine with as many CPUs as workers and all GPUs that it finds, and
    stopped in the end, an interrupt included. Inside another `connect` of this process, the outer one is used.

    Args:
        workers: CPUs that Ray may hand out; ignored when Ray is already running.
        address: ``host:port`` of a running cluster's head node (``ray start --head``), or ``auto`` for the one on this
            machine; None: what the environment variable ``RAY_ADDRESS`` says, if anything.

    Yields:
        `ray`, which nothing else needs to import.

    Raises:
        RayUnavailable: When Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise RayUnavailable(
            "Ray is not installed for this Python: `pip install ray`, or stay in this process (grid local, --workers 1)"
        ) from None
    for module in loose_modules():
        ray.cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings(), _uninterrupted():
            warnings.simplefilter("ignore", FutureWarning)
            if address is None:
                _start(ray, workers)
            else:
                _join(ray, address)
        with _terminable():
            yield ray
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay signals while Ray starts: interrupted there, it leaves a thread that crashes at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda given, frame: told.append(given)) for number in stops}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        signal.raise_signal(told[0])


@contextmanager
def _terminable() -> Iterator[None]:
    """Exit with 143 on SIGTERM: Ray, as it waits, turns any other `SystemExit` into a 1."""
    told: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        told.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if told:
            raise SystemExit(128 + told[0]) from None
        raise


def _start(ray: Any, workers: int) -> None:
    """Start Ray on this machine; its workers import what this process imports.

    In a long-running process one of Ray's own may abort as it starts; it is tried once more.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = search_path()
    try:
        for attempt in (1, 2):
            try:
                ray.init(
                    address="local",
                    num_cpus=workers,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    job_config=_job(ray),
                )
                return
            except Exception as error:  # Ray raises a plain Exception after waiting
                ray.shutdown()
                if attempt == 2:
                    raise RayUnavailable(f"Ray does not start on this machine: {_first_line(error)}") from None
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _join(ray: Any, address: str) -> None:
    """Join a running cluster, and send it our packages."""
    _probe(address)
    ray.cloudpickle.register_pickle_by_value(user_modules)  # the machines there do not have them
    packages = [str(Path(spec.origin).parent) for spec in map(find_spec, PACKAGES) if spec and spec.origin]
    hashing = {name: os.environ[name] for name in ("PYTHONHASHSEED",) if name in os.environ}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            job_config=_job(ray),
            runtime_env={"py_modules": packages, "env_vars": {"PYTHONPATH": search_path(), **hashing}},
        )
    except (OSError, RuntimeError) as error:
        raise RayUnavailable(f"the Ray cluster at {address} cannot be joined: {_first_line(error)}") from None


class _Fixed(list[str]):
    """A list that Ray does not make longer."""

    def extend(self, entries: object) -> None:
        """Ignore more entries."""


def _job(ray: Any) -> Any:
    """Describe a job whose workers find modules where ``PYTHONPATH`` says.

    Ray would let the working directory come first, where a folder may be called ``protocol`` or ``strategies``.
    """
    job = ray.job_config.JobConfig()
    job._py_driver_sys_path = _Fixed()
    return job


def _probe(address: str) -> None:
    """Fail at once when no cluster listens there: Ray itself would try for two minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise RayUnavailable(
            f"{address!r} is not the address of a Ray cluster; give the head node as host:port, for example"
            " 192.168.1.2:6379"
        )
    try:
        socket.create_connection((host, int(port)), PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayUnavailable(
            f"there is no Ray cluster at {address} ({error}); start one with `ray start --head`, or leave the address"
            " out to start Ray on this machine"
        ) from None


def search_path() -> str:
    """Return where this process finds modules, as ``PYTHONPATH`` for one that is to find the same."""
    return os.pathsep.join(dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path if Path(entry).is_dir()))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
