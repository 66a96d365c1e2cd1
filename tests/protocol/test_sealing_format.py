"""The format is the one that is described, and a seller that does not keep to it is refused."""

import tracemalloc

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sealed_by_description import (
    BLOBS,
    CONTEXT,
    IMAGE,
    KEYS,
    OPENING,
    base_mode,
    body_keys,
    every_suite,
    plaintext_of,
    same,
    sealed_by_hand,
    unwrapped,
    wrapped,
    x25519_shared,
)

from protocol.crypto.sealing import SUITES, SealBroken, delivery_public_key, open_sealed, sealed_length


class TestFormat:
    @pytest.mark.parametrize(
        ("aead", "key_size", "private", "enc", "ciphertext"),
        [
            pytest.param(
                1,
                16,
                "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
                "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
                "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
                id="RFC 9180 appendix A.1.1: AES-128-GCM",
            ),
            pytest.param(
                2,
                32,
                "497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d",
                "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256",
                "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a",
                id="CFRG's vectors to RFC 9180: AES-256-GCM",
            ),
        ],
    )
    def test_our_reading_of_rfc_9180_agrees_with_its_vectors(
        self, aead: int, key_size: int, private: str, enc: str, ciphertext: str
    ) -> None:
        own = X25519PrivateKey.from_private_bytes(bytes.fromhex(private))
        point = bytes.fromhex(enc)
        shared = x25519_shared(
            own.exchange(X25519PublicKey.from_public_bytes(point)), point, own.public_key().public_bytes_raw()
        )
        cipher, nonce = base_mode(0x0020, aead, key_size, shared, b"Ode on a Grecian Urn")
        assert cipher.decrypt(nonce, bytes.fromhex(ciphertext), b"Count-0") == b"Beauty is truth, truth beauty"

    @every_suite
    def test_what_we_seal_opens_by_the_description(self, suite: str) -> None:
        blob, wrap_bytes = BLOBS[suite], SUITES[suite].wrap_bytes
        commitment, key = body_keys(unwrapped(blob[:wrap_bytes], suite))
        assert blob[wrap_bytes : wrap_bytes + 32] == commitment
        plaintext = AESGCM(key).decrypt(bytes(12), blob[wrap_bytes + 32 :], CONTEXT + commitment)
        assert plaintext == plaintext_of(4, 4, IMAGE.tobytes())

    def test_what_is_sealed_by_the_description_opens(self) -> None:
        blob = sealed_by_hand(plaintext_of(4, 4, IMAGE.tobytes()))
        assert same(open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519"), OPENING)

    def test_the_hybrid_key_is_that_of_x_wing(self) -> None:
        seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
        public = delivery_public_key(seed, "mlkem768-x25519")
        assert public.hex().startswith("e2236b35a8c24b39b10aa1323a96a919a2ced884")
        assert public.hex().endswith("4570216223593d4ba32d9abac8cd049040ef6534")


class TestHostileSeller:
    """A seller seals what it likes, correctly: the cipher accepts it, the format must not."""

    @pytest.mark.parametrize(
        ("width", "height", "size"),
        [(0, 16, 48), (16, 0, 48), (2**32 - 1, 2**32 - 1, 48), (5000, 5001, 48), (2, 4, 48), (4, 5, 48), (16, 1, 56)],
    )
    def test_sizes_that_are_not_true_are_refused_before_anything_is_allocated(
        self, width: int, height: int, size: int
    ) -> None:
        blob = sealed_by_hand(plaintext_of(width, height, bytes(size)))
        tracemalloc.start()
        with pytest.raises(SealBroken, match=f"claims an image of {width} x {height} pixels"):
            open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000

    def test_an_image_of_too_many_pixels_is_refused_even_where_its_length_would_pass(self) -> None:
        pixels = bytes(3 * 5000 * 5001 + 482_424)
        blob = sealed_by_hand(plaintext_of(5000, 5001, pixels))
        assert len(blob) == sealed_length(25_000_000, "x25519")
        with pytest.raises(SealBroken, match="claims an image of 5000 x 5001 pixels"):
            open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519")

    def test_nothing_travels_in_the_padding(self) -> None:
        honest = plaintext_of(5, 5, bytes(75)) + bytes(5)
        assert open_sealed(sealed_by_hand(honest), KEYS["x25519"].private, CONTEXT, "x25519").image.shape == (5, 5, 3)
        with pytest.raises(SealBroken, match="padding is not zero"):
            open_sealed(sealed_by_hand(honest[:-1] + b"\1"), KEYS["x25519"].private, CONTEXT, "x25519")

    def test_an_oversized_blob_is_refused_unread(self) -> None:
        with pytest.raises(SealBroken, match="a sealed image is 180 to 75497600 bytes"):
            open_sealed(bytes(75_497_601), KEYS["x25519"].private, CONTEXT, "x25519")

    @pytest.mark.parametrize("data_key", [b"", bytes(31), bytes(33)])
    def test_a_data_key_of_another_size_is_refused(self, data_key: bytes) -> None:
        blob = wrapped(data_key, KEYS["x25519"].public) + BLOBS["x25519"][80:]
        with pytest.raises(SealBroken):
            open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519")
