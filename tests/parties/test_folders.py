"""Folders as systems, cameras and people leave them."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, features

from parties import picture_file
from parties.album import read_folder
from protocol.errors import BadInput

PICTURE = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 60).convert("RGB")


def save(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders with a picture each."""
    for name in ("cat", "dog"):
        save(tmp_path / "scans" / name / "1.png")
    return tmp_path / "scans"


@pytest.mark.parametrize(
    "name",
    [
        ".git/1.png",
        ".ipynb_checkpoints/1.png",
        "@eaDir/cat/1.png",
        "__MACOSX/cat/1.png",
        "$RECYCLE.BIN/1.png",
        "$Recycle.Bin/1.png",
        "System Volume Information/1.png",
        "lost+found/1.png",
        "#recycle/1.png",
        ".Trash-1000/files/1.png",
        "cat/@eaDir/1.png",
        "cat/._1.png",
        "cat/.DS_Store.png",
    ],
)
def test_what_systems_put_beside_pictures_is_none_and_is_counted(folder: Path, name: str) -> None:
    save(folder / name)
    pictures = read_folder(folder)
    assert set(pictures.labels) == {"cat", "dog"}
    assert len(pictures) == 2
    assert sum(pictures.skipped.values()) == 1
    first = name.removeprefix("cat/").partition("/")[0]
    assert pictures.skipped_sentences()[0].startswith("1 file skipped: hidden, or the system's own (")
    assert first in pictures.skipped_sentences()[0]


def test_a_hidden_folder_that_the_user_names_is_read(folder: Path) -> None:
    assert len(read_folder(folder.rename(folder.with_name(".scans")))) == 2


def test_class_folders_and_pictures_may_be_links(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "real" / "bird" / "2.png")
    save(tmp_path / "real" / "3.png")
    (folder / "bird").symlink_to("../real/bird")
    (folder / "dog" / "3.png").symlink_to("../../real/3.png")
    pictures = read_folder(folder)
    assert pictures.labels == ("bird", "cat", "dog", "dog")
    assert pictures.skipped == {}
    assert pictures[0].shape == (32, 48, 3)


def test_links_to_what_is_read_anyway_and_to_nowhere_are_said(folder: Path) -> None:
    (folder / "all").symlink_to(".")
    (folder / "animals").symlink_to("cat")
    (folder / "cat" / "up").symlink_to("..")
    (folder / "gone").symlink_to("nowhere")
    pictures = read_folder(folder)
    assert pictures.labels == ("cat", "dog")
    assert pictures.skipped == {"a link to a folder that is read anyway": 3, "a broken link": 1}
    with pytest.raises(BadInput, match="gone is a broken link"):
        read_folder(folder / "gone")


@pytest.mark.parametrize("name", ["photo.tif", "photo.avif", "photo.heic"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_photos_of_other_formats_are_turned_upright(tmp_path: Path, name: str, turn: int) -> None:
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    if name.endswith("avif") and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    exif = Image.Exif()
    exif[0x0112] = turn
    for each in (name, "z.jpg"):
        save(tmp_path / each, exif=exif.tobytes(), quality=95)
    found, expected = read_folder(tmp_path)
    assert found.shape == expected.shape == ((32, 48, 3) if turn < 5 else (48, 32, 3))
    assert np.abs(found.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_of_a_scan_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.asarray(PICTURE.convert("L"))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else PICTURE.convert(mode)
    image.save(tmp_path / "scan.tif")
    (pixels,) = read_folder(tmp_path)
    assert pixels.dtype == np.uint8
    assert abs(pixels.mean() - grey.mean()) < 4


def test_the_first_page_of_a_scan(tmp_path: Path) -> None:
    save(tmp_path / "pages.tif", save_all=True, append_images=[PICTURE.rotate(180)])
    assert np.array_equal(read_folder(tmp_path)[0], np.asarray(PICTURE))


def test_other_formats_are_named_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picture_file, "_formats", lambda: ("PNG", "TIFF"))  # without the extra, and without AVIF
    starts = {
        "IMG_1.HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "IMG_2.HEIC": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
        "web.avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "clip.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        "raw.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        "new.jxl": b"\xff\x0a",
        "half.jpg": b"\xff\xd8\xff\xe0",
    }
    for name, start in starts.items():
        (folder / name).write_bytes(start + bytes(200))
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    save(folder / "raw.nef", format="TIFF", tiffinfo=reduced)
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "float.tif")
    said = {
        "2 files skipped: HEIC; read with pip install 'parley[heic]' (IMG_1.HEIC, IMG_2.HEIC).",
        "1 file skipped: AVIF; read with pip install 'pillow>=11.3' (web.avif).",
        "1 file skipped: a film (clip.mov).",
        "2 files skipped: a camera's raw file; save it as JPEG (raw.cr3, raw.nef).",
        "1 file skipped: JPEG XL; save it as JPEG (new.jxl).",
        "1 file skipped: damaged (half.jpg).",
        "1 file skipped: with pixels of 32 bits; save it with 8 or 16 (float.tif).",
    }
    pictures = read_folder(folder)
    assert set(pictures.skipped_sentences()) == said
    assert {record.getMessage() for record in caplog.records} == {f"{folder}: {sentence}" for sentence in said}
    caplog.clear()
    read_folder(folder, before=pictures)
    assert caplog.records == []


def test_a_folder_of_heic_alone_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "_formats", lambda: ("PNG",))
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(BadInput, match=r"\(1 HEIC; read with pip install 'parley\[heic\]': IMG_1.HEIC\)"):
        read_folder(tmp_path)


@pytest.mark.parametrize(("on_disk", "named"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_letters_of_folders_may_be_composed_or_not(tmp_path: Path, on_disk: str, named: str) -> None:
    save(tmp_path / unicodedata.normalize(on_disk, "é") / unicodedata.normalize(on_disk, "ü") / "1.png")
    pictures = read_folder(tmp_path / unicodedata.normalize(named, "é"))
    assert pictures.labels == (unicodedata.normalize("NFC", "ü"),)


def test_names_that_are_no_utf_8_can_be_written_anywhere(folder: Path) -> None:
    shutil.copytree(folder / "cat", folder / "caf\udce9")
    (folder / "bad\udcff\n.txt").write_text("notes")
    pictures = read_folder(folder)
    text = " ".join([*map(str, pictures.labels), *pictures.skipped_sentences()])
    assert text.encode().decode().isprintable()
    assert len(set(pictures.labels)) == 3


def test_a_file_that_changes_while_it_is_read_is_left_for_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = folder / "cat" / "1.png"

    def check(path: Path) -> None:
        if path == growing:
            path.write_bytes(path.read_bytes() + b"more")

    monkeypatch.setattr("parties.album.check", check)
    assert read_folder(folder).skipped == {"still being written": 1}
