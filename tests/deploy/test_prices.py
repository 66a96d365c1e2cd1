"""What a seller's pictures cost."""

import os
import shutil
import unicodedata
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


def album(folder: Path, price: float | None = None, lines: str | bytes | None = None) -> PricedAlbum:
    if lines is not None:
        (folder / "prices.csv").write_bytes(lines.encode() if isinstance(lines, str) else lines)
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
        (None, "file;price\na.png;1,50\nbeach\\d.png;2\n", r"line 3: there is no readable picture beach.d.png beside"),
        (None, "a.png,1\nA.jpg,1\n", r"line 2: .* A.jpg beside the list; did you mean a.png\?"),
        (None, "a.png,1,50\n", "line 1: a line is file,price, not a.png,1,50; put quotes around"),
        (None, "a.png,1,50\nb.png,2,50\n", "line 1: a line is file,price, not a.png,1,50; put quotes around"),
        (None, 'a.png,"1,500"\n', "line 1: 1,500 is not a price in coins; write 1500 or 1.5"),
        (None, "a.png,1_0\n", "line 1: 1_0 is not a price"),
        (None, "Datei;Preis\na.png;1\n", "line 1: Preis is not a price .*a header is file,price"),
        (None, "a.png,1\nb.png,2\na.png,3\n", "line 3: a.png has another price in a line above"),
        (None, 'a.png,1\n"b.png,2\n', "is not CSV|line 2"),
        (None, "file,price\r\na.png,1\r\ncaf\xe9.png,2\r\n".encode("cp1252"), "line 3: caf.*.png,2 is not in UTF-8"),
        (None, b"PK\x03\x04\x14\0\xff", "line 1: PK.* is not in UTF-8, .* save the file in UTF-8"),
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
def test_a_mistake_is_one_sentence(folder: Path, price: float | None, lines: str | bytes | None, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        album(folder, price, lines)


@pytest.mark.parametrize(
    "lines",
    [
        "file;price\r\na.png;1,50\r\nbeach/c.png;2\r\n\r\n;;\r\n",
        "file\tprice\na.png\t1,50\nbeach/c.png\t2,00\n",
        "sep=;\r\nFile;Price\r\na.png;1.50\r\nbeach\\c.png;2\r\n",
        'FILE,PRICE\n"a.png","1,50"\n"beach/c.png","2"\n',
        'price,notes,file\n1.5,"old, but good",a.png\n2,,./beach/c.png\n',
        "A.PNG;1,5\rBeach\\C.png;2\r",
        "\ufefffile,price\na.png,1.5,\nbeach/c.png,2,,\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lists_are_read_as_spreadsheets_save_them(folder: Path, lines: str, encoding: str) -> None:
    assert album(folder, None, lines.encode(encoding)).costs == [150, 200]


@pytest.mark.parametrize(("on_disk", "in_list"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_letters_may_be_composed_or_not(folder: Path, on_disk: str, in_list: str) -> None:
    (folder / "b.png").rename(folder / unicodedata.normalize(on_disk, "caf\u00e9.png"))
    assert album(folder, None, unicodedata.normalize(in_list, "caf\u00e9.png,3\n")).costs == [300]


def test_a_name_that_could_be_two_files_is_refused(folder: Path) -> None:
    for form in ("NFD", "NFC"):
        shutil.copy(folder / "a.png", folder / unicodedata.normalize(form, "caf\u00e9.png"))
    assert album(folder, None, "caf\u00e9.png,3\n").costs == [300]
    with pytest.raises(BadInput, match=r"line 1: CAF\u00c9.png may be .* or "):
        album(folder, None, "CAF\u00c9.png,3\n")


def test_a_list_by_another_name_is_not_ignored(folder: Path) -> None:
    (folder / "Prices.CSV").write_text("a.png,2\n")
    assert album(folder, 1.0).costs == [200, 100, 100]
    (folder / "Prices.CSV").rename(folder / "prices.csv.txt")
    with pytest.raises(BadInput, match=r"prices.csv.txt would be ignored: save it as prices.csv"):
        album(folder, 1.0)


def test_a_listed_picture_that_cannot_be_read_is_said_why(folder: Path) -> None:
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:40])
    with pytest.raises(BadInput, match=r"line 1: there is no readable picture b.png: damaged"):
        album(folder, None, "b.png,3\n")


def test_while_pictures_come_and_go_listed_ones_may_be_missing(folder: Path) -> None:
    (folder / "prices.csv").write_text("a.png,2\nnot-yet.png,3\n")
    assert priced(read_folder(folder), folder, None, changing=True).costs == [200]


def test_a_list_that_is_no_file_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "prices.csv")
    with pytest.raises(BadInput, match=r"prices.csv is not a regular file"):
        album(folder)
