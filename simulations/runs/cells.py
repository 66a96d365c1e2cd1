"""What jobs of a run came to, kept by the hash of all that went into them, so that a run that was interrupted goes on.

A cell is a file named by its hash. It holds a pickle, which runs code when it is read, so it begins with a MAC under a
key of this user: cells that somebody else made are computed again.
"""

import hashlib
import hmac
import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import torch
from joblib.hashing import NumpyHasher

import deploy
import parties
import protocol
import simulations
import strategies
from protocol.compute.workshop import Done, Handle, Placed, Workshop
from simulations.reports.model import versions

T = TypeVar("T")

CELLS = "cells"
"""The folder, in that of a run."""
KEY = Path("~/.cache/parley/cells.key")
"""Of this user."""
_MAC = 32


class _Hasher(NumpyHasher):  # type: ignore[misc]  # joblib has no types
    """Hashes tensors by their values."""

    def save(self, obj: Any) -> None:
        if isinstance(obj, torch.Tensor):
            obj = (torch.Tensor, obj.requires_grad, obj.detach().cpu().contiguous().numpy())
        super().save(obj)


@cache
def code() -> str:
    """Return the hash of all modules that a job may run."""
    hashed = hashlib.sha256()
    for package in (strategies, protocol, parties, deploy, simulations):
        (root,) = package.__path__
        for path in sorted(Path(root).rglob("*.py")):
            hashed.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return hashed.hexdigest()


def name_of(function: Callable[..., Any], arguments: Sequence[Any]) -> str | None:
    """Return the hash of a job and of what it depends on; None for what cannot be hashed.

    Of a function that is not a module's own, such as a method or a closure, not all that it depends on is among its
    arguments.
    """
    if not isinstance(function, FunctionType) or function.__qualname__ != function.__name__:
        return None
    device = "cuda" if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    what = (f"{function.__module__}.{function.__qualname__}", code(), versions(), device)
    try:
        return str(_Hasher("sha256").hash((what, tuple(arguments))))
    except (pickle.PicklingError, TypeError, AttributeError):  # as of what lives in this process alone
        return None


@cache
def _key() -> bytes:
    """Return this user's key; where it cannot be kept, cells are good for this process alone."""
    with suppress(OSError, RuntimeError):  # the latter where there is no home
        path = KEY.expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(made, "wb") as file:
                file.write(os.urandom(_MAC))
        if len(found := path.read_bytes()) == _MAC:
            return found
    return os.urandom(_MAC)


@dataclass(frozen=True)
class _Kept:
    """The ticket of a job: what it came to before, or the handle of the workshop that does it."""

    done: Done[Any] | None
    handle: Handle[Any] | None


class KeepingWorkshop(Workshop):
    """Any workshop, whose jobs are looked up in a folder before they are done, and kept there afterwards.

    Args:
        workshop: Does what is not there; it is closed with this one.
        folder: Made when there is something to keep.
    """

    def __init__(self, workshop: Workshop, folder: Path) -> None:
        self._workshop, self._folder = workshop, folder

    def submit(self, function: Callable[..., T], *arguments: Any) -> Handle[T]:
        """Hand in a job, unless it was done before."""
        name = name_of(function, arguments)
        if name is None:
            return Handle(_Kept(None, self._workshop.submit(function, *arguments)))
        path = (self._folder / name).absolute()
        if (before := read(path, _key())) is not None:
            return Handle(_Kept(before, None))
        return Handle(_Kept(None, self._workshop.submit(_keeping, path, _key(), function, arguments)))

    def gather(
        self, handles: Sequence[Handle[T]], on_done: Callable[[int, Done[T]], None] = lambda index, done: None
    ) -> list[Done[T]]:
        """Return what was there, and wait for the rest."""
        tickets: list[_Kept] = [handle.ticket for handle in handles]
        ends: dict[int, Done[T]] = {index: each.done for index, each in enumerate(tickets) if each.done is not None}
        for index, done in ends.items():
            on_done(index, done)
        waiting = [index for index in range(len(tickets)) if index not in ends]
        others = [each.handle for each in tickets if each.handle is not None]
        found = self._workshop.gather(others, lambda place, done: on_done(waiting[place], done))
        ends |= dict(zip(waiting, found, strict=True))
        return [ends[index] for index in range(len(tickets))]

    def place(self, make: Callable[..., object], *arguments: Any) -> Placed:
        """Make an object in the workshop; it is not kept."""
        return self._workshop.place(make, *arguments)

    @property
    def equipment(self) -> str:
        """That of the workshop."""
        return self._workshop.equipment

    def close(self) -> None:
        """Close the workshop."""
        self._workshop.close()


def _keeping(device: torch.device, path: Path, key: bytes, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """Do a job and keep its value, where it was done: so it is there even if nobody waits for it any more."""
    value = function(device, *arguments)
    write(path, key, value)
    return value


def write(path: Path, key: bytes, value: object) -> None:
    """Keep a value, whole or not at all; where there is no room it is not kept, and nobody is told."""
    try:
        written = pickle.dumps(value)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(hmac.digest(key, path.name.encode() + written, "sha256") + written)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, pickle.PicklingError):
        pass


def read(path: Path, key: bytes) -> Done[Any] | None:
    """Return what is kept; None where there is nothing that this user has written under this name."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    mac, written = found[:_MAC], found[_MAC:]
    if not hmac.compare_digest(mac, hmac.digest(key, path.name.encode() + written, "sha256")):
        return None
    try:
        return Done(pickle.loads(written), "kept", 0.0)
    except Exception:  # what other versions of libraries wrote: it is computed again
        return None
