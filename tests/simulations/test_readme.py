"""Every `parley run` of the READMEs, as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from conftest import Command
from PIL import Image

ROOT = Path(__file__).parents[2]
READMES = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(ROOT.glob("*/**/README.md")))]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```[a-z]*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    lines = [line.rpartition(".venv/bin/")[2] for block in blocks(text) for line in block.splitlines()]
    runs = (tuple(shlex.split(line, comments=True)[1:]) for line in lines if line.startswith("parley run"))
    return [list(words) for words in dict.fromkeys(runs)]


BLOCKS = blocks("".join(READMES))
COMMANDS = commands("".join(READMES))
QUICK = [
    words
    for words in commands(READMES[0])
    if not {"purchase-cheats", "sellers.count=1000", "mine.yaml", "my_cheats.py"} & set(words)
]
"""Commands of the front page; `pytest -m slow` plays the others, and `test_digests` what is packaged, made small."""
NEEDS_WEIGHTS = "cloud.featurizer=vgg16"
"""VGG-16's weights cannot be had here; `test_vgg` plays this command with weights that it writes."""


def pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    generator = np.random.default_rng(count)
    for index in range(count):
        rough = Image.fromarray(generator.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        rough.resize((200 + 30 * index, 150), Image.Resampling.BICUBIC).save(folder / f"{index}.jpg")


@pytest.fixture
def workplace(tmp_path: Path, parley: Command) -> Path:
    """A folder with all that the README's commands need."""
    pictures(tmp_path / "photos", 12)
    pictures(tmp_path / "wanted", 3)
    cheats = next(block for block in BLOCKS if "class Greedy" in block)
    (tmp_path / "my_cheats.py").write_text(cheats, encoding="utf-8")
    rule = next(block for block in BLOCKS if '@mechanism("cheapest"' in block)
    (tmp_path / "cheapest.py").write_text(rule, encoding="utf-8")
    assert parley("init", "mine.yaml").returncode == 0
    return tmp_path


def test_the_readme_has_commands() -> None:
    assert ["run", "purchase"] in COMMANDS
    assert len(COMMANDS) > 10


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    code = next(block for block in BLOCKS if block.startswith("import parley"))
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)
    assert [line.split()[0] for line in printed.splitlines()] == ["1", "2", "3"]


def marked(words: list[str]) -> ParameterSet:
    return pytest.param(words, marks=() if words in QUICK else pytest.mark.slow, id=" ".join(words))


@pytest.mark.parametrize("words", [marked(words) for words in COMMANDS])
def test_a_command_of_the_readme_runs(parley: Command, workplace: Path, words: list[str]) -> None:
    if any(NEEDS_WEIGHTS in word for word in words):
        pytest.skip("VGG-16's weights are not here; test_vgg plays this command with weights that it writes")
    done = parley(*words)
    assert done.returncode == 0, done.stderr
    (report,) = (path for path in workplace.glob("runs/*/report.html"))
    assert report.stat().st_size > 20_000
