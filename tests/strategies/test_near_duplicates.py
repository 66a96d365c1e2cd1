import io
import time
from collections.abc import Callable

import imagehash
import numpy as np
import pytest
import torch
from datasketch import MinHash
from PIL import Image

from simulations.data import digits, pets
from strategies.features import near_duplicates
from strategies.features.featurizer import Pixels, prepare
from strategies.features.near_duplicates import distinct


@pytest.fixture(scope="module")
def portraits() -> list[Pixels]:
    """Sixty portraits of each of five breeds."""
    return list(pets.draw(np.repeat(np.arange(5), 60), 64, torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def scans() -> list[Pixels]:
    return [prepare(scan) for scan in digits.read("traded")[0]]


def jpeg(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=70)
    return np.asarray(Image.open(buffer))


def smaller(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((56, 56), Image.Resampling.BICUBIC))


def darker(image: Pixels) -> Pixels:
    return (image * 0.9).astype(np.uint8)


def brighter(image: Pixels) -> Pixels:
    return np.clip(image * 1.08, 0, 255).astype(np.uint8)


COPIES = [jpeg, smaller, darker, brighter]


def caught(images: list[Pixels], copy: Callable[[Pixels], Pixels]) -> float:
    """Return the share of copies that are left out when they follow their originals."""
    kept = distinct([*images, *map(copy, images)])
    assert kept[: len(images)] == list(range(len(images)))
    return 1 - (len(kept) - len(images)) / len(images)


class TestDistinct:
    def test_portraits_of_one_breed_stay(self, portraits: list[Pixels]) -> None:
        assert distinct(portraits) == list(range(len(portraits)))

    def test_scans_of_one_digit_stay(self, scans: list[Pixels]) -> None:
        assert distinct(scans) == list(range(len(scans)))

    @pytest.mark.parametrize("copy", COPIES)
    def test_copies_of_portraits_go(self, portraits: list[Pixels], copy: Callable[[Pixels], Pixels]) -> None:
        assert caught(portraits[::5], copy) > 0.97

    @pytest.mark.parametrize("copy", [jpeg, smaller, darker])
    def test_copies_of_scans_go(self, scans: list[Pixels], copy: Callable[[Pixels], Pixels]) -> None:
        assert caught(scans[:60], copy) > 0.9

    def test_the_first_of_a_group_is_kept(self, portraits: list[Pixels]) -> None:
        one, two = portraits[0], portraits[1]
        assert distinct([jpeg(one), two, one, darker(one), jpeg(two)]) == [0, 1]

    def test_agrees_with_comparing_every_pair(self, portraits: list[Pixels], scans: list[Pixels]) -> None:
        album = [*portraits[:40], *map(jpeg, portraits[:40]), *scans[:100], *map(brighter, scans[:100])]
        hashes = [imagehash.phash(Image.fromarray(image), 12) for image in album]
        kept: list[int] = []
        for index, own in enumerate(hashes):
            if all(own - hashes[earlier] > 9 for earlier in kept):
                kept.append(index)
        assert distinct(album) == kept
        assert len(kept) < len(album)

    def test_albums_of_none_and_one(self, portraits: list[Pixels]) -> None:
        assert distinct([]) == []
        assert distinct(portraits[:1]) == [0]

    def test_pictures_of_any_size(self, portraits: list[Pixels]) -> None:
        large = np.asarray(Image.fromarray(portraits[0]).resize((500, 400), Image.Resampling.BICUBIC))
        small = np.asarray(Image.fromarray(large).resize((250, 200), Image.Resampling.BICUBIC))
        assert distinct([large, portraits[1], small]) == [0, 1]

    def test_speed(self, portraits: list[Pixels]) -> None:
        distinct(portraits[:2])
        start = time.process_time()
        distinct(portraits)
        assert (time.process_time() - start) / len(portraits) < 0.003


def test_table_of_shingles_gives_datasketch_s_own_sketches() -> None:
    hashes = np.random.default_rng(0).random((5, 144)) < 0.5
    for bits, sketch in zip(hashes, near_duplicates._sketches(hashes), strict=True):
        reference = MinHash(num_perm=64, scheme="affine32")
        for place, shingle in enumerate(bits.reshape(36, 4) @ [1, 2, 4, 8]):
            reference.update(f"{place}:{shingle}".encode())
        assert np.array_equal(sketch.hashvalues, reference.hashvalues)
