"""What jobs came to is kept, so that a run that was interrupted goes on, and a run with one job more does one."""

import hmac
import json
import pickle
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import parley
import pytest
import torch
from forks import Parley

from protocol.compute.workshop import Done, LocalWorkshop, ProcessWorkshop
from protocol.errors import OutputExists
from simulations.runs.cells import KeepingWorkshop, name_of, read, write
from simulations.runs.output import whole_or_nothing

KEY, OTHER_KEY = bytes(32), bytes([1]) * 32
SMALL: dict[str, Any] = {
    "owners.count": 4,
    "owners.pictures": 4,
    "owners.publish": 3,
    "owners.size": 32,
    "attacker.known": 8,
    "attacker.strangers": 30,
    "attacker.epochs": 1,
}
TWO = {"raw": {"mechanism": "plain"}, "pix": {"mechanism": "dp-pix", "epsilon": 1.0}}


def counted(device: torch.device, diary: Path, number: int) -> int:
    """Square a number, and write down that this was done."""
    with diary.open("a") as file:
        file.write(f"{number}\n")
    return number**2


def failing(device: torch.device, number: int) -> int:
    raise ValueError(f"not {number}")


@pytest.mark.parametrize("make", [LocalWorkshop, lambda: ProcessWorkshop(2)])
def test_a_job_is_done_once(make: Callable[[], Any], tmp_path: Path) -> None:
    diary, cells = tmp_path / "diary", tmp_path / "cells"

    def squares(*numbers: int) -> list[int]:
        with KeepingWorkshop(make(), cells) as workshop:
            told: list[int] = []
            handles = [workshop.submit(counted, diary, number) for number in numbers]
            ends = workshop.gather(handles, lambda index, done: told.append(index))
            assert sorted(told) == list(range(len(numbers)))
            return [end.result() for end in ends]

    assert squares(3, 1, 2) == [9, 1, 4]
    assert squares(2, 5, 3) == [4, 25, 9]
    assert sorted(diary.read_text().split()) == ["1", "2", "3", "5"]


def test_a_job_that_failed_is_done_again(tmp_path: Path) -> None:
    for _ in range(2):
        with KeepingWorkshop(LocalWorkshop(), tmp_path) as workshop:
            (end,) = workshop.gather([workshop.submit(failing, 1)])
            assert "not 1" in str(end.failure)
    assert not list(tmp_path.iterdir())


def test_a_job_is_known_by_all_that_goes_in() -> None:
    one = {"pictures": np.zeros((2, 3), np.uint8), "network": torch.nn.Linear(2, 2), "name": "a"}
    again = {"pictures": np.zeros((2, 3), np.uint8), "network": torch.nn.Linear(2, 2), "name": "a"}
    again["network"].load_state_dict(one["network"].state_dict())  # type: ignore[attr-defined]
    assert name_of(counted, [one]) == name_of(counted, [again])
    others: list[dict[str, Any]] = [
        {**one, "pictures": np.ones((2, 3), np.uint8)},
        {**one, "pictures": np.zeros((3, 2), np.uint8)},
        {**one, "pictures": np.zeros((2, 3), np.int8)},
        {**one, "network": torch.nn.Linear(2, 2)},
        {**one, "name": "b"},
    ]
    names = [name_of(counted, [each]) for each in (one, *others)] + [name_of(failing, [one])]
    assert len(set(names)) == len(names)
    assert name_of(counted, [lambda: 1]) is None


def test_a_job_that_depends_on_more_than_its_arguments_is_not_kept(tmp_path: Path) -> None:
    def capturing(device: torch.device) -> Path:
        return tmp_path

    assert name_of(capturing, []) is None
    assert name_of(lambda device: tmp_path, []) is None
    assert name_of(Done(1, "", 0.0).result, []) is None
    assert name_of(partial(failing, torch.device("cpu")), [1]) is None


def test_what_somebody_else_has_written_is_not_read(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was unpickled",)

    write(tmp_path / "mine", KEY, 5)
    found = read(tmp_path / "mine", KEY)
    assert found is not None
    assert found.value == 5
    assert read(tmp_path / "mine", OTHER_KEY) is None
    (tmp_path / "mine").rename(tmp_path / "moved")
    assert read(tmp_path / "moved", KEY) is None
    (tmp_path / "trap").write_bytes(bytes(32) + pickle.dumps(Trap()))
    assert read(tmp_path / "trap", KEY) is None
    (tmp_path / "cut").write_bytes(b"short")
    assert read(tmp_path / "cut", KEY) is None
    gone = pickle.dumps(counted).replace(b"counted", b"removed")
    (tmp_path / "gone").write_bytes(hmac.digest(KEY, b"gone" + gone, "sha256") + gone)
    assert read(tmp_path / "gone", KEY) is None


def test_a_run_with_one_method_more_does_what_is_new(tmp_path: Path) -> None:
    out, settings = tmp_path / "run", {**SMALL, "methods": TWO}
    first = parley.run("publish", settings=settings, workers=1, out=out, progress=False)
    cells = {path.name for path in (out / "cells").iterdir()}
    with pytest.raises(OutputExists):
        parley.run("publish", settings=settings, workers=1, out=out, progress=False)
    more = {**settings, "methods": {**TWO, "snow": {"mechanism": "snow", "delta": 0.4}}}
    second = parley.run("publish", settings=more, workers=2, out=out, resume=True, progress=False)
    assert cells < {path.name for path in (out / "cells").iterdir()}
    assert len(list((out / "cells").iterdir())) == len(cells) + 3
    assert [each for each in second.leaks if each.method != "snow"] == first.leaks
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_an_interrupted_run_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    settings = {**SMALL, "methods": TWO}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = ["run", "publish", *words, "--workers", "2", "--out", "out"]
    interrupted = Parley(command, tmp_path, tmp_path / "log")
    cells = tmp_path / ".out.partial" / "cells"
    while interrupted.poll() is None and len(list(cells.glob("*"))) < 2:
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(120) == 130
    assert "go on with --out out --resume" in (tmp_path / "log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"log", ".out.cells"}
    kept = {path.name for path in (tmp_path / ".out.cells").iterdir()}
    assert Parley([*command, "--resume"], tmp_path, tmp_path / "log").wait(120) == 0
    assert kept <= {path.name for path in (tmp_path / "out" / "cells").iterdir()}
    whole = parley.run("publish", settings=settings, workers=1, progress=False)
    resumed = (tmp_path / "out" / "report.json").read_text()
    assert f'"digest": "{whole.outcome.digest}"' in resumed


def test_what_no_run_wrote_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with whole_or_nothing(out) as folder:
        (folder / "report.json").touch()
    (out / "my notes.txt").write_text("keep this")
    with pytest.raises(OutputExists, match=r"holds my notes\.txt, which no run wrote"):
        failed(out)
    assert (out / "my notes.txt").read_text() == "keep this"
    (out / "my notes.txt").unlink()
    monkeypatch.chdir(out)
    with whole_or_nothing(Path(), resume=True) as folder:
        (folder / "report.json").write_text("again")
    assert (out / "report.json").read_text() == "again"


def test_a_second_run_does_not_touch_what_the_first_has_put_aside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_or_nothing(out) as folder:
        (folder / "report.json").write_text("first")
    with suppress(ZeroDivisionError), whole_or_nothing(out, resume=True):
        with pytest.raises(OutputExists, match="already there"):
            failed(out)
        raise ZeroDivisionError
    assert (out / "report.json").read_text() == "first"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_resume_needs_a_folder() -> None:
    with pytest.raises(parley.UserError, match="name its folder with out"):
        parley.run("publish", resume=True, progress=False)


def failed(out: Path) -> list[str]:
    """Begin a run that goes on and fails; returns the names of the cells that it found."""
    found: list[str] = []
    with suppress(ZeroDivisionError), whole_or_nothing(out, resume=True) as folder:
        found += [path.name for path in (folder / "cells").glob("*")]
        raise ZeroDivisionError
    return found


def test_cells_of_a_killed_run_are_found_and_a_new_run_begins_anew(tmp_path: Path) -> None:
    partial = tmp_path / ".out.partial" / "cells"
    partial.mkdir(parents=True)
    (partial / "whole").touch()
    (partial / "half.12.part").touch()
    out = tmp_path / "out"
    assert failed(out) == ["whole"]
    assert (tmp_path / ".out.cells" / "whole").is_file()
    with whole_or_nothing(out) as folder:
        assert not (folder / "cells").exists()
        (folder / "report.json").write_text("first")
    assert failed(out) == []
    assert (out / "report.json").read_text() == "first"
    with whole_or_nothing(out, resume=True) as folder:
        (folder / "report.json").write_text("second")
    assert (out / "report.json").read_text() == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
