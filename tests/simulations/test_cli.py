"""The command line as a user meets it: output and exit codes; that of `process` is a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

FEW = ("--set", "sellers.count=8", "--set", "buyer.samples.count=4", "--set", "sellers.album.images=3")


def process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("parley")
    return subprocess.run([program, *words], capture_output=True, text=True, cwd=cwd, check=False)


def test_a_run_writes_a_whole_folder(tmp_path: Path) -> None:
    done = process("run", "purchase", *FEW, "--out", "x", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "x" / "report.json").read_text())
    assert report.keys() >= {
        "schema_version", "scenario", "seed", "grid", "workers", "outcome", "traffic", "timings", "parties",
    }  # fmt: skip
    assert report["outcome"].keys() >= {
        "sellers", "bids", "candidates", "selected", "delivered", "verified", "paid_total", "refunded_total",
        "commission", "budget", "precision", "quality", "digest",
    }  # fmt: skip
    assert report["outcome"]["quality"].keys() == {"quantity", "matching_degree", "diversity"}
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        "report.json", "report.html", "messages.jsonl", "ledger.sqlite", "bought",
    }  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "x" / "messages.jsonl").read_text().splitlines()]
    assert len(lines) == sum(flow["messages"] for flow in report["traffic"])
    assert all(line.keys() == {"time", "from", "to", "step", "kind", "bytes"} for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_table_ends_with_where_the_report_is(parley: Command, tmp_path: Path) -> None:
    done = parley("run", "purchase", *FEW)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert done.stdout.rstrip().endswith(f"Report: runs/{folder.name}/report.html")


def test_the_scenarios_of_cheats_show_their_verdicts(parley: Command, tmp_path: Path) -> None:
    swapped = parley("run", "purchase-swapped", *FEW, "--set", "adversaries.swapped-delivery=1.0", "--json")
    disputes = json.loads(swapped.stdout)["disputes"]
    assert disputes
    assert {dispute["fault"] for dispute in disputes} == {"seller"}
    false = parley("run", "purchase-false-complaint", *FEW, "--seed", "8", "--json")
    disputes = json.loads(false.stdout)["disputes"]
    assert disputes
    assert {dispute["fault"] for dispute in disputes} == {"buyer"}


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("run", "purchase", "--set", "buyer.qualty=x"), 3, "did you mean quality?"),
        (("run", "purchase", "--set", "buyer.budget=-1"), 3, "greater than or equal to 0"),
        (("run", "purchase", "--set", "sellers.album.folder=empty"), 4, "empty"),
        (("run", "purchase", "--set", "sellers.album.folder=nowhere"), 4, "nowhere"),
        (("run", "purchase", "--set", "dataset=imagenet", "--set", "data_root=empty"), 4, "image-net.org"),
        (("run", "purchase", "--out", "there"), 5, "already there"),
        (("run", "purchase", "--set", "buyer.samples.classes=21"), 3, "21 classes are wanted and there are 20"),
        (("run", "purchase", "--out", "file/x"), 4, "cannot be made"),
        (("run", "purchase", "--out", "new/er/x", "--set", "sellers.album.folder=nowhere"), 4, "nowhere"),
        (("init", "there.yaml"), 5, "already there"),
        (("bench", "nothing"), 2, "there is no benchmark nothing"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_a_mistake_is_a_sentence_and_an_exit_code(
    parley: Command, tmp_path: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    for name in ("empty", "there"):
        (tmp_path / name).mkdir()
    for name in ("there.yaml", "file"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    done = parley(*words)
    assert done.returncode == code, done.stderr
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_budget_too_small_and_no_match_are_runs_that_say_so(parley: Command, tmp_path: Path) -> None:
    done = parley("run", "purchase", *FEW, "--set", "buyer.budget=0.02")
    assert done.returncode == 0
    assert "too small" in done.stdout


def test_my_own_pictures(parley: Command, tmp_path: Path) -> None:
    """JPEG, PNG and WebP of any size; a corrupt one is skipped and counted."""
    generator = np.random.default_rng(0)
    for folder, count in (("photos", 6), ("wanted", 2)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            size = (int(generator.integers(40, 900)), int(generator.integers(40, 900)))
            small = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            suffix = ("jpg", "png", "webp")[index % 3]
            small.resize(size, Image.Resampling.BICUBIC).save(tmp_path / folder / f"{index}.{suffix}")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    folders = ("--set", "sellers.album.folder=./photos", "--set", "buyer.samples.folder=./wanted")
    done = parley("run", "purchase", *folders, "--set", "sellers.album.images=2", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["outcome"]["sellers"] == 3
    assert report["outcome"]["precision"] is None
    assert any("1 file skipped" in note for note in report["notes"])


def test_an_expectation_that_fails_is_told_and_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "expect:\n  outcome.bids: '< 0'\n  outcome.sellers: '== 8'\n  outcome.upheld: '== outcome.complaints'\n"
    )
    done = process("run", "mine.yaml", *FEW, "--out", "x", cwd=tmp_path)
    assert done.returncode == 7
    assert "expected outcome.bids < 0, and it is" in done.stderr
    assert "outcome.sellers" not in done.stderr
    assert (tmp_path / "x" / "report.html").is_file()


def test_an_expectation_of_nothing_there_is_refused_before_the_run(parley: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("expect:\n  outcome.precison: '> 0'\n")
    done = parley("run", "mine.yaml", *FEW)
    assert done.returncode == 3
    assert "the report has no outcome.precison; did you mean outcome.precision?" in done.stderr


def test_a_cheat_of_the_users_own_as_the_readme_has_it(parley: Command, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    blocks = readme.split("```python")[1:]
    mine = next(block.partition("```")[0].strip() for block in blocks if "@adversary" in block)
    assert len(mine.splitlines()) <= 12
    (tmp_path / "my_cheats.py").write_text(mine + "\n")
    shown = parley("list", "--adversaries", "my_cheats.py")
    assert "greedy                    seller: " in shown.stdout
    own = ("--adversaries", "my_cheats.py", "--set", "adversaries.greedy={share: 0.5, factor: 3}")
    done = parley("run", "purchase", *own, *FEW, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["adversaries"]["greedy"]["parties"] == 4
    assert {party["adversary"] for party in report["parties"]} >= {"greedy"}
    unknown = parley("run", "purchase", "--set", "adversaries.greedy=0.5")
    assert unknown.returncode == 3
    assert "there is no adversary 'greedy'" in unknown.stderr


def test_init_writes_a_scenario_that_runs(parley: Command, tmp_path: Path) -> None:
    assert parley("init", "mine.yaml").returncode == 0
    done = parley("run", "mine.yaml", *FEW, "--out", "x")
    assert done.returncode == 0, done.stderr


def test_list_names_everything(parley: Command, tmp_path: Path) -> None:
    shown = parley("list").stdout
    for name in (
        "purchase-swapped",
        "purchase",
        "chen-gravin-lu",
        "pets",
        "digits",
        "folder",
        "small",
        "false-complaint",
    ):
        assert name in shown
