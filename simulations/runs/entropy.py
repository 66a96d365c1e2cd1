"""Random numbers that a program takes from the operating system: from a seed instead, or noted."""

import os
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

_PYTHON = sysconfig.get_path("stdlib")


@contextmanager
def entropy_from(seed: int) -> Iterator[None]:
    """Seed, for a while, the generators that are given no seed, one after the other.

    These are ``numpy.random.default_rng()``, ``random.Random()`` and their like, ``random.seed()``,
    ``numpy.random.seed()`` and ``torch.seed()``. `os.urandom`, and what draws from it (`secrets`, `uuid.uuid4`), stays
    what it is.
    """
    source = random.Random(seed)
    seed_python, seed_numpy = random.Random.seed, np.random.seed

    def python(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed_python(self, source.getrandbits(128) if a is None else a, version)

    def numpy(seed: Any = None) -> None:
        seed_numpy(source.getrandbits(32) if seed is None else seed)

    def pytorch() -> int:
        torch.manual_seed(drawn := source.getrandbits(63))
        return drawn

    shared = random.seed.__self__  # type: ignore[attr-defined]
    with (
        _replaced(np.random.bit_generator, "randbits", source.getrandbits),
        _replaced(random.Random, "seed", python),
        _replaced(random, "seed", python.__get__(shared)),
        _replaced(np.random, "seed", numpy),
        _replaced(torch, "seed", pytorch),
        _replaced(torch.random, "seed", pytorch),
    ):
        yield


@contextmanager
def noting_unseeded(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Note, for a while, which lines of a program draw from `os.urandom`, which no seed reaches.

    Args:
        folder: Where the program is.
        note: Called with the file and the line.
    """
    urandom = os.urandom

    def noted(size: int, /) -> bytes:
        frame = sys._getframe(1)
        while frame.f_back is not None and _is_python(frame.f_code.co_filename):
            frame = frame.f_back
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(folder):
            note(f"{path.relative_to(folder)}, line {frame.f_lineno}")
        return urandom(size)

    with _replaced(os, "urandom", noted), _replaced(random, "_urandom", noted):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _is_python(path: str) -> bool:
    """Whether code is Python's own, such as that of `uuid` and `random`."""
    return path.startswith(_PYTHON) and "-packages" not in path
