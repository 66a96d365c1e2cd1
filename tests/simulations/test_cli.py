"""The command line as a user meets it: output and exit codes; that of `process` is a process of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from commands import FEW, on_terminal
from conftest import Command
from PIL import Image

from parties.adversaries import ADVERSARIES
from parties.featurizers import FEATURIZERS
from parties.federate.workflow import STRATEGIES
from simulations.cli import PANELS
from simulations.cli.catalogue import GROUPS
from simulations.data import DATASETS
from simulations.scenarios.files import WORKFLOWS, packaged_names
from simulations.studies.benchmarks import BENCHMARKS
from simulations.studies.reproductions import REPRODUCTIONS
from simulations.workflows.outsource.attacks import ATTACKS
from strategies.dp_images import MECHANISMS as IMAGE_MECHANISMS
from strategies.mechanisms import MECHANISMS
from strategies.obfuscation import OBFUSCATIONS
from strategies.pric.networks import EXTRACTORS


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
        (("bench", "grcp"), 2, "there is no benchmark 'grcp'; did you mean grpc?"),
        (("bench", "grpc", "--long"), 2, "grpc has no longer form"),
        (("reproduce", "pirc"), 2, "there is no reproduction 'pirc'; did you mean pric?"),
        (("schema", "purchse"), 2, "there is no workflow 'purchse'; did you mean purchase?"),
        (("init", "new.yaml", "--workflow", "pol"), 2, "there is no workflow 'pol'; did you mean pool?"),
        (("list", "scenario"), 2, "there is no group 'scenario'; did you mean scenarios?"),
        (("run", "purchse"), 3, "there is no scenario 'purchse', and it is not a .yaml file; did you mean purchase?"),
        (("run", "purchase", "--adversaries", "no.py"), 4, "no.py is not a Python file"),
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
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
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
    assert "expected outcome.bids < 0, but it is" in done.stderr
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
    shown = parley("list", "adversaries", "--adversaries", "my_cheats.py")
    assert "\ngreedy\tseller: " in shown.stdout
    own = ("--adversaries", "my_cheats.py", "--set", "adversaries.greedy={share: 0.5, factor: 3}")
    done = parley("run", "purchase", *own, *FEW, "--set", "twin=false", "--json")
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


NAMED = {
    "workflows": WORKFLOWS,
    "scenarios": packaged_names(),
    "datasets": DATASETS,
    "featurizers": FEATURIZERS,
    "phones": ["paper", "old"],
    "mechanisms": MECHANISMS,
    "obfuscations": OBFUSCATIONS,
    "image-mechanisms": IMAGE_MECHANISMS,
    "strategies": STRATEGIES,
    "extractors": EXTRACTORS,
    "adversaries": ADVERSARIES,
    "attacks": ATTACKS,
    "reproductions": REPRODUCTIONS,
    "benchmarks": BENCHMARKS,
}


class TestList:
    def test_it_names_everything(self, parley: Command) -> None:
        lines = [line.split("\t") for line in parley("list").stdout.splitlines()]
        named = {(group, name) for group, name, *_ in lines}
        assert NAMED.keys() == GROUPS.keys()
        assert named >= {(group, name) for group, names in NAMED.items() for name in names}
        assert all(description for _, _, description, *_ in lines)

    @pytest.mark.parametrize("group", GROUPS)
    def test_a_group_alone(self, parley: Command, group: str) -> None:
        lines = [line.split("\t") for line in parley("list", group).stdout.splitlines()]
        assert {name for name, *_ in lines} >= set(NAMED[group])

    def test_adversaries_say_what_they_take_know_and_gain(self, parley: Command) -> None:
        lines = [line.split("\t") for line in parley("list", "adversaries").stdout.splitlines()]
        settings, knows, profit = next(details for name, _, *details in lines if name == "straggler")
        assert settings == "settings: step = deliver, seconds = 86400"
        assert knows == f"knows: {ADVERSARIES['straggler'].knowledge}"
        assert profit == f"profit: {ADVERSARIES['straggler'].profit}"

    def test_every_workflow_is_attacked(self, parley: Command) -> None:
        said = parley("list", "attacks").stdout
        assert all(f"workflow: {workflow}" in said for workflow in WORKFLOWS)

    def test_columns_are_aligned_on_a_terminal(self, tmp_path: Path) -> None:
        said = on_terminal("list", "mechanisms", columns=60, cwd=tmp_path)
        lines = [line for line in said.splitlines() if line.strip()]
        assert lines[0].strip() == "mechanisms (purchase)"
        assert {line[:24] for line in lines[1:]} == {f"  {name:<20}  " for name in (*MECHANISMS, "")}
        assert max(map(len, lines)) <= 60


class TestHelp:
    def commands(self) -> list[tuple[str, ...]]:
        found = []
        for panel in PANELS.values():
            for name, command in panel.items():
                found.append((name,))
                if isinstance(command, typer.Typer):
                    found += [(name, each.name or "") for each in command.registered_commands]
        return found

    def test_h_is_help_everywhere(self, parley: Command) -> None:
        for words in ((), *self.commands()):
            short, long = parley(*words, "-h"), parley(*words, "--help")
            assert short.returncode == 0
            assert short.stdout == long.stdout != ""

    def test_arguments_are_explained(self, parley: Command) -> None:
        assert "parley list scenarios" in " ".join(parley("run", "-h").stdout.replace("│", " ").split())
        said = " ".join(parley("survey", "score", "-h").stdout.replace("│", " ").split())
        assert "key.json, as `parley survey make` wrote it" in said

    def test_the_version(self, parley: Command) -> None:
        assert re.fullmatch(r"parley \d+\.\d+\.\d+\n", parley("--version").stdout)


LIGHT = """
import sys
from simulations.cli import main

sys.argv = ["parley", *sys.argv[1:]]
try:
    main()
finally:
    print("heavy:", sorted({"torch", "flwr", "ray", "scipy", "matplotlib"} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("run", "--help"),
        ("run", "purchse"),
        ("run", "purchse.yaml"),
        ("run", "purchase", "--set", "workflow=purchse"),
        ("run", "purchase", "--adversaries", "purchse.py"),
        ("list", "scenarios"),
        ("init", "mine.txt"),
    ],
    ids=" ".join,
)
def test_nothing_slow_is_imported_for(words: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stderr.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("parley sch", ["schema"]),
        ("parley run purchase-c", ["purchase-cheats", "purchase-collision", "purchase-collusion"]),
        ("parley run mi", ["mine.yaml"]),
        ("parley run purchase --grid ", ["local", "ray", "grpc"]),
        ("parley list ad", ["adversaries"]),
        ("parley schema fed", ["federate"]),
        ("parley bench sea", ["sealing"]),
    ],
)
def test_a_shell_completes(typed: str, completed: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    asked = {"_PARLEY_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    program = Path(sys.executable).with_name("parley")
    said = subprocess.check_output([program], env={**os.environ, **asked}, cwd=tmp_path, text=True)
    assert said.split() == completed


class TestSchema:
    @pytest.fixture
    def schemas(self, parley: Command) -> dict[str, object]:
        return {workflow: json.loads(parley("schema", workflow).stdout) for workflow in WORKFLOWS}

    def test_it_accepts_what_is_packaged_and_what_init_writes(
        self, parley: Command, schemas: dict[str, object], tmp_path: Path
    ) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        packaged = Path(__file__).parents[2] / "simulations" / "scenarios"
        for workflow in WORKFLOWS:
            assert parley("init", f"{workflow}.yaml", "--workflow", workflow).returncode == 0
        for path in (*packaged.glob("*.yaml"), *tmp_path.glob("*.yaml")):
            scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
            jsonschema.validate(scenario, schemas[scenario.get("workflow", "purchase")])

    @pytest.mark.parametrize("wrong", ["buyer: {qualty: x}", "adversaries: {idle: 2}", "sellers: 3", "grid: cloud"])
    def test_it_refuses_what_a_run_refuses(self, schemas: dict[str, object], wrong: str) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(wrong), schemas["purchase"])
