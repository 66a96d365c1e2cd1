import hmac
import os
import struct
import tracemalloc
from hashlib import sha3_256, sha256, shake_256

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol.commitments import Pixels, commit_feature, commit_image
from protocol.messages.purchase import MAX_BLOB
from protocol.sealing import (
    SUITES,
    BadDeliveryKey,
    DeliveryKey,
    Opening,
    SealBroken,
    UnknownSuite,
    check_delivery_key,
    delivery_public_key,
    new_delivery_key,
    open_sealed,
    seal,
    sealed_length,
)

CONTEXT = sha256(b"an order").digest()
IMAGE = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
OPENING = Opening(b"salt of the img.", b"salt of feature.", (30_000, 7), IMAGE)
KEYS = {
    suite: DeliveryKey(private, delivery_public_key(private, suite))
    for suite in SUITES
    for private in [sha256(suite.encode()).digest()]
}
BLOBS = {suite: seal(OPENING, KEYS[suite].public, CONTEXT, suite) for suite in SUITES}

every_suite = pytest.mark.parametrize("suite", SUITES)


def same(a: Opening, b: Opening) -> bool:
    return (a.image_salt, a.feature_salt, a.feature) == (b.image_salt, b.feature_salt, b.feature) and np.array_equal(
        a.image, b.image
    )


# The format again, written from its description with nothing but HMAC, X25519, ML-KEM and AES-GCM.


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    block, out = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + ikm, "sha256")


def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite_id + label + info, length)


def x25519_shared(secret: bytes, enc: bytes, public: bytes) -> bytes:
    """DHKEM(X25519, HKDF-SHA256): RFC 9180, section 4.1."""
    prk = labeled_extract(b"KEM\x00\x20", b"", b"eae_prk", secret)
    return labeled_expand(b"KEM\x00\x20", prk, b"shared_secret", enc + public, 32)


def base_mode(kem: int, aead: int, key_size: int, shared: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    """The cipher and first nonce of a base mode context: RFC 9180, section 5.1."""
    suite_id = b"HPKE" + struct.pack(">HHH", kem, 1, aead)
    psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    schedule = b"\x00" + psk_id_hash + labeled_extract(suite_id, b"", b"info_hash", info)
    secret = labeled_extract(suite_id, shared, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", schedule, key_size)
    return AESGCM(key), labeled_expand(suite_id, secret, b"base_nonce", schedule, 12)


def body_keys(data_key: bytes) -> tuple[bytes, bytes]:
    keys = expand(hmac.digest(bytes(32), data_key, "sha256"), b"parley/delivery/body/1" + CONTEXT, 64)
    return keys[:32], keys[32:]


def wrapped(data_key: bytes, public: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    shared = x25519_shared(ephemeral.exchange(X25519PublicKey.from_public_bytes(public)), enc, public)
    cipher, nonce = base_mode(0x0020, 2, 32, shared, b"parley/delivery/wrap/1" + CONTEXT)
    return enc + cipher.encrypt(nonce, data_key, b"")


def unwrapped(wrap: bytes, suite: str) -> bytes:
    private, public = KEYS[suite].private, KEYS[suite].public
    if suite == "x25519":
        kem, enc = 0x0020, wrap[:32]
        own = X25519PrivateKey.from_private_bytes(private)
        shared = x25519_shared(own.exchange(X25519PublicKey.from_public_bytes(enc)), enc, public)
    else:
        kem, enc = 0x647A, wrap[:1120]
        seed = shake_256(private).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:64]).decapsulate(enc[:1088])
        point = X25519PrivateKey.from_private_bytes(seed[64:]).exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        shared = sha3_256(mlkem + point + enc[1088:] + public[1184:] + b"\\.//^\\").digest()
    cipher, nonce = base_mode(kem, 2, 32, shared, b"parley/delivery/wrap/1" + CONTEXT)
    return cipher.decrypt(nonce, wrap[len(enc) :], b"")


def plaintext_of(width: int, height: int, pixels: bytes) -> bytes:
    fields = (OPENING.image_salt, OPENING.feature_salt, *OPENING.feature, width, height)
    return struct.pack(">16s16siiII", *fields) + pixels


def sealed_by_hand(plaintext: bytes) -> bytes:
    """What a seller who does not run our code might send."""
    data_key = os.urandom(32)
    commitment, key = body_keys(data_key)
    body = AESGCM(key).encrypt(bytes(12), plaintext, CONTEXT + commitment)
    return wrapped(data_key, KEYS["x25519"].public) + commitment + body


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


class TestRoundTrip:
    @every_suite
    def test_gives_back_what_was_sealed(self, suite: str) -> None:
        opened = open_sealed(BLOBS[suite], KEYS[suite].private, CONTEXT, suite)
        assert same(opened, OPENING)
        assert opened.image.dtype == np.uint8

    @settings(deadline=None)
    @given(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
        st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=40).map(tuple),
        st.sampled_from(list(SUITES)),
    )
    def test_holds_for_any_image_and_feature(self, image: Pixels, feature: tuple[int, ...], suite: str) -> None:
        opening = Opening(bytes(16), bytes(range(16)), feature, image)
        blob = seal(opening, KEYS[suite].public, CONTEXT, suite)
        assert len(blob) == sealed_length(image.shape[0] * image.shape[1], suite, len(feature))
        opened = open_sealed(blob, KEYS[suite].private, CONTEXT, suite, len(feature))
        assert same(opened, opening)
        assert commit_image(opened.image_salt, opened.image) == commit_image(bytes(16), image)

    @every_suite
    def test_new_keys_differ_and_fit(self, suite: str) -> None:
        one, two = new_delivery_key(suite), new_delivery_key(suite)
        assert one.public != two.public
        assert delivery_public_key(one.private, suite) == one.public
        assert same(open_sealed(seal(OPENING, one.public, CONTEXT, suite), one.private, CONTEXT, suite), OPENING)

    @every_suite
    def test_never_seals_to_the_same_bytes_twice(self, suite: str) -> None:
        again = seal(OPENING, KEYS[suite].public, CONTEXT, suite)
        wrap_bytes = SUITES[suite].wrap_bytes
        assert again[:32] != BLOBS[suite][:32]
        assert again[wrap_bytes:] != BLOBS[suite][wrap_bytes:]

    def test_takes_an_image_of_any_layout(self) -> None:
        turned = Opening(bytes(16), bytes(16), (0, 0), np.rot90(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)))
        blob = seal(turned, KEYS["x25519"].public, CONTEXT, "x25519")
        assert same(open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519"), turned)

    def test_keeps_secrets_out_of_what_is_printed(self) -> None:
        key = new_delivery_key("x25519")
        assert repr(key.private) not in repr(key)
        assert repr(OPENING.image_salt) not in repr(OPENING)


class TestLength:
    @given(st.integers(1, 25_000_000), st.sampled_from(list(SUITES)))
    def test_padding_costs_at_most_12_percent(self, pixels: int, suite: str) -> None:
        bare = SUITES[suite].wrap_bytes + 32 + 48 + 3 * pixels + 16
        assert bare <= sealed_length(pixels, suite) <= 1.12 * bare

    def test_images_of_like_size_look_alike(self) -> None:
        sizes = range(66_000, 70_000)
        assert len({sealed_length(size, "x25519") for size in sizes}) <= 4

    def test_overhead_is_128_bytes_before_padding(self) -> None:
        assert len(BLOBS["x25519"]) == 128 + 48 + IMAGE.nbytes

    @every_suite
    def test_the_largest_image_fits_a_message(self, suite: str) -> None:
        assert sealed_length(25_000_000, suite) <= MAX_BLOB


class TestTampering:
    @every_suite
    def test_every_flipped_bit_is_rejected(self, suite: str) -> None:
        blob = bytearray(BLOBS[suite])
        for position in range(len(blob)):
            for bit in range(8):
                blob[position] ^= 1 << bit
                with pytest.raises(SealBroken):
                    open_sealed(bytes(blob), KEYS[suite].private, CONTEXT, suite)
                blob[position] ^= 1 << bit

    @every_suite
    def test_every_truncation_and_an_extension_is_rejected(self, suite: str) -> None:
        for length in range(len(BLOBS[suite])):
            with pytest.raises(SealBroken):
                open_sealed(BLOBS[suite][:length], KEYS[suite].private, CONTEXT, suite)
        with pytest.raises(SealBroken):
            open_sealed(BLOBS[suite] + b"\0", KEYS[suite].private, CONTEXT, suite)

    @every_suite
    def test_opens_in_no_other_context(self, suite: str) -> None:
        with pytest.raises(SealBroken, match="not sealed to this delivery key for this order"):
            open_sealed(BLOBS[suite], KEYS[suite].private, sha256(b"another order").digest(), suite)

    @every_suite
    def test_opens_with_no_other_key(self, suite: str) -> None:
        with pytest.raises(SealBroken, match="not sealed to this delivery key for this order"):
            open_sealed(BLOBS[suite], new_delivery_key(suite).private, CONTEXT, suite)

    def test_parts_of_two_blobs_do_not_mix(self) -> None:
        ours, other = BLOBS["x25519"], seal(OPENING, KEYS["x25519"].public, CONTEXT, "x25519")
        for cut in (80, 112):
            with pytest.raises(SealBroken):
                open_sealed(ours[:cut] + other[cut:], KEYS["x25519"].private, CONTEXT, "x25519")


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


class TestArguments:
    @pytest.mark.parametrize("suite", ["", "X25519", "rsa", "x25519\0"])
    def test_an_unknown_suite_is_refused(self, suite: str) -> None:
        with pytest.raises(UnknownSuite, match="the suites are x25519, mlkem768-x25519"):
            new_delivery_key(suite)
        with pytest.raises(UnknownSuite):
            seal(OPENING, KEYS["x25519"].public, CONTEXT, suite)
        with pytest.raises(UnknownSuite):
            open_sealed(BLOBS["x25519"], KEYS["x25519"].private, CONTEXT, suite)

    @every_suite
    def test_a_public_key_of_another_size_is_refused(self, suite: str) -> None:
        for wrong in (b"", bytes(31), KEYS[suite].public + b"\0", KEYS[suite].public[:-1]):
            with pytest.raises(BadDeliveryKey, match=f"no public key of {suite}"):
                seal(OPENING, wrong, CONTEXT, suite)
            with pytest.raises(BadDeliveryKey):
                check_delivery_key(wrong, suite)

    @every_suite
    def test_a_good_public_key_is_not_refused(self, suite: str) -> None:
        check_delivery_key(KEYS[suite].public, suite)

    @pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
    def test_a_public_key_that_makes_the_secret_known_is_refused(self, point: int) -> None:
        with pytest.raises(BadDeliveryKey):
            seal(OPENING, point.to_bytes(32, "little"), CONTEXT, "x25519")
        with pytest.raises(BadDeliveryKey):
            check_delivery_key(point.to_bytes(32, "little"), "x25519")

    @every_suite
    def test_a_private_key_of_another_size_is_refused(self, suite: str) -> None:
        for wrong in (b"", bytes(31), bytes(33)):
            with pytest.raises(BadDeliveryKey, match="is 32 bytes"):
                open_sealed(BLOBS[suite], wrong, CONTEXT, suite)
            with pytest.raises(BadDeliveryKey, match="is 32 bytes"):
                delivery_public_key(wrong, suite)

    def test_a_context_of_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes, not 31"):
            seal(OPENING, KEYS["x25519"].public, CONTEXT[1:], "x25519")
        with pytest.raises(ValueError, match="32 bytes, not 31"):
            open_sealed(BLOBS["x25519"], KEYS["x25519"].private, CONTEXT[1:], "x25519")

    @pytest.mark.parametrize(
        ("opening", "problem"),
        [
            (Opening(bytes(15), bytes(16), (0, 0), IMAGE), "a salt is 16 bytes"),
            (Opening(bytes(16), bytes(17), (0, 0), IMAGE), "a salt is 16 bytes"),
            (Opening(bytes(16), bytes(16), (0, 2**31), IMAGE), "integers of 32 bits"),
            (Opening(bytes(16), bytes(16), (0, 0), IMAGE[:0]), "1 to 25000000 pixels"),
            (Opening(bytes(16), bytes(16), (0, 0), IMAGE[..., :1]), "uint8 array"),
        ],
    )
    def test_a_malformed_opening_is_refused(self, opening: Opening, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            seal(opening, KEYS["x25519"].public, CONTEXT, "x25519")


# One ciphertext and tag that AES-GCM opens to two messages under two keys (Dodis et al., CRYPTO 2018, section 3).


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


class TestDispute:
    """What an arbiter can tell, given the bid's commitments, the order's key and the blob."""

    commitment = commit_image(OPENING.image_salt, OPENING.image)

    def test_a_lying_buyer_is_caught_by_its_key(self) -> None:
        revealed = new_delivery_key("x25519").private
        assert delivery_public_key(revealed, "x25519") != KEYS["x25519"].public

    def test_a_swapped_image_is_caught_by_its_commitment(self) -> None:
        swapped = Opening(OPENING.image_salt, OPENING.feature_salt, OPENING.feature, 255 - IMAGE)
        blob = seal(swapped, KEYS["x25519"].public, CONTEXT, "x25519")
        opened = open_sealed(blob, KEYS["x25519"].private, CONTEXT, "x25519")
        assert commit_image(opened.image_salt, opened.image) != self.commitment

    def test_an_honest_image_is_cleared(self) -> None:
        opened = open_sealed(BLOBS["x25519"], KEYS["x25519"].private, CONTEXT, "x25519")
        assert delivery_public_key(KEYS["x25519"].private, "x25519") == KEYS["x25519"].public
        assert commit_image(opened.image_salt, opened.image) == self.commitment
        assert commit_feature(opened.feature_salt, opened.feature, "m") == commit_feature(
            OPENING.feature_salt, OPENING.feature, "m"
        )
