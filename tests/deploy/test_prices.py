"""What a seller's pictures cost."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.prices import PricedAlbum, priced
from parties.album import read_folder
from protocol.errors import BadInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "beach").mkdir()
    for level, name in enumerate(("a.png", "b.png", "beach/c.png")):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / name)
    return tmp_path


def album(folder: Path, price: float | None = None, lines: str | None = None) -> PricedAlbum:
    if lines is not None:
        (folder / "prices.csv").write_text(lines)
    return priced(read_folder(folder), folder, price)


def test_one_price_for_all(folder: Path) -> None:
    assert album(folder, 1.5).costs == [150, 150, 150]


def test_a_list_names_what_is_for_sale(folder: Path) -> None:
    listed = album(folder, None, "file,price\nbeach/c.png, 2.25\na.png,0.01\n\n")
    assert listed.costs == [1, 225]
    assert (len(listed), listed.unpriced) == (2, 1)
    assert [int(listed[index].max()) for index in range(2)] == [0, 2]


def test_a_list_goes_before_the_price_for_all(folder: Path) -> None:
    assert album(folder, 1.0, "\ufeffb.png,3\n").costs == [100, 300, 100]


@pytest.mark.parametrize(
    ("price", "lines", "sentence"),
    [
        (None, None, "pictures have no price"),
        (0.0, None, "--price: a price is"),
        (float("nan"), None, "--price: a price is"),
        (None, "d.png,1\n", "line 1: there is no readable picture d.png"),
        (None, "../a.png,1\n", "no readable picture"),
        (None, "file,price\na.png,cheap\n", "line 2: cheap is not a price"),
        (None, "a.png,-1\n", "line 1: a price is"),
        (None, "a.png,1,2\n", "line 1: a line is file,price"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, price: float | None, lines: str | None, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        album(folder, price, lines)
