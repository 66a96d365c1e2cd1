"""What is sealed opens for its buyer, whole, and for nobody else."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sealed_by_description import BLOBS, CONTEXT, IMAGE, KEYS, OPENING, every_suite, same

from protocol.crypto.commitments import Pixels, commit_feature, commit_image
from protocol.crypto.sealing import (
    SUITES,
    BadDeliveryKey,
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
from protocol.messages.purchase import MAX_BLOB


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
