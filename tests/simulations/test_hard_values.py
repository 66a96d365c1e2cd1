"""Values that are extreme, of another type, or none: one sentence, or they are taken as they are meant."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from protocol.errors import BadScenario, UserError
from simulations.runs.runner import run
from simulations.scenarios.base import Scenario
from simulations.scenarios.files import WORKFLOWS, load, scenario_class
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.publish.scenario import PublishScenario

HARD: list[Any] = [
    0, -1, 1, 0.001, 1e-12, 1e-300, 1e9, 10**30, 2**63, 1e300, float("nan"), float("inf"), True, "yes", "010", "1:30",
    "", None, [], {}, [True], [[1]], {"a": 1}, "x" * 5000,
]  # fmt: skip


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from sections(each)


def keys(model: type[BaseModel], values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """All keys of a scenario, those of its methods included, and one in each section that there is not."""
    for name, field in model.model_fields.items():
        yield f"{above}{name}"
        inner = next(sections(field.annotation), None)
        if inner is None or name == "adversaries":
            continue
        within = values.get(name) if isinstance(values.get(name), dict) else {}
        if name == "methods":
            for method in within or {}:
                yield from keys(inner, (within or {})[method], f"{above}{name}.{method}.")
        else:
            yield from keys(inner, within or {}, f"{above}{name}.")
    yield f"{above}nonexistent"


def outcome(scenario: Scenario, settings: Mapping[str, Any]) -> str:
    """Change a scenario; returns why that is not possible."""
    try:
        load(scenario, settings).model_dump_json()
    except BadScenario as error:
        return str(error)
    return ""


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_hard_value_of_any_key_is_taken_or_told_in_one_sentence(workflow: str) -> None:
    scenario = load(scenario_class(workflow).model_validate({}))
    for key in keys(type(scenario), scenario.model_dump()):
        for value in HARD:
            told = outcome(scenario, {key: value})
            assert "\n" not in told
            assert len(told) < 1000
            assert told or not key.endswith("nonexistent")


@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.parametrize("value", ["true", "yes", "no", "1:30", "2026-01-01", ".inf", ".nan", "-1"])
def test_no_number_is_read_from_what_is_none(workflow: str, value: str) -> None:
    for key in ("seed", "workers"):
        with pytest.raises(BadScenario, match=rf"{key}: "):
            load(scenario_class(workflow).model_validate({"grid": "ray"}), [f"{key}={value}"])


@pytest.mark.parametrize(("value", "seed"), [("010", 10), ("0o10", 8), ("1_000", 1000), ("1e3", 1000), ("3.0", 3)])
def test_numbers_are_read_as_they_are_meant(tmp_path: Path, value: str, seed: int) -> None:
    (tmp_path / "mine.yaml").write_text(f"seed: {value}\n")
    assert load("purchase", [f"seed={value}"]).seed == load(tmp_path / "mine.yaml").seed == seed


def test_a_share_of_adversaries_is_a_number() -> None:
    for value in (True, {"share": True}, {"share": 0.1, "drawn": True, "factor": True}):
        with pytest.raises(BadScenario, match="adversaries"):
            load("purchase", {"adversaries": {"overbidding": value}})


FEDERATE: dict[str, Any] = {
    "clients": {"count": 4, "pictures": 4, "size": 16},
    "training": {"rounds": 1, "epochs": 1},
    "attacker": {"shadows": 2, "trials": 4, "strangers": 60, "probed": 0},
}


@pytest.mark.parametrize("strategy", ["dp-images", "dp-people", "dp-clients"])
def test_a_promise_that_no_noise_keeps_is_one_sentence(tmp_path: Path, strategy: str) -> None:
    methods = {"mine": {"strategy": strategy, "epsilon": 0.001}}
    with pytest.raises(BadScenario, match=r"methods\.mine\.epsilon: no noise can be shown"):
        run(FederateScenario.model_validate({**FEDERATE, "methods": methods}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "training"),
    [
        ({"strategy": "dp-images", "epsilon": 1e6}, {}),
        ({"strategy": "dp-people", "epsilon": 8.0}, {"sampling_rate": 1e-6, "steps": 3}),
        ({"strategy": "dp-images", "epsilon": 8.0}, {"sampling_rate": 1e-6, "steps": 3}),
    ],
    ids=["hardly any noise", "nobody is drawn", "nothing is drawn"],
)
@pytest.mark.slow
def test_extremes_that_are_possible_run(tmp_path: Path, method: dict[str, Any], training: dict[str, Any]) -> None:
    changed = {**FEDERATE, "training": FEDERATE["training"] | training, "methods": {"mine": method}}
    run(FederateScenario.model_validate(changed), tmp_path / "run")
    assert (tmp_path / "run" / "report.json").exists()


@pytest.mark.slow
def test_training_that_diverges_is_one_sentence_or_runs(tmp_path: Path) -> None:
    methods = {"mine": {"strategy": "fedprox", "mu": 1e6}}
    scenario = {**FEDERATE, "training": {"rounds": 3, "epochs": 20, "learning_rate": 10}, "methods": methods}
    with pytest.raises(UserError, match="diverged to numbers that are not finite"):
        run(FederateScenario.model_validate(scenario), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("epsilon", [1e-9, 1e9])
@pytest.mark.parametrize("mechanism", ["dp-pix", "dp-svd"])
def test_pictures_are_published_at_either_end(tmp_path: Path, mechanism: str, epsilon: float) -> None:
    scenario = {
        "workers": 1,
        "owners": {"count": 2, "pictures": 2, "publish": 2, "size": 32},
        "attacker": {"known": 2, "strangers": 12, "epochs": 1},
        "methods": {"mine": {"mechanism": mechanism, "epsilon": epsilon}},
    }
    run(PublishScenario.model_validate(scenario), tmp_path / "run")
    assert (tmp_path / "run" / "report.json").exists()
