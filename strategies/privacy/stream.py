"""Random numbers from a cryptographic stream, for noise that protects."""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

KEY_BYTES = 32
_DOUBLE_BITS = 53


class Stream:
    """Uniform numbers of the key stream of AES-256 in counter mode.

    Who does not know the key can tell them from chance only by breaking AES, however many have been seen. The same key
    gives the same numbers: noise for two questions needs two keys, which derive from a secret and from all of each
    question.

    Args:
        key: 32 secret bytes.

    Raises:
        ValueError: When the key has another length.

    Examples:
        >>> Stream(bytes(32)).below(6, 4).tolist() == Stream(bytes(32)).below(6, 4).tolist()
        True
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of a stream is {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        return self._cipher.update(bytes(size))

    def words(self, size: int) -> NDArray[np.uint32]:
        """Return (size,) uniform words of 32 bits."""
        return np.frombuffer(self.take(4 * size), dtype="<u4")

    def bits(self, bits: int, size: int) -> NDArray[np.int64]:
        """Return (size,) integers, uniform in 0..2^bits - 1; of 0 to 63 bits."""
        width = next(width for width in (1, 2, 4, 8) if bits <= 8 * width)
        drawn = np.frombuffer(self.take(width * size), dtype=f"<u{width}")
        masked: NDArray[np.int64] = (drawn & drawn.dtype.type((1 << bits) - 1)).astype(np.int64)
        return masked

    def below(self, end: int, size: int) -> NDArray[np.int64]:
        """Return (size,) integers, uniform in 0..end - 1, by rejection; end is at least 1."""
        bits = (end - 1).bit_length()
        drawn = self.bits(bits, size)
        while len(wrong := np.flatnonzero(drawn >= end)):
            drawn[wrong] = self.bits(bits, len(wrong))
        return drawn

    def uniform(self, size: int) -> NDArray[np.float64]:
        """Return (size,) multiples of 2^-53, uniform in [0, 1)."""
        return np.ldexp(self.bits(_DOUBLE_BITS, size).astype(np.float64), -_DOUBLE_BITS)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """Return the numbers 0..size - 1 in random order."""
        while len(np.unique(keys := self.bits(63, size))) < size:
            pass
        return np.argsort(keys)
