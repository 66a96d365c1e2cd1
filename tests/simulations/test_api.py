"""`import parley`: what a script or a notebook does with it."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import parley
import pytest

SMALL: dict[str, Any] = {"sellers.count": 6, "sellers.album.images": 3, "buyer.samples.count": 4}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report() -> parley.Report:
    return parley.run("purchase", seed=7, settings=SMALL, progress=False)


class TestImport:
    def test_it_is_quick(self) -> None:
        script = "import parley, sys; print(sorted({'torch', 'flwr', 'numpy', 'pydantic'} & sys.modules.keys()))"
        assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"

    def test_names_are_those_that_type_checkers_see(self) -> None:
        module = ast.parse(Path(parley.__file__).read_text(encoding="utf-8"))
        block = next(node for node in module.body if isinstance(node, ast.If))
        seen = {}
        for node in block.body:
            if isinstance(node, ast.ImportFrom):
                home = import_module(f"{'.' * node.level}{node.module}", "parley")
                seen |= {alias.name: getattr(home, alias.name) for alias in node.names}
        assert seen == {name: getattr(parley, name) for name in parley.__all__}
        assert set(parley.__all__) <= set(dir(parley))

    def test_another_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="'parley' has no attribute 'Sellers'"):
            _ = parley.Sellers

    @pytest.mark.parametrize("name", ["parley", "strategies", "protocol", "parties", "deploy", "simulations"])
    def test_packages_are_typed(self, name: str) -> None:
        assert Path(str(import_module(name).__file__)).with_name("py.typed").is_file()

    def test_python_m_is_the_command(self) -> None:
        said = subprocess.check_output([sys.executable, "-m", "parley", "--version"], text=True)
        assert said == f"parley {parley.__version__}\n"


class TestReport:
    def test_its_attributes_are_the_keys_of_report_json(self, report: parley.Report) -> None:
        written = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
        assert json.loads(report.model_dump_json()) == written
        assert set(written) <= set(dir(report))
        assert report.outcome.sellers == 6
        assert report.outcome.precision == written["outcome"]["precision"]
        assert repr(report) == f"<Report of purchase, seed 7: {report.summary}>"

    def test_the_same_seed_gives_the_same_outcome(self, report: parley.Report) -> None:
        again = parley.run("purchase", seed=7, settings=SMALL, progress=False)
        other = parley.run("purchase", seed=8, settings=SMALL, progress=False)
        assert again.outcome.digest == report.outcome.digest != other.outcome.digest

    def test_a_temporary_folder_goes_with_the_report_and_a_named_one_stays(self, tmp_path: Path) -> None:
        passing = parley.run("purchase", settings=SMALL, progress=False)
        folder = passing.folder
        assert (folder / "report.html").is_file()
        del passing
        assert not folder.parent.exists()
        assert parley.run("purchase", settings=SMALL, progress=False, out=tmp_path / "mine").folder == tmp_path / "mine"
        assert (tmp_path / "mine" / "report.html").is_file()

    def test_it_is_html_in_a_notebook(self, report: parley.Report) -> None:
        page = report._repr_html_()
        assert "<tr><td>sellers called</td><td>6</td></tr>" in page
        assert f"<p>{report.summary}</p>" in page


class TestFrame:
    @pytest.fixture(autouse=True)
    def pandas(self) -> Any:
        return pytest.importorskip("pandas")

    def test_a_row_for_each_number(self, report: parley.Report, pandas: Any) -> None:
        frame = report.to_frame()
        assert list(frame.columns) == ["workflow", "seed", "key", "value"]
        values = frame.set_index("key")["value"]
        assert values["outcome.sellers"] == 6
        assert values["outcome.quality.quantity"] == report.outcome.quality.quantity
        assert not [key for key in values.index if key.startswith("scenario")]
        both = pandas.concat([frame, frame.assign(seed=8)])
        assert both.pivot(index="seed", columns="key", values="value").shape == (2, len(frame))

    def test_a_row_for_each_entry_of_a_part(self, report: parley.Report) -> None:
        parties = report.to_frame("parties")
        assert list(parties["party"]) == [account.party for account in report.parties]
        assert parties["balance"].sum() == sum(account.balance for account in report.parties)
        assert set(parties["seed"]) == {7}
        phones = report.to_frame("phones.models").set_index("name")
        assert phones.loc["paper", "spent.seconds.median"] == report.phones.models["paper"].spent.seconds.median
        with pytest.raises(KeyError, match=r"no part party; did you mean parties\?"):
            report.to_frame("party")

    def test_a_sweep(self) -> None:
        settings = {**SMALL, "sweep": {"noise": [0.2, 0.4], "seeds": 1}, "sellers.count": 12}
        swept = parley.run("purchase", settings=settings, progress=False)
        assert list(swept.to_frame("points")["noise"]) == [0.2, 0.4]


def test_without_pandas_a_frame_is_refused_with_a_sentence(
    report: parley.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas, which is not installed: pip install 'parley\[pandas\]'"):
        report.to_frame()


class TestScenario:
    def test_settings_change_keys(self) -> None:
        scenario = parley.load("purchase", {"buyer.budget": 20, "sellers.album": {"images": (1, 5)}})
        assert isinstance(scenario, parley.Scenario)
        assert scenario.model_dump(mode="json")["buyer"]["budget"] == 20
        assert scenario.model_dump(mode="json")["sellers"]["album"]["images"] == [1, 5]

    def test_values_may_be_paths_and_numbers_of_numpy(self, tmp_path: Path) -> None:
        scenario = parley.load("purchase", {"sellers.album.folder": tmp_path, "sellers.count": np.int64(5)})
        sellers = scenario.model_dump(mode="json")["sellers"]
        assert (sellers["album"]["folder"], sellers["count"]) == (str(tmp_path), 5)

    def test_a_file_and_a_scenario_are_run_like_a_name(self, report: parley.Report, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text("buyer:\n  samples:\n    count: 4\nsellers:\n  count: 6\n  album:\n    images: 3\n")
        from_file = parley.run(path, seed=7, progress=False)
        from_scenario = parley.run(parley.load("purchase", {**SMALL, "seed": 3}), seed=7, progress=False)
        assert from_file.outcome.digest == from_scenario.outcome.digest == report.outcome.digest

    def test_settings_are_left_as_they_were(self) -> None:
        settings: dict[str, Any] = {"sellers": {"count": 3}, "sellers.noise": 0.1}
        parley.load("purchase", settings)
        assert settings == {"sellers": {"count": 3}, "sellers.noise": 0.1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scenario": "purchse"}, "there is no scenario 'purchse', and it is not a .yaml file; did you mean purchase?"),
        ({"scenario": 3}, "3 is not a scenario: give a name, the path of a .yaml file, or a Scenario"),
        ({"scenario": Path("no.yaml")}, "there is no scenario file no.yaml; `parley init no.yaml` writes one"),
        ({"settings": {"buyer.qualty": "x"}}, "there is no key buyer.qualty; did you mean quality?"),
        ({"settings": {"seed": 1, "seed.x": 1}}, "there is no key seed.x: seed is a value"),
        ({"settings": {"buyer.budget": "much"}}, "buyer.budget: input should be a valid number"),
        ({"settings": {"workflow": "purchse"}}, "workflow: there is no 'purchse'; did you mean purchase?"),
        ({"settings": ["seed=3"]}, "settings are values by key, such as {"),
        ({"seed": "x"}, "seed: input should be a valid integer"),
        ({"grid": "cloud"}, "grid: input should be 'local', 'ray' or 'grpc', not 'cloud'"),
        ({"address": "here:6379"}, "address is for grid ray, but grid is local"),
        ({"grid": "ray", "address": "nowhere"}, "'nowhere' is not the address of a Ray cluster"),
        ({"adversaries": "no.py"}, "no.py is not a Python file"),
        ({"adversaries": [int]}, "<class 'int'> is not an adversary"),
        ({"adversaries": int}, "<class 'int'> is not an adversary"),
        ({"settings": {"adversaries.greedy": 0.5}}, "there is no adversary 'greedy'"),
        ({"out": "."}, "the output folder . is already there"),
    ],
)
def test_a_mistake_is_a_user_error_with_a_sentence(
    arguments: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(parley.UserError) as raised:
        parley.run(**{"scenario": "purchase", "progress": False, **arguments})
    assert sentence in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_expectation_that_fails_says_where_the_report_is() -> None:
    settings = {**SMALL, "expect": {"outcome.bids": "< 0"}}
    with pytest.raises(parley.UserError, match=r"expected outcome\.bids < 0") as raised:
        parley.run("purchase", settings=settings, progress=False)
    path = str(raised.value).rpartition("The report is ")[2].removesuffix(".")
    assert Path(path).is_file()


@parley.adversary("greedy", knowledge="nothing beyond its role", profit="none: payments do not follow prices")
class Greedy(parley.Seller):
    """Asks for more than its pictures are worth to it."""

    factor: float = 10.0

    def price(self, image: int) -> int:
        return round(self.factor * self.costs[image])


@pytest.mark.parametrize("given", ["class", "file"])
def test_adversaries_of_my_own(given: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"import parley\n\n{ast.unparse(source_of(Greedy.__name__))}\n")
    settings = {**SMALL, "adversaries.greedy": {"share": 0.5, "factor": 3}, "twin": False}
    adversaries = [Greedy] if given == "class" else path
    done = parley.run("purchase", settings=settings, adversaries=adversaries, progress=False)
    assert done.adversaries["greedy"].parties == 3
    scenario = parley.load("purchase", settings, adversaries=adversaries)
    again = parley.run(scenario, adversaries=adversaries, progress=False)
    assert again.outcome.digest == done.outcome.digest
    with pytest.raises(parley.UserError, match="there is no adversary 'greedy'"):
        parley.run(scenario, progress=False)


def source_of(name: str) -> ast.stmt:
    """A class of this file."""
    module = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    return next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)


SCRIPT = f"""
import sys
import parley

print("begun")

{ast.unparse(source_of("Greedy"))}

settings = {{**{SMALL!r}, "adversaries.greedy": 0.5}}
options = {{}} if sys.argv[1] == "local" else {{"workers": 1}}
report = parley.run("purchase", settings=settings, grid=sys.argv[1], adversaries=[Greedy], **options)
print(report.outcome.digest)
"""
"""It has no ``if __name__ == "__main__":``, and defines a party."""


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["grpc", "ray"])
def test_a_plain_script_runs_on_every_grid(grid: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    said = {}
    for each in ("local", grid):
        done = subprocess.run(
            [sys.executable, "script.py", each], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "step 12 of 12: payout" in done.stderr
        said[each] = done.stdout.split()
    assert said[grid] == said["local"]
    assert said["local"][0] == "begun"
    assert len(said["local"]) == 2


def test_a_notebook_shows_progress_and_report() -> None:
    notebooks = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = ["import parley", f"report = parley.run('purchase', settings={SMALL!r})", "report", "parley.run('purchse')"]
    book = notebooks.v4.new_notebook(cells=[notebooks.v4.new_code_cell(cell) for cell in cells])
    shown: list[str] = []

    class Watching(client.NotebookClient):  # type: ignore[name-defined, misc]
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            shown.append(msg["content"].get("data", {}).get("text/html", ""))
            return super().process_message(msg, cell, cell_index)

    Watching(book, kernel_name="python3", timeout=120, allow_errors=True).execute()
    assert any("step 10 of 12: verification" in page and "<progress " in page for page in shown)
    outputs = [cell.outputs for cell in book.cells]
    assert [output.data["text/html"] for output in outputs[1]] == [""]
    assert "<caption>purchase, seed 7</caption>" in outputs[2][0].data["text/html"]
    assert outputs[3][-1].ename == "BadScenario"


def test_a_package_that_hides_one_of_parleys_is_named(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "__init__.py").touch()
    script = tmp_path / "script.py"
    script.write_text("import parley")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert f"{tmp_path / 'strategies'} hides Parley's package strategies; rename it" in done.stderr
