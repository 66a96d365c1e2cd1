import struct
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol.crypto.commitments import (
    Pixels,
    canonical_rgb,
    commit_feature,
    commit_image,
    pack_feature,
    unpack_feature,
)

SALT = bytes(range(16))
salts = st.binary(min_size=16, max_size=16)
images = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))
coordinates = st.integers(-(2**31), 2**31 - 1)
features = st.tuples(coordinates, coordinates) | st.lists(coordinates, min_size=3, max_size=40).map(tuple)
models = st.text(max_size=8)


def by_hand(*fields: bytes) -> bytes:
    return sha256(b"".join(struct.pack(">Q", len(field)) + field for field in fields)).digest()


class TestImage:
    def test_is_the_hash_of_label_salt_size_and_pixels(self) -> None:
        image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
        expected = by_hand(b"parley/commitment/image/1", SALT, struct.pack(">II", 5, 2), image.tobytes())
        assert commit_image(SALT, image) == expected

    @given(salts, images, salts, images)
    def test_binds_salt_and_image(self, salt: bytes, image: Pixels, other_salt: bytes, other: Pixels) -> None:
        same = salt == other_salt and image.shape == other.shape and bool(np.all(image == other))
        assert (commit_image(salt, image) == commit_image(other_salt, other)) == same

    @given(images, st.data())
    def test_binds_every_pixel(self, image: Pixels, data: st.DataObject) -> None:
        changed = image.copy()
        changed.flat[data.draw(st.integers(0, image.size - 1))] ^= data.draw(st.integers(1, 255))
        assert commit_image(SALT, changed) != commit_image(SALT, image)

    def test_depends_on_pixels_and_not_on_their_layout_in_memory(self) -> None:
        image = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        expected = commit_image(SALT, image)
        assert commit_image(SALT, np.asfortranarray(image)) == expected
        padded = np.zeros((8, 10, 3), np.uint8)
        padded[1:7, 1:9] = image
        assert commit_image(SALT, padded[1:7, 1:9]) == expected
        assert commit_image(SALT, image[:, ::-1][:, ::-1]) == expected

    def test_tells_images_of_the_same_bytes_and_another_shape_apart(self) -> None:
        image = np.zeros((2, 6, 3), np.uint8)
        shapes = [(2, 6, 3), (6, 2, 3), (3, 4, 3), (1, 12, 3)]
        assert len({commit_image(SALT, image.reshape(shape)) for shape in shapes}) == len(shapes)

    @pytest.mark.parametrize("size", [0, 15, 17])
    def test_refuses_a_salt_of_another_size(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"a salt is 16 bytes, not {size}"):
            commit_image(bytes(size), np.zeros((1, 1, 3), np.uint8))

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [((2, 2), "uint8"), ((2, 2, 4), "uint8"), ((1, 2, 2, 3), "uint8"), ((2, 2, 3), "int8"), ((2, 2, 3), "float32")],
    )
    def test_refuses_what_is_no_rgb_image(self, shape: tuple[int, ...], dtype: str) -> None:
        with pytest.raises(ValueError, match=r"an image is a \(H, W, 3\) uint8 array"):
            commit_image(SALT, np.zeros(shape, dtype))

    @pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (5001, 5000, 3)])
    def test_refuses_an_image_of_no_or_too_many_pixels(self, shape: tuple[int, ...]) -> None:
        image = np.broadcast_to(np.uint8(0), shape)
        with pytest.raises(ValueError, match="1 to 25000000 pixels"):
            canonical_rgb(image)


class TestFeature:
    def test_is_the_hash_of_label_salt_feature_and_model(self) -> None:
        expected = by_hand(b"parley/commitment/feature/1", SALT, struct.pack(">ii", -7, 65535), b"digits/1")
        assert commit_feature(SALT, (-7, 65535), "digits/1") == expected

    @given(salts, features, models, salts, features, models)
    def test_binds_salt_feature_and_model(
        self, salt: bytes, feature: tuple[int, ...], model: str, salt2: bytes, feature2: tuple[int, ...], model2: str
    ) -> None:
        same = (salt, feature, model) == (salt2, feature2, model2)
        assert (commit_feature(salt, feature, model) == commit_feature(salt2, feature2, model2)) == same

    def test_takes_numpy_integers_for_what_they_are(self) -> None:
        x, y = np.array([3, -4], dtype=np.int64)
        assert commit_feature(SALT, (x, y), "m") == commit_feature(SALT, (3, -4), "m")

    def test_a_vector_binds_each_of_its_numbers_and_how_many_there_are(self) -> None:
        vector = tuple(range(-500, 500))
        others = [vector[:-1], (*vector, 0), vector[::-1], (*vector[:-1], 7)]
        assert len({commit_feature(SALT, feature, "m") for feature in (vector, *others)}) == 5

    @pytest.mark.parametrize("feature", [(2**31, 0), (0, -(2**31) - 1), (0.5, 0), (float("nan"), 0)])
    def test_refuses_what_is_no_lattice_point(self, feature: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="integers of 32 bits"):
            commit_feature(SALT, feature, "m")

    def test_a_salt_keeps_a_lattice_point_from_being_guessed(self) -> None:
        lattice = [(x, y) for x in range(16) for y in range(16)]
        commitment = commit_feature(SALT, (3, 9), "m")
        guess = [point for point in lattice if commit_feature(bytes(16), point, "m") == commitment]
        opened = [point for point in lattice if commit_feature(SALT, point, "m") == commitment]
        assert guess == []
        assert opened == [(3, 9)]

    @given(features)
    def test_packing_is_undone_by_unpacking(self, feature: tuple[int, ...]) -> None:
        assert unpack_feature(pack_feature(feature)) == feature


def test_the_two_kinds_of_commitment_never_meet() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    assert commit_image(SALT, image) != commit_feature(SALT, (1, 1), "\0\0\0")
