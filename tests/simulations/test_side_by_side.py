"""Runs that are started together each end with a whole folder of their own, or with one sentence."""

import json
from pathlib import Path

import pytest
from forks import Parley

from protocol.errors import BadInput, OutputExists
from simulations.runs.output import whole_or_nothing

TINY = ("--set", "buyer.samples.count=2", "--set", "sellers.album.images=2", "--set", "grid=local")
PATIENCE = 120.0


def start(folder: Path, count: int, *words: str) -> Parley:
    """Start a purchase among so many sellers; what it prints goes to COUNT.log."""
    command = ["run", "purchase", *TINY, "--set", f"sellers.count={count}", *words]
    return Parley(command, folder, folder / f"{count}.log")


@pytest.mark.slow
def test_runs_without_a_name_of_their_own_do_not_meet(tmp_path: Path) -> None:
    counts = (4, 5, 6, 7)
    runs = [start(tmp_path, count) for count in counts]
    assert [run.wait(PATIENCE) for run in runs] == [0] * len(runs)
    for count in counts:
        (said,) = (line for line in (tmp_path / f"{count}.log").read_text().splitlines() if line.startswith("Report: "))
        folder = tmp_path / Path(said.removeprefix("Report: ")).parent
        report = json.loads((folder / "report.json").read_text())
        assert report["scenario"]["sellers"]["count"] == count
        assert (folder / "messages.jsonl").is_file()
    assert len(list((tmp_path / "runs").iterdir())) == len(counts)


def test_of_runs_that_name_one_folder_one_has_it_and_the_others_are_told(tmp_path: Path) -> None:
    runs = {count: start(tmp_path, count, "--out", "mine") for count in (4, 5, 6)}
    ends = {count: run.wait(PATIENCE) for count, run in runs.items()}
    assert sorted(ends.values()) == [0, 5, 5]
    for count, code in ends.items():
        if code == 0:
            report = json.loads((tmp_path / "mine" / "report.json").read_text())
            assert report["scenario"]["sellers"]["count"] == count
        else:
            assert "parley: the output folder mine is already there" in (tmp_path / f"{count}.log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "4.log", "5.log", "6.log"}


def test_a_folder_is_taken_from_the_start(tmp_path: Path) -> None:
    out = tmp_path / "above" / "out"
    with whole_or_nothing(out) as folder:
        (folder / "file").touch()
        with pytest.raises(OutputExists, match="is already there"), whole_or_nothing(out):
            pass
        assert not list(out.iterdir())
    assert [path.name for path in out.iterdir()] == ["file"]


def test_nothing_stays_of_a_run_that_fails(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "file").touch()
        raise KeyError

    with pytest.raises(KeyError), whole_or_nothing(tmp_path / "above" / "out") as folder:
        fail(folder)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_no_part_of_the_next(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").touch()
    with whole_or_nothing(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/new"]


def test_what_somebody_else_writes_meanwhile_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputExists, match="wrote to the output folder"), whole_or_nothing(out):
        (out / "theirs").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/theirs"]


@pytest.mark.parametrize("out", ["/proc/nowhere/out", "file/out"])
def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(BadInput, match="cannot be made"), whole_or_nothing(Path(out)):
        pass
