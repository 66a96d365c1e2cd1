"""Commitments to an image and to its feature: made with the bid, opened to the buyer in the sealed box.

A commitment is SHA-256 over length-prefixed fields that begin with a label of its own. It is *binding*
because the encoding is injective and SHA-256 resists collisions, and *hiding* because each one has a
fresh random salt of 128 bits. Without the salt a plain hash of a lattice point is found by trying all
2^32 of them, in seconds.
"""

import struct
from hashlib import sha256
from operator import index

import numpy as np
from numpy.typing import NDArray

from protocol.messages.base import MAX_PIXELS

Pixels = NDArray[np.uint8]
"""A picture: (H, W, 3), RGB, uint8."""

SALT_BYTES = 16

_IMAGE = b"parley/commitment/image/1"
_FEATURE = b"parley/commitment/feature/1"
_COMPONENT_BYTES = 4


def commit_image(salt: bytes, image: Pixels) -> bytes:
    """Commit to every pixel of an image.

    Args:
        salt: 16 fresh random bytes.
        image: (H, W, 3); the picture, 1 to 25,000,000 pixels.

    Returns:
        H(label, salt, W, H, canonical RGB), 32 bytes.

    Raises:
        ValueError: When the salt or the image is not as described.

    Examples:
        >>> picture = np.zeros((2, 3, 3), np.uint8)
        >>> commit_image(bytes(16), picture) == commit_image(bytes(16), picture.reshape(3, 2, 3))
        False
    """
    pixels = canonical_rgb(image)
    height, width, _ = image.shape
    return _hash(_IMAGE, _checked(salt), struct.pack(">II", width, height), pixels)


def commit_feature(salt: bytes, feature: tuple[int, ...], model_id: str) -> bytes:
    """Commit to a feature in integers, a lattice point or an fc8 vector; never in floats, which differ between devices.

    Args:
        salt: 16 fresh random bytes, not those of the image's commitment.
        feature: Each number within 32 bits, signed.
        model_id: The feature extractor that computed it.

    Returns:
        H(label, salt, feature, model id), 32 bytes.

    Raises:
        ValueError: When the salt or the feature is not as described.
    """
    return _hash(_FEATURE, _checked(salt), pack_feature(feature), model_id.encode())


def canonical_rgb(image: Pixels) -> memoryview:
    """Lay an image out as flat RGB bytes, row by row; copies only when needed.

    Raises:
        ValueError: When it is not a (H, W, 3) uint8 array of 1 to 25,000,000 pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is a (H, W, 3) uint8 array, not {image.dtype} of shape {image.shape}")
    height, width, _ = image.shape
    if not 1 <= height * width <= MAX_PIXELS:
        raise ValueError(f"an image has 1 to {MAX_PIXELS} pixels, not {width} x {height}")
    return np.ascontiguousarray(image).data.cast("B")


def pack_feature(feature: tuple[int, ...]) -> bytes:
    """Encode a feature in 4 bytes for each number.

    Raises:
        ValueError: When a number does not fit 32 bits, signed.
    """
    try:
        return struct.pack(f">{len(feature)}i", *map(index, feature))
    except (struct.error, TypeError):
        raise ValueError(f"a feature is integers of 32 bits, not {str(feature)[:80]}") from None


def unpack_feature(packed: bytes) -> tuple[int, ...]:
    """Read a feature from its bytes."""
    return struct.unpack(f">{len(packed) // _COMPONENT_BYTES}i", packed)


def _checked(salt: bytes) -> bytes:
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
    return salt


def _hash(*fields: bytes | memoryview) -> bytes:
    state = sha256()
    for field in fields:
        state.update(len(field).to_bytes(8, "big"))
        state.update(field)
    return state.digest()
