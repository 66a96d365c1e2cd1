"""Machine code: compiled at the first call, kept where a folder can be written, and done without elsewhere."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strategies.compiled import compiled

MODULE = """
from strategies.compiled import compiled

@compiled
def twice(number):
    return 2 * number
"""
USE = "import mine; print(mine.twice(21), sum(mine.twice.stats.cache_hits.values()))"
IMPORTED = """
from numba.core.event import install_recorder

with install_recorder("numba:compile") as seen:
    import deploy.cloud, deploy.seller, simulations.workflows.purchase.run
print(len(seen.buffer))
"""


def said(code: str, folder: Path) -> list[str]:
    path = [str(folder), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_nothing_is_compiled_at_import(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text(IMPORTED)
    assert said("import imported", tmp_path) == ["0"]


@pytest.mark.slow
def test_another_process_loads_what_one_has_compiled(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    assert said("import mine", tmp_path) == []
    assert not list(tmp_path.rglob("*.nbi")), "written at import"
    assert said(USE, tmp_path) == ["42", "0"]
    assert said(USE, tmp_path) == ["42", "1"]


def test_without_a_place_each_process_compiles_for_itself() -> None:
    space: dict[str, Any] = {}
    exec("def twice(number):\n    return 2 * number", space)  # of no file, for which numba finds no folder
    twice = compiled(space["twice"])
    assert twice(21) == 42
    assert twice.stats.cache_path is None


@pytest.mark.parametrize("step", ["_load_overload", "_save_overload"])
def test_a_full_disk_costs_no_more_than_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str) -> None:
    from numba.core.caching import FunctionCache  # noqa: PLC0415

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, step, fail)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"full{step}.py").write_text(MODULE)
    module = __import__(f"full{step}")
    assert module.twice(21) == 42
