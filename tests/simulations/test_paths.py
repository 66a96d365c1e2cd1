"""Paths as users name them: with ~, on the command line, in scenarios and from Python."""

import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import parley
import pytest
import typer
from PIL import Image

from protocol.errors import BadInput, BadScenario, UserError
from protocol.storage.user_files import user_path, user_text
from simulations.cli import app, main
from simulations.cli.paths import UserPath, with_user_paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home" / "photos").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_path_of_no_user_and_a_variable_are_names_like_others(home: Path) -> None:
    for name in ("~nobody-of-this-name/photos", "$HOME/photos", "photos/~", "a\0b", "\udcff", "\ud800"):
        assert user_path(name) == Path(name)


@pytest.mark.parametrize(
    ("workflow", "key"),
    [("purchase", "sellers.album.folder"), ("purchase", "buyer.samples.folder"), ("outsource", "images.folder")],
)
def test_an_empty_path_is_not_the_current_folder(home: Path, workflow: str, key: str) -> None:
    with pytest.raises(BadInput, match=r"a path is empty; give the current folder as \."):
        parley.run(workflow, settings={key: ""}, progress=False)


def paths(command: click.Command) -> Iterator[click.Parameter]:
    yield from (parameter for parameter in command.params if isinstance(parameter.type, click.Path))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from paths(below)


def test_every_path_of_every_command_is_read_as_users_name_them() -> None:
    found = list(paths(with_user_paths(typer.main.get_command(app))))
    assert len(found) > 20
    assert all(isinstance(parameter.type, UserPath) for parameter in found)


def test_a_command_takes_its_home_from_the_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["parley", "init", "~/mine.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert (home / "mine.yaml").exists()
    assert list(Path.cwd().iterdir()) == []


def test_python_takes_the_same_paths(home: Path) -> None:
    for number in range(4):
        Image.effect_mandelbrot((40, 40), (-2, -1, 1, 1 + number / 9), 60).convert("RGB").save(
            home / "photos" / f"{number}.png"
        )
    (home / "mine.yaml").write_text("sellers:\n  count: 2\n  album: {folder: ~/photos, images: 2}\n")
    settings = {"buyer.samples.folder": Path("~/photos")}
    parley.run("~/mine.yaml", settings=settings, out="~/report", progress=False)
    assert (home / "report" / "report.json").exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"images.folder": "~/photos"}, BadInput), ({"data_root": "~/photos", "dataset": "imagenet"}, BadInput)],
)
def test_a_message_names_the_folder_that_was_looked_in(
    home: Path, settings: dict[str, str], error: type[UserError]
) -> None:
    with pytest.raises(error, match=f"{home}/photos"):
        parley.run("outsource", settings=settings, progress=False)


def test_a_missing_file_is_named_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(BadScenario, match=f"there is no scenario file {home}/none.yaml"):
        parley.load("~/none.yaml")
    with pytest.raises(BadInput, match=f"{home}/none.py is not a Python file"):
        parley.load("purchase", adversaries="~/none.py")


def test_the_other_form_of_a_letter_is_the_same_file(home: Path) -> None:
    (home / unicodedata.normalize("NFD", "é.yaml")).write_text("seed: 3\n")
    assert parley.load(unicodedata.normalize("NFC", "~/é.yaml")).seed == 3
    (home / unicodedata.normalize("NFC", "é.yaml")).write_text("seed: 4\n")
    assert parley.load(unicodedata.normalize("NFC", "~/é.yaml")).seed == 4
    assert parley.load(unicodedata.normalize("NFD", "~/é.yaml")).seed == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_texts_of_any_editor(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("caf\u00e9\r\n\u00e9".encode(encoding))
    if encoding == "utf-16-le":
        with pytest.raises(BadInput, match=r"line 1: .* is not in UTF-8"):
            user_text(tmp_path / "a.txt")
    else:
        assert user_text(tmp_path / "a.txt") == "caf\u00e9\r\n\u00e9"
