"""Everything random in a simulation follows from the scenario's seed and from what it is for."""

import hashlib

import numpy as np
import torch


def secret(seed: int, *labels: object) -> bytes:
    """Return 32 bytes for one purpose.

    Examples
    --------
    >>> secret(7, "seller", 1) == secret(7, "seller", 1) != secret(7, "seller", 11)
    True
    """
    text = "".join(f"{len(str(label))}:{label}" for label in ("parley/seed", seed, *labels))
    return hashlib.sha256(text.encode()).digest()


def generator(seed: int, *labels: object) -> np.random.Generator:
    """Return a NumPy generator for one purpose."""
    return np.random.default_rng(int.from_bytes(secret(seed, *labels)))


def torch_generator(seed: int, *labels: object) -> torch.Generator:
    """Return a torch generator (on the CPU) for one purpose."""
    return torch.Generator().manual_seed(int.from_bytes(secret(seed, *labels)[:8]) >> 1)
