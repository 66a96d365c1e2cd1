"""MinHash signatures: what a seller shows at privacy level 2 instead of an image's feature.

A feature is a point of the 2^16 x 2^16 integer lattice. Its signature is the k points with the smallest hash among the
(2d + 1)^2 points around it (CrowdBuy, section V.B, definition 4). The hash is a bijection of the lattice, chosen by the
request's public salt, so it can be run backwards: the T smallest points of the whole plane are listed once, sorted into
buckets, and every signature is then found among the few dozen of them that lie near the feature.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from math import comb
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled

LATTICE: Final = 65536
"""Points along each axis: a coordinate is valid from 0 to LATTICE - 1."""

Whole = int | np.integer[Any]

_ROUNDS: Final = 6
BUCKET_BITS: Final = 8
"""A bucket holds 2^8 x 2^8 lattice points; bucket numbers run along y first."""
BUCKETS: Final = LATTICE >> BUCKET_BITS
"""Buckets along each axis."""

_PLENTY: Final = 10  # a window holds on average this many times the points that its signature needs
_SMALLEST_TABLE: Final = 2**16
_LARGEST_TABLE: Final = 2**21
_NO_HASH: Final = 2**32  # above every hash


def on_lattice(features: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which features lie within the lattice; the others are unmatched.

    Args:
        features: (..., 2)

    Returns:
        (...)
    """
    return np.asarray(((features >= 0) & (features < LATTICE)).all(axis=-1))


def require_lattice(features: NDArray[np.int64]) -> NDArray[np.int64]:
    """Check an (n, 2) array of lattice points and return it as contiguous int64.

    Raises:
        ValueError: When the shape is not (n, 2), the type is not an integer, or a point lies off the lattice.
    """
    points = np.asarray(features)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"features must have shape (n, 2), one lattice point each; got {points.shape}")
    if points.size and not np.issubdtype(points.dtype, np.integer):
        raise ValueError(f"features must be integer lattice points; got {points.dtype}: round them first")
    inside = on_lattice(points)
    if not inside.all():
        outside = int(np.argmin(inside))
        raise ValueError(
            f"feature {outside} is {points[outside].tolist()}, off the lattice: every coordinate must be 0 to "
            f"{LATTICE - 1}; leave such images out as unmatched"
        )
    return np.array(points, dtype=np.int64)


@compiled
def _scramble(half: np.uint32, key: np.uint32) -> np.uint32:
    """Mix 16 bits with a round key into 16 bits (a murmur-like finaliser)."""
    mixed = np.uint32(half ^ key)
    mixed = np.uint32(mixed * np.uint32(0x9E3779B1))
    mixed ^= mixed >> np.uint32(15)
    mixed = np.uint32(mixed * np.uint32(0x85EBCA77))
    mixed ^= mixed >> np.uint32(13)
    mixed = np.uint32(mixed * np.uint32(0xC2B2AE3D))
    mixed ^= mixed >> np.uint32(16)
    return np.uint32(mixed & np.uint32(0xFFFF))


@compiled
def hash_of(x: Whole, y: Whole, keys: NDArray[np.uint32]) -> np.int64:
    """Hash a lattice point to 0 .. 2^32 - 1 by a Feistel network: distinct points have distinct hashes."""
    left, right = np.uint32(x), np.uint32(y)
    for key in keys:
        left, right = right, np.uint32(left ^ _scramble(right, key))
    return np.int64(left) << 16 | np.int64(right)


@compiled
def point_of(hashed: Whole, keys: NDArray[np.uint32]) -> tuple[np.int64, np.int64]:
    """Return the lattice point that has a given hash."""
    left, right = np.uint32(hashed >> 16), np.uint32(hashed & 0xFFFF)
    for key in keys[::-1]:
        left, right = np.uint32(right ^ _scramble(left, key)), left
    return np.int64(left), np.int64(right)


@compiled
def _smallest_points(count: int, keys: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return the points of the whole lattice with hashes 0 .. count - 1."""
    points = np.empty((count, 2), np.uint16)
    for hashed in range(count):
        points[hashed, 0], points[hashed, 1] = point_of(hashed, keys)
    return points


@compiled
def _keep_smallest(best: NDArray[np.int64], hashed: Whole) -> None:
    """Insert a hash into the ascending list of the smallest, dropping the largest."""
    place = len(best) - 1
    while place > 0 and best[place - 1] > hashed:
        best[place] = best[place - 1]
        place -= 1
    best[place] = hashed


class SmallestPoints(NamedTuple):
    """The points of the whole lattice with the T smallest hashes, in buckets of 256 x 256 lattice points.

    Attributes:
        keys: (6,), the hash's round keys.
        starts: (65537,), where each bucket starts in `hashes` and `points`.
        hashes: (T,), 0 .. T - 1, by bucket and ascending in each.
        points: (T, 2), the point with each hash.
    """

    keys: NDArray[np.uint32]
    starts: NDArray[np.int64]
    hashes: NDArray[np.int64]
    points: NDArray[np.uint16]


@compiled
def _sign(features: NDArray[np.int64], reach: int, size: int, smallest: SmallestPoints) -> NDArray[np.uint16]:
    """Return every feature's signature: from the smallest points, or by a full scan where they are too few."""
    keys, starts, hashes, points = smallest
    signatures = np.empty((len(features), size, 2), np.uint16)
    best = np.empty(size, np.int64)
    for i in range(len(features)):
        low_x, high_x = max(0, features[i, 0] - reach), min(LATTICE - 1, features[i, 0] + reach)
        low_y, high_y = max(0, features[i, 1] - reach), min(LATTICE - 1, features[i, 1] + reach)
        best[:] = _NO_HASH
        for column in range(low_x >> BUCKET_BITS, (high_x >> BUCKET_BITS) + 1):
            for row in range(low_y >> BUCKET_BITS, (high_y >> BUCKET_BITS) + 1):
                bucket = column * BUCKETS + row
                for entry in range(starts[bucket], starts[bucket + 1]):
                    if hashes[entry] >= best[-1]:
                        break
                    if low_x <= points[entry, 0] <= high_x and low_y <= points[entry, 1] <= high_y:
                        _keep_smallest(best, hashes[entry])
        if best[-1] == _NO_HASH:
            best[:] = _NO_HASH
            for x in range(low_x, high_x + 1):
                for y in range(low_y, high_y + 1):
                    hashed = hash_of(x, y, keys)
                    if hashed < best[-1]:
                        _keep_smallest(best, hashed)
        for j in range(size):
            signatures[i, j, 0], signatures[i, j, 1] = point_of(best[j], keys)
    return signatures


@dataclass(frozen=True)
class SignatureTable:
    """The smallest points of the whole lattice under one public salt, ready to sign any number of features.

    Get one from `signature_table`.

    Attributes:
        salt: The request's public salt, which chooses the hash.
        reach: d: the window around a feature has (2 d + 1)^2 points, less where the lattice ends.
        size: k, points in a signature.
        smallest: Where to look first.
    """

    salt: bytes
    reach: int
    size: int
    smallest: SmallestPoints = field(repr=False, compare=False)

    def sign(self, features: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return the MinHash signature of every feature.

        Args:
            features: (n, 2), lattice points.

        Returns:
            (n, k, 2); the points of each feature's window with the smallest hashes, ascending by hash.

        Raises:
            ValueError: When a feature lies off the lattice, or the array is not (n, 2) integers.
        """
        return _sign(require_lattice(features), self.reach, self.size, self.smallest)


@lru_cache(maxsize=16)
def signature_table(salt: bytes, reach: int, size: int) -> SignatureTable:
    """Build the table that signs features under one public salt.

    Args:
        salt: The request's public salt, at most 64 bytes.
        reach: d, half the window's side, in lattice steps.
        size: k, points in a signature.

    Raises:
        ValueError: When the salt is too long, the reach is not within the lattice, or a window in the lattice's corner
            would have fewer points than the signature.

    Examples:
        >>> table = signature_table(b"request 1", reach=300, size=4)
        >>> signature = table.sign(np.array([[32768, 32768]]))[0]
        >>> signature.shape, bool(np.all(np.abs(signature.astype(int) - 32768) <= 300))
        ((4, 2), True)
    """
    if len(salt) > blake2b.MAX_KEY_SIZE:
        raise ValueError(f"the salt has {len(salt)} bytes: {blake2b.MAX_KEY_SIZE} at most")
    if not 0 <= reach < LATTICE:
        raise ValueError(f"reach is {reach}: it must be 0 to {LATTICE - 1} lattice steps")
    if not 1 <= size <= (reach + 1) ** 2:
        raise ValueError(
            f"size is {size}: a window of reach {reach} has only {(reach + 1) ** 2} points in the lattice's corner, so "
            "a signature may have 1 to that many"
        )
    digest = blake2b(key=salt, digest_size=4 * _ROUNDS, person=b"signature").digest()
    keys = np.frombuffer(digest, "<u4").astype(np.uint32)
    plenty = _PLENTY * size * LATTICE**2 // (2 * reach + 1) ** 2
    points = _smallest_points(min(max(plenty, _SMALLEST_TABLE), _LARGEST_TABLE), keys)
    bucket = points[:, 0] >> BUCKET_BITS << BUCKET_BITS | points[:, 1] >> BUCKET_BITS
    by_bucket = np.argsort(bucket, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=BUCKETS**2))])
    smallest = SmallestPoints(keys, starts, by_bucket, points[by_bucket])
    for shared in smallest:
        shared.flags.writeable = False
    return SignatureTable(salt, reach, size, smallest)


def centroids(signatures: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the mean point of each signature: all that the cloud knows of where the feature lies.

    Args:
        signatures: (n, k, 2)

    Returns:
        (n, 2)

    Examples:
        >>> centroids(np.array([[[0, 0], [4, 2]]], np.uint16))
        array([[2., 1.]])
    """
    return np.asarray(signatures.mean(axis=1, dtype=np.float64))


def theorem5_delta(reach: int, size: int, steps: int) -> float:
    """Return the delta for which signatures of features `steps` apart are (epsilon, delta)-indistinguishable.

    CrowdBuy's theorem 5 claims a bound on epsilon, 2 d k r / (4 d^2 - k + 1). It is false: a signature that holds a
    point of one window only has probability 0 under the other. What holds, for every epsilon >= 0 and over a uniformly
    random hash, is this delta: the probability that a signature of k of the N = (2 d + 1)^2 points holds one of the
    m = r (2 d + 1) that the other window lacks, 1 - C(N - m, k) / C(N, k). It is at most k m / (N - k + 1), the paper's
    number up to rounding. With the salt public, as the protocol has it, the map is deterministic and not even this
    holds.

    Args:
        reach: d, half the window's side.
        size: k, points in a signature.
        steps: r, the rows or columns by which the two windows differ.

    Raises:
        ValueError: When a number is negative, or the signature is larger than the window.

    Examples:
        >>> [round(theorem5_delta(300, 4, steps), 4) for steps in (1, 75, 125)]
        [0.0066, 0.4133, 0.6065]
    """
    window = (2 * reach + 1) ** 2
    if reach < 0 or steps < 0 or not 1 <= size <= window:
        raise ValueError(
            f"reach {reach}, size {size}, steps {steps}: reach and steps must be >= 0 and size 1 to (2 reach + 1)^2"
        )
    shared = max(0, window - steps * (2 * reach + 1))
    return (comb(window, size) - comb(shared, size)) / comb(window, size)
