"""Everything random in a simulation follows from the scenario's seed and from what it is for."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from protocol.crypto.signing import derive
from simulations.runs.entropy import entropy_from
from strategies.privacy.secret_generator import seeded_generator
from strategies.privacy.stream import Stream


def secret(seed: int, *labels: object) -> bytes:
    """Return 32 bytes for one purpose.

    Examples:
        >>> secret(7, "seller", 1) == secret(7, "seller", 1) != secret(7, "seller", 11)
        True
    """
    text = "".join(f"{len(str(label))}:{label}" for label in ("parley/seed", seed, *labels))
    return hashlib.sha256(text.encode()).digest()


def numpy_generator(seed: int, *labels: object) -> np.random.Generator:
    """Return a NumPy generator for one purpose."""
    return np.random.default_rng(int.from_bytes(secret(seed, *labels)))


def torch_generator(seed: int, *labels: object) -> torch.Generator:
    """Return a torch generator (on the CPU) for one purpose."""
    return seeded_generator(secret(seed, *labels))


def stream(seed: int, *labels: object) -> Stream:
    """Return a stream for one purpose, for noise like that of parties."""
    return Stream(secret(seed, *labels))


class SeededEntropy:
    """Random bytes for a simulated party, in the place of the system's: each call gives others, each run the same.

    Examples:
        >>> one, again = SeededEntropy(bytes(32)), SeededEntropy(bytes(32))
        >>> drawn = one(32)
        >>> drawn == again(32) != one(32)
        True

    Args:
        seed: 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed, self._calls = seed, 0

    def __call__(self, size: int) -> bytes:
        """Return the next bytes."""
        self._calls += 1
        return derive(self._seed, "entropy", str(self._calls), length=size)


@contextmanager
def reproducible(seed: int, *purpose: object) -> Iterator[None]:
    """Seed all generators for one purpose and compute on one thread; afterwards all is as it was.

    These are the global ones, and those made without a seed (see `entropy_from`).
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state(), torch.get_num_threads()
    start = int.from_bytes(secret(seed, "flower", *purpose)[:4])
    random.seed(start)
    np.random.seed(start)
    torch.default_generator.manual_seed(start)  # `torch.manual_seed` takes a millisecond where there is no GPU
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(start)
    torch.set_num_threads(1)
    try:
        with entropy_from(int.from_bytes(secret(seed, "entropy", *purpose))):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_num_threads(states[3])
