"""The localisation attack: what a MinHash signature tells about the feature that it hides.

The salt is public, so anyone can ask which features have a given signature. All its points lie within d of the feature,
so the feature lies in the box [max x - d, min x + d] x [max y - d, min y + d]. And no point with a hash below the
signature's largest, other than its own, lies within d of the feature, or the signature would hold it: the square of
half side d around every such point is excluded. The mean of what remains is the guess. Signatures of the same feature
under several salts narrow it down together.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.signatures import (
    BUCKET_BITS,
    BUCKETS,
    LATTICE,
    SmallestPoints,
    Whole,
    hash_of,
    signature_table,
)

_FEATURES_AT_ONCE = 1024


def localise(signatures: NDArray[np.integer[Any]], salt: bytes, reach: int) -> NDArray[np.float64]:
    """Guess the features behind the signatures of one request.

    Args:
        signatures: (n, k, 2)
        salt: The request's public salt.
        reach: d, half the window's side.

    Returns:
        (n, 2), the mean of all features that have this signature; the mean of its points where it is no feature's.

    Raises:
        ValueError: When the signatures' shape is not (n, k, 2), or salt and reach allow no signature of k points.

    Examples:
        >>> features = np.random.default_rng(0).integers(1000, 64000, (500, 2))
        >>> signatures = signature_table(b"salt", reach=300, size=4).sign(features)
        >>> guesses = localise(signatures, b"salt", reach=300)
        >>> bool(np.hypot(*(guesses - features).T).mean() < 70)
        True
    """
    return localise_over_requests([signatures], [salt], reach)


def localise_over_requests(
    signatures: Sequence[NDArray[np.integer[Any]]], salts: Sequence[bytes], reach: int
) -> NDArray[np.float64]:
    """Guess features that were signed in several requests.

    Args:
        signatures: Each (n, k, 2), one array per request; row i is the same feature in all of them.
        salts: The requests' public salts.
        reach: d, half the window's side.

    Returns:
        (n, 2), the mean of all features that have these signatures; the mean of the signatures' points where there is
        none.

    Raises:
        ValueError: When there is not one salt per request, the arrays' shapes differ or are not (n, k, 2), or a salt
            and the reach allow no signature of k points.
    """
    released, tables = _checked(signatures, salts, reach)
    lowest, highest = _window(released, reach)
    guesses: NDArray[np.float64] = released.mean(axis=(0, 2))
    for start in range(0, len(guesses), _FEATURES_AT_ONCE):
        rows = slice(start, start + _FEATURES_AT_ONCE)
        _take_means(_remaining(released, tables, lowest, highest, rows, reach), guesses[rows])
    return guesses


def is_possible(signatures: NDArray[np.integer[Any]], salt: bytes, reach: int) -> NDArray[np.bool_]:
    """Return which signatures some feature has; the others are forged.

    Args:
        signatures: (n, k, 2)
        salt: The request's public salt.
        reach: d, half the window's side.

    Returns:
        (n,)

    Raises:
        ValueError: When the signatures' shape is not (n, k, 2), or salt and reach allow no signature of k points.

    Examples:
        >>> features = np.random.default_rng(0).integers(1000, 64000, (3, 2))
        >>> signatures = signature_table(b"salt", reach=300, size=4).sign(features).astype(int)
        >>> signatures[1, 0] += 1
        >>> is_possible(signatures, b"salt", reach=300)
        array([ True, False,  True])
    """
    released, tables = _checked([signatures], [salt], reach)
    lowest, highest = _window(released, reach)
    possible = np.zeros(released.shape[1], np.bool_)
    for start in range(0, len(possible), _FEATURES_AT_ONCE):
        rows = slice(start, start + _FEATURES_AT_ONCE)
        feasible = _remaining(released, tables, lowest, highest, rows, reach)
        inside = np.arange(feasible.floors.shape[1]) <= (feasible.highest - feasible.lowest)[:, :1]
        possible[rows] = np.any(inside & (feasible.floors <= feasible.ceilings), axis=1)
    keys = np.sort(released[0, :, :, 0] << 32 | released[0, :, :, 1], axis=1)
    return np.asarray(possible & np.all(np.diff(keys, axis=1) > 0, axis=1))


def _checked(
    signatures: Sequence[NDArray[np.integer[Any]]], salts: Sequence[bytes], reach: int
) -> tuple[NDArray[np.int64], list[SmallestPoints]]:
    """Return the signatures, (requests, n, k, 2), and each request's points of smallest hashes."""
    shapes = {np.shape(request) for request in signatures}
    if len(signatures) != len(salts) or len(shapes) != 1:
        raise ValueError(
            f"{len(signatures)} arrays of shapes {sorted(shapes)} for {len(salts)} salts: give one array per salt, all "
            "of one shape"
        )
    released = np.stack(signatures).astype(np.int64)
    if released.ndim != 4 or released.shape[3] != 2:
        raise ValueError(f"signatures must have shape (n, k, 2), k points per image; got {released.shape[1:]}")
    return released, [signature_table(salt, reach, released.shape[2]).smallest for salt in salts]


def _window(released: NDArray[np.int64], reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest and the highest x and y that features can have within d of all their points, each (n, 2)."""
    lowest = np.maximum(0, released.max(axis=(0, 2)) - reach)
    return lowest, np.minimum(LATTICE - 1, released.min(axis=(0, 2)) + reach)


def _remaining(
    released: NDArray[np.int64],
    tables: Sequence[SmallestPoints],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
    rows: slice,
    reach: int,
) -> "_Feasible":
    """Return where features that have these signatures can be."""
    feasible = _box(lowest[rows], highest[rows], 2 * reach + 1)
    for request, smallest in zip(released, tables, strict=True):
        _exclude(feasible, request[rows], reach, smallest)
    return feasible


class _Feasible(NamedTuple):
    """Where each of m features can be: a box, and in each of its columns a range of y."""

    lowest: NDArray[np.int64]  # (m, 2)
    highest: NDArray[np.int64]  # (m, 2)
    floors: NDArray[np.int64]  # (m, width): lowest y in column lowest x + j
    ceilings: NDArray[np.int64]  # (m, width): highest y in that column; below the floor where there is none


def _box(lowest: NDArray[np.int64], highest: NDArray[np.int64], width: int) -> _Feasible:
    shape = (len(lowest), width)
    return _Feasible(
        lowest,
        highest,
        floors=np.broadcast_to(lowest[:, 1:], shape).copy(),
        ceilings=np.broadcast_to(highest[:, 1:], shape).copy(),
    )


@compiled
def _exclude(feasible: _Feasible, signatures: NDArray[np.int64], reach: int, smallest: SmallestPoints) -> None:
    """Exclude what is near any point that the signature would have held."""
    keys, starts, hashes, points = smallest
    size = signatures.shape[1]
    own = np.empty(size, np.int64)
    for i in range(len(signatures)):
        for j in range(size):
            own[j] = hash_of(signatures[i, j, 0], signatures[i, j, 1], keys)
        largest = own.max()
        low_x, high_x = max(0, feasible.lowest[i, 0] - reach), min(LATTICE - 1, feasible.highest[i, 0] + reach)
        low_y, high_y = max(0, feasible.lowest[i, 1] - reach), min(LATTICE - 1, feasible.highest[i, 1] + reach)
        if largest <= len(hashes):
            for column in range(low_x >> BUCKET_BITS, (high_x >> BUCKET_BITS) + 1):
                for row in range(low_y >> BUCKET_BITS, (high_y >> BUCKET_BITS) + 1):
                    bucket = column * BUCKETS + row
                    for entry in range(starts[bucket], starts[bucket + 1]):
                        if hashes[entry] >= largest:
                            break
                        if not np.any(own == hashes[entry]):
                            _exclude_square(feasible, i, np.int64(points[entry, 0]), np.int64(points[entry, 1]), reach)
        else:
            for x in range(low_x, high_x + 1):
                for y in range(low_y, high_y + 1):
                    hashed = hash_of(x, y, keys)
                    if hashed < largest and not np.any(own == hashed):
                        _exclude_square(feasible, i, x, y, reach)


@compiled
def _exclude_square(feasible: _Feasible, i: int, x: Whole, y: Whole, reach: int) -> None:
    """Exclude a square of half side `reach`: being at least as high as the box, it reaches its bottom or its top."""
    low_x, low_y = feasible.lowest[i, 0], feasible.lowest[i, 1]
    for column in range(max(0, x - reach - low_x), min(x + reach, feasible.highest[i, 0]) - low_x + 1):
        if y - reach <= low_y:
            feasible.floors[i, column] = max(feasible.floors[i, column], y + reach + 1)
        else:
            feasible.ceilings[i, column] = min(feasible.ceilings[i, column], y - reach - 1)


@compiled
def _take_means(feasible: _Feasible, guesses: NDArray[np.float64]) -> None:
    """Write the mean of what remains feasible over each guess, and leave it where nothing does."""
    for i in range(len(guesses)):
        count, total_x, total_y = 0, 0.0, 0.0
        for column in range(feasible.highest[i, 0] - feasible.lowest[i, 0] + 1):
            floor, ceiling = feasible.floors[i, column], feasible.ceilings[i, column]
            here = max(0, ceiling - floor + 1)
            count += here
            total_x += here * (feasible.lowest[i, 0] + column)
            total_y += here * (floor + ceiling) / 2
        if count > 0:
            guesses[i, 0], guesses[i, 1] = total_x / count, total_y / count
