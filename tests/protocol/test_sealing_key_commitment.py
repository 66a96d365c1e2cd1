"""One ciphertext and tag that AES-GCM opens to two messages under two keys (Dodis et al., CRYPTO 2018, section 3)."""

import os
import struct

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sealed_by_description import CONTEXT, IMAGE, KEYS, body_keys, plaintext_of, wrapped

from protocol.crypto.sealing import SealBroken, open_sealed


def multiply(x: int, y: int) -> int:
    """Multiply in GCM's field: GF(2^128), the first bit standing for x^0."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= y if x >> bit & 1 else 0
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def power(x: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        result = multiply(result, x) if exponent & 1 else result
        x, exponent = multiply(x, x), exponent >> 1
    return result


def encrypt_block(key: bytes, block: bytes) -> int:
    return int.from_bytes(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block), "big")


def keystream(key: bytes, index: int) -> int:
    return encrypt_block(key, bytes(12) + struct.pack(">I", index + 2))


def blocks_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 16].ljust(16, b"\0"), "big") for i in range(0, len(data), 16)]


def opens_twice(keys: tuple[bytes, bytes], aad: bytes, ciphertext: list[int], free: int) -> bytes:
    """Choose the free block so that the tag is the same under both keys: one linear equation in GF(2^128).

    tag(K) = sum_i X_i H^(n-i) + E_K(nonce || 1), where H = E_K(0) and X is aad, ciphertext and their lengths.
    """
    lengths = struct.pack(">QQ", 8 * len(aad), 128 * len(ciphertext))
    ciphertext[free] = 0
    hashed = [*blocks_of(aad), *ciphertext, *blocks_of(lengths)]
    position = len(hashed) - (len(blocks_of(aad)) + free)
    tags = []
    for key in keys:
        h = encrypt_block(key, bytes(16))
        tag = encrypt_block(key, bytes(12) + b"\0\0\0\1")
        for i, block in enumerate(hashed):
            tag ^= multiply(block, power(h, len(hashed) - i))
        tags.append((tag, power(h, position)))
    (tag1, power1), (tag2, power2) = tags
    ciphertext[free] = multiply(tag1 ^ tag2, power(power1 ^ power2, 2**128 - 2))
    tag = tag1 ^ multiply(ciphertext[free], power1)
    return b"".join(block.to_bytes(16, "big") for block in [*ciphertext, tag])


class TestKeyCommitment:
    aad = b"an aad of more than one block"

    def test_bare_aes_gcm_does_not_commit_to_its_key(self) -> None:
        keys = (b"key one".ljust(32, b"."), b"key two".ljust(32, b"."))
        shown = [int.from_bytes(b"cats, as ordered", "big"), int.from_bytes(b"a picture of dog", "big")]
        ciphertext = [shown[i] ^ keystream(keys[i], i) for i in range(2)]
        both = opens_twice(keys, self.aad, [*ciphertext, 0], free=2)
        first, second = (AESGCM(key).decrypt(bytes(12), both, self.aad) for key in keys)
        assert first.startswith(b"cats, as ordered")
        assert second[16:].startswith(b"a picture of dog")
        assert first != second

    def test_a_sealed_image_does(self) -> None:
        data_keys = (os.urandom(32), os.urandom(32))
        commitments, keys = zip(*(body_keys(data_key) for data_key in data_keys), strict=True)
        aad = CONTEXT + commitments[0]
        plaintext = blocks_of(plaintext_of(4, 4, IMAGE.tobytes()))
        ciphertext = [block ^ keystream(keys[0], i) for i, block in enumerate(plaintext)]
        ciphertext[5] = int.from_bytes(b"not what I sold!", "big") ^ keystream(keys[1], 5)
        body = opens_twice(keys, aad, ciphertext, free=4)

        assert AESGCM(keys[0]).decrypt(bytes(12), body, aad)[:64] == plaintext_of(4, 4, IMAGE.tobytes())[:64]
        assert AESGCM(keys[1]).decrypt(bytes(12), body, aad)[-16:] == b"not what I sold!"

        wraps = [wrapped(data_key, KEYS["x25519"].public) for data_key in data_keys]
        first = open_sealed(wraps[0] + commitments[0] + body, KEYS["x25519"].private, CONTEXT, "x25519")
        assert np.array_equal(first.image[0], IMAGE[0])
        with pytest.raises(SealBroken, match="does not commit to the data key"):
            open_sealed(wraps[1] + commitments[0] + body, KEYS["x25519"].private, CONTEXT, "x25519")
        with pytest.raises(SealBroken):
            open_sealed(wraps[1] + commitments[1] + body, KEYS["x25519"].private, CONTEXT, "x25519")

    def test_the_lying_blob_breaks_with_any_other_tag(self) -> None:
        keys = (bytes(32), bytes(31) + b"\1")
        both = opens_twice(keys, self.aad, [1, 2, 3], free=1)
        for key in keys:
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(bytes(12), both[:-1] + bytes([both[-1] ^ 1]), self.aad)
