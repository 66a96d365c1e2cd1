"""Mistakes in Flower apps, and the command that plays them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flower_projects import DIGITS, FAILING, ROOT, TRAIN, local, new_app, write

from protocol.errors import BadApp, GridUnavailable
from simulations.flower.apps import on_grid, run

README = (ROOT / "simulations" / "README.md").read_text(encoding="utf-8").splitlines()
COMMANDS = [shlex.split(line)[2:] for line in README if line.startswith("parley flower ")]


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return new_app(tmp_path, request.node.name)


class TestMistakes:
    def test_in_the_address_of_ray(self) -> None:
        with pytest.raises(GridUnavailable, match=r"no Ray cluster at 127\.0\.0\.1:9"):
            run(DIGITS, on_grid("ray", address="127.0.0.1:9"), 2)

    @pytest.mark.parametrize(
        ("overrides", "sentence"),
        [
            (("lurning-rate=1",), "no run-config key 'lurning-rate'; did you mean learning-rate?"),
            (("learning-rate",), "write it as"),
            (("learning-rate=fast",), "write it as"),
            (("learning-rate=1 and more",), "write it as"),
            (("nowhere.toml",), "there is no file nowhere.toml"),
        ],
    )
    def test_in_the_configuration(self, app: Path, overrides: tuple[str, ...], sentence: str) -> None:
        write(app, config="learning-rate = 0.1")
        with pytest.raises(BadApp, match=sentence.replace("?", r"\?")):
            local(app, 2, *overrides)
        assert not (app / "result").exists()

    def test_an_app_without_configuration_says_so(self, app: Path) -> None:
        path = app / "pyproject.toml"
        path.write_text(path.read_text().partition("[tool.flwr.app.config]")[0])
        with pytest.raises(BadApp, match="'x'; it has none at all"):
            local(app, 2, "x=1")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[project]\nname = 'x'\nversion = '1'\n", r"Missing \[tool.flwr.app\] section"),
            ("[project\n", "is not TOML"),
            ("[project]\nname='x'\n[tool.flwr.app.components]\nserverapp='a:b'\n", '"version" missing.*"clientapp"'),
        ],
    )
    def test_in_the_pyproject(self, app: Path, text: str, sentence: str) -> None:
        (app / "pyproject.toml").write_text(text)
        with pytest.raises(BadApp, match=sentence):
            local(app)

    def test_there_is_no_app(self, tmp_path: Path) -> None:
        with pytest.raises(BadApp, match="it has no pyproject"):
            local(tmp_path)

    @pytest.mark.parametrize(
        ("client", "sentence"),
        [
            ("import tensorflaw\n", r"No module named 'tensorflaw' \(.*client.py, line 6\)"),
            ("app = (\n", "SyntaxError"),
            ("client = 1\n", "Unable to load attribute app"),
            ("app = 1\n", "is a int, not a ClientApp"),
            ("raise SystemExit(2)\n", "cannot be imported: SystemExit: 2"),
        ],
    )
    def test_in_the_code(self, app: Path, client: str, sentence: str) -> None:
        write(app, client)
        with pytest.raises(BadApp, match=sentence):
            local(app)

    def test_a_package_that_is_called_like_one_of_ours(self, app: Path) -> None:
        (app / "strategies").mkdir()
        write(app, components='serverapp = "strategies.server:app"\nclientapp = "strategies.client:app"\n')
        with pytest.raises(BadApp, match=r"is hidden by .*strategies/__init__.py; give it another name"):
            local(app)


class TestCommand:
    def parley(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("parley")
        environment = {**os.environ, "COLUMNS": "120"}
        return subprocess.run(
            [program, "flower", *words], capture_output=True, text=True, cwd=cwd, env=environment, check=False
        )

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(words, marks=pytest.mark.slow if "ray" in words else (), id=" ".join(words))
            for words in COMMANDS
        ],
    )
    def test_the_commands_of_the_readme_show_flowers_log_and_a_summary(self, tmp_path: Path, words: list[str]) -> None:
        (tmp_path / "tests").symlink_to(ROOT / "tests")
        done = self.parley(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "[ROUND 2/" in done.stderr
        assert "\x1b" not in done.stderr
        assert "\ntrain\t" in done.stdout
        assert " messages in " in done.stdout
        with np.load(tmp_path / "result.npz") as saved:
            assert saved["accuracy"][-1] > 0.8

    def test_failed_nodes_are_listed_and_the_run_goes_on(self, app: Path) -> None:
        write(app, FAILING, "print('hello')\n" + TRAIN, "wanted = 2")
        done = self.parley(str(app), "--nodes", "4", cwd=app)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("hello")
        assert "2 failures of 1 node (2): ValueError: no such picture" in done.stdout
        assert done.stderr.count("Traceback (most recent call last)") == 1

    @pytest.mark.slow
    def test_hashes_follow_from_the_seed(self, app: Path) -> None:
        write(app, server="app = ServerApp()\n@app.main()\ndef main(grid, context):\n    print(hash('x'))\n")
        said = [self.parley(str(app), "--seed", seed, cwd=app).stdout.partition("\n")[0] for seed in ("1", "1", "2")]
        assert said[0] == said[1] != said[2]

    def test_json_is_all_there_is_on_stdout(self, app: Path) -> None:
        write(app, FAILING, "print('hello')\n" + TRAIN, "wanted = 2")
        report = json.loads(self.parley(str(app), "--nodes", "4", "--json", cwd=app).stdout)
        assert [failure["partition"] for failure in report["failures"]] == [2, 2]
        assert "Traceback" in report["failures"][0]["traceback"]

    def test_a_mistake_is_a_sentence_and_an_exit_code(self, tmp_path: Path) -> None:
        done = self.parley(str(DIGITS), "--run-config", "epochs=2", cwd=tmp_path)
        assert done.returncode == 3
        assert "the app has no run-config key 'epochs'; did you mean local.epochs?" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
