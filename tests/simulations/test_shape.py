"""All workflows have one shape: the same files, and the same names in them."""

from importlib import import_module
from pathlib import Path

import pytest

from parties.workflow import Record, Workflow
from simulations.reports.model import RunReport
from simulations.runs.workflows import simulation
from simulations.scenarios.base import Scenario
from simulations.scenarios.files import WORKFLOWS, scenario_class

ROOT = Path(__file__).parents[2] / "simulations" / "workflows"
MODULES = {"__init__", "scenario", "world", "run", "attacks", "scoring", "words"}


def test_every_package_of_a_workflow_is_listed_and_every_listed_one_is_there() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "run.py").exists()} == set(WORKFLOWS)


@pytest.mark.parametrize("name", WORKFLOWS)
class TestShape:
    def test_the_files_are_there(self, name: str) -> None:
        folder = ROOT / name
        assert {path.stem for path in folder.glob("*.py")} >= MODULES
        assert (folder / "README.md").exists()
        report = folder / "report" if (folder / "report").is_dir() else folder
        assert (report / "page.py").exists()
        assert (report / "page.html").exists()
        assert (folder / "report.py").exists() or (report / "model.py").exists()

    def test_the_names_in_them_are_alike(self, name: str) -> None:
        title = name.capitalize()
        assert scenario_class(name).__name__ == f"{title}Scenario"
        assert issubclass(scenario_class(name), Scenario)
        world = import_module(f"simulations.workflows.{name}.world")
        assert callable(world.build)
        assert {"apps", "names"} <= set(vars(getattr(world, f"{title}World")))
        simulated = simulation(name)
        assert simulated.report.__name__ == f"{title}Report"
        assert issubclass(simulated.report, RunReport)
        assert simulated.report.model_fields["outcome"].annotation.__name__ == f"{title}Outcome"  # type: ignore[union-attr]

    def test_the_cloud_plays_it_as_a_workflow(self, name: str) -> None:
        module = import_module(f"parties.{name}.workflow")
        workflow = getattr(module, name.capitalize())
        assert issubclass(workflow, Workflow)
        assert workflow.STEPS
        assert issubclass(getattr(module, f"{name.capitalize()}Record"), Record)
