"""Partitions of pictures over sellers: the size and the classes of each album."""

import numpy as np
from numpy.typing import NDArray


def album_sizes(count: int, least: int, most: int, skew: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the number of pictures of each seller (quantity skew).

    The probability of a size s is proportional to s^-skew: 0 is uniform; with 1 and more, most sellers have few
    pictures and a few have many.

    Args:
        least, most: Range of the sizes, both included; at least 1.
        skew: Exponent of the power law, 0 or more.

    Returns:
        (count,)

    Examples:
        >>> uniform, skewed = (album_sizes(10_000, 1, 20, skew, np.random.default_rng(1)) for skew in (0, 1.5))
        >>> round(float(uniform.mean())), round(float(skewed.mean()))
        (11, 4)
    """
    if skew == 0:
        return generator.integers(least, most + 1, count)
    sizes = np.arange(least, most + 1)
    weights = (sizes / least) ** -skew
    return generator.choice(sizes, count, p=weights / weights.sum())


def by_classes(held: NDArray[np.int64], size: int, variety: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the class of each picture of an album uniformly from a few classes.

    Args:
        held: (k,), classes that this seller may have; at least one.
        size: Number of pictures.
        variety: How many of these classes it has, at least 1.

    Returns:
        (size,)

    Examples:
        >>> len(set(by_classes(np.arange(10), 100, 2, np.random.default_rng(1)).tolist()))
        2
    """
    return generator.choice(generator.permutation(held)[:variety], size)


def by_dirichlet(held: NDArray[np.int64], size: int, alpha: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the class of each picture of an album with shares from a symmetric Dirichlet distribution (label skew).

    The usual model of non-IID parties in federated learning (Hsu, Qi and Brown, 2019, arXiv:1909.06335): near 0, an
    album has one class; with a large concentration, it has equal shares of all classes.

    Args:
        held: (k,), classes that this seller may have; at least one.
        size: Number of pictures.
        alpha: Concentration, above 0.

    Returns:
        (size,)

    Examples:
        >>> np.bincount(by_dirichlet(np.arange(3), 60, 0.01, np.random.default_rng(3))).max().item()
        60
    """
    return generator.choice(held, size, p=generator.dirichlet(np.full(len(held), alpha)))


def by_person(held: NDArray[np.int64], size: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw the single class of an album of one person."""
    return np.full(size, generator.choice(held), dtype=np.int64)
