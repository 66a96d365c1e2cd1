"""An album that shows no picture as it is, and a purchase from sellers who hold such albums."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small
from PIL import Image

from parties.album import ObfuscatedAlbum
from simulations.data import pets
from simulations.runs.runner import run
from simulations.workflows.purchase.report.model import PurchaseReport
from strategies.obfuscation import Obfuscation

SECRET = bytes(range(32))


def portraits(count: int) -> list[np.ndarray]:
    return list(pets.draw(np.arange(count) % 20, 48, torch.Generator().manual_seed(1)))


def test_a_picture_is_always_obfuscated_in_the_same_way_and_never_as_another_ones() -> None:
    plain = portraits(6)
    album, other = (ObfuscatedAlbum(plain, Obfuscation("noise-mix"), secret) for secret in (SECRET, bytes(32)))
    assert len(album) == 6
    assert np.array_equal(album[2], album[2])
    assert not np.array_equal(album[2], other[2])
    apart = [np.abs(album[2].astype(int) - picture).mean() for picture in plain]
    assert int(np.argmin(apart)) == 2
    assert apart[2] > 5


def test_no_two_pictures_or_settings_share_their_noise() -> None:
    grey = [np.full((48, 48, 3), shade, np.uint8) for shade in (120, 121)]
    albums = [ObfuscatedAlbum(grey, Obfuscation("noise-mix", (1.0,), sigma), SECRET) for sigma in (10, 20)]
    changed = ObfuscatedAlbum(grey[::-1], Obfuscation("noise-mix", (1.0,), 10), SECRET)
    shown = [album[index].astype(float).ravel() for album in (*albums, changed) for index in (0, 1)]
    alike = np.corrcoef(shown) - np.eye(6)
    alike[[0, 1, 4, 5], [5, 4, 1, 0]] = 0  # one picture, at another place
    assert np.abs(alike).max() < 5 / (3 * 48**2) ** 0.5


def test_pictures_of_any_size_are_mixed() -> None:
    plain = [portraits(1)[0], np.full((30, 70, 3), 90, np.uint8)]
    album = ObfuscatedAlbum(plain, Obfuscation("mix", (0.5, 0.5)), SECRET)
    assert [album[index].shape for index in (0, 1)] == [(48, 48, 3), (30, 70, 3)]
    assert np.abs(album[0].astype(int) - (plain[0].astype(int) + 90) / 2).max() <= 1


def test_too_few_pictures_to_mix_are_refused() -> None:
    with pytest.raises(ValueError, match="mix-3 mixes 3 pictures, and the album has 2"):
        ObfuscatedAlbum(portraits(2), Obfuscation("mix-3"), SECRET)[0]


def test_sellers_trade_obfuscated_pictures(tmp_path: Path) -> None:
    report = run(small(sellers={"album": {"images": 4, "obfuscation": "pixelize"}}), tmp_path / "run")
    assert isinstance(report, PurchaseReport)
    assert report.outcome.verified > 0
    assert report.outcome.complaints == 0
    bought = [np.asarray(Image.open(path)) for path in (tmp_path / "run" / "bought").glob("*.png")]
    assert len(bought) == report.outcome.verified
    for pixels in bought:
        assert (pixels[:4, :4] == pixels[0, 0]).all()


def test_albums_that_are_too_small_to_mix_are_refused() -> None:
    with pytest.raises(ValueError, match="noise-mix mixes 2 pictures of an album: images has to be 2 or more"):
        small(sellers={"album": {"images": [1, 4], "obfuscation": "noise-mix"}})
