"""P3's two parts give the picture back, one of them shows little and the other is small."""

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from simulations.data.faces import draw
from strategies.dp_images.p3 import QUANTISATION, Parts, join, render, split

FACES = draw(np.arange(6), 64, torch.Generator().manual_seed(1)).images


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(structural_similarity(one, other, channel_axis=2))


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_joined_parts_are_what_jpeg_keeps_of_a_picture(threshold: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    parts = split(picture, threshold)
    whole = parts.public.astype(int)
    both = np.sign(parts.secret) * threshold + parts.secret
    whole = np.where(parts.secret == 0, whole, both)
    whole[:, :, 0, 0] = parts.secret[:, :, 0, 0]
    assert np.array_equal(join(parts, threshold), render(whole.astype(np.int16)))
    assert np.abs(parts.public).max() <= threshold
    assert (parts.public[:, :, 0, 0] == 0).all()
    signs = parts.public[np.abs(parts.secret) > 0]
    assert (signs >= 0).all()  # the sign of what is large is a secret


def test_quantisation_is_all_that_is_lost() -> None:
    """The largest error of a coefficient is half a step of the table; Parseval bounds the picture's."""
    picture = FACES[0]
    error = join(split(picture, 15), 15).astype(float) - picture
    assert (error**2).sum() <= (QUANTISATION.astype(float) ** 2 / 4).sum() * 64 * 3 + 0.25 * picture.size
    assert alike(join(split(picture, 15), 15), picture) > 0.9


@pytest.mark.parametrize("threshold", [1, 10, 20])
def test_the_public_part_hides_and_the_secret_part_is_small(threshold: int) -> None:
    for picture in FACES:
        parts = split(picture, threshold)
        assert alike(render(parts.public), picture) < 0.75
        assert alike(join(parts, threshold), picture) > 0.85
        assert len(zlib.compress(parts.secret.tobytes())) < 0.2 * picture.nbytes


def test_a_lower_threshold_hides_more() -> None:
    shown = [
        np.mean([alike(render(split(face, threshold).public), face) for face in FACES]) for threshold in (1, 5, 20)
    ]
    assert shown == sorted(shown)
    assert shown[0] < shown[2] - 0.05


def test_pictures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 8 pixels do not tile a picture of 12x16"):
        split(np.zeros((16, 12, 3), np.uint8), 10)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        split(np.zeros((16, 16, 3), np.uint8), 0)
    assert Parts(np.zeros((1, 1, 8, 8, 3), np.int16), np.zeros((1, 1, 8, 8, 3), np.int16)).public.shape[2] == 8
