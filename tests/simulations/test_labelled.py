"""Labelled images of data sets: which classes, of which kinds, each image once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from protocol.errors import BadInput
from simulations.data.labelled import labelled_images


def test_painted_breeds_are_half_cats_and_half_dogs_and_as_many_as_wanted() -> None:
    images = labelled_images("pets", None, 1, classes=10, side=48)
    assert images.kinds == ("cat",) * 5 + ("dog",) * 5
    assert images.available is None
    album, labels = images.take(25, "training")
    assert album[0].shape == (48, 48, 3)
    assert np.bincount(labels).tolist() == [3] * 5 + [2] * 5
    other, _ = images.take(25, "test")
    assert not np.array_equal(album[0], other[0])
    again, _ = labelled_images("pets", None, 1, side=48).take(25, "training")
    assert np.array_equal(album[3], again[3])
    assert labelled_images("pets", None, 2).class_names != images.class_names


def test_sub_folders_are_classes_and_no_image_is_taken_twice(tmp_path: Path) -> None:
    for shade, name in ((40, "dark"), (200, "light"), (100, "middle")):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (20, 16), (shade, shade, number)).save(tmp_path / name / f"{number}.png")
    Image.new("RGB", (20, 16)).save(tmp_path / "of no class.png")
    images = labelled_images("folder", tmp_path, 1, classes=None)
    assert (images.class_names, images.kinds, images.available) == (("dark", "light", "middle"), None, 12)
    album, labels = images.take(6, "training")
    rest, _ = images.take(9, "test")
    assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert len(rest) == 6
    pixels = {album[index].tobytes() for index in range(6)} | {rest[index].tobytes() for index in range(6)}
    assert len(pixels) == 12
    with pytest.raises(BadInput, match="has 3 classes: choose 2 to 3, not 5"):
        labelled_images("folder", tmp_path, 1, classes=5)


def test_a_folder_has_to_be_named() -> None:
    with pytest.raises(BadInput, match="needs a folder with the classes as sub-folders"):
        labelled_images("folder", None, 1)
