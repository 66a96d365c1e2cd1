"""Scenarios whose parties have a policy: what was refused is counted, and what is allowed is as before."""

from pathlib import Path
from typing import Any

import pytest
from conftest import small

from protocol.errors import BadScenario, RunFailed
from simulations.runs.runner import run
from simulations.scenarios.files import commented, load, schema_of
from simulations.workflows.publish.scenario import PublishScenario

OWNERS: dict[str, Any] = {
    "workers": 1,
    "owners": {"count": 3, "pictures": 3, "publish": 3, "size": 32},
    "attacker": {"known": 4, "strangers": 20, "epochs": 1},
    "methods": {"pix": {"mechanism": "dp-pix", "epsilon": 1.0}},
    "asks": 3,
}


def test_refusals_are_counted_by_step(tmp_path: Path) -> None:
    scenario = small(cloud={"privacy": "level1"}, sellers={"count": 3}, policy={})
    report: Any = run(scenario, tmp_path / "run")
    assert report.refusals == {"bid": scenario.sellers.count}
    assert "bids were asked for under level1, and this party bids under level2" in report.failed[0].what
    assert report.outcome.bids == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"Parties&#39; policies refused bid {scenario.sellers.count} times" in page.replace("'", "&#39;")


def test_what_is_allowed_has_the_same_outcome(tmp_path: Path) -> None:
    plain, kept = (
        run(PublishScenario.model_validate({**OWNERS, "policy": policy}), tmp_path / str(policy is None))
        for policy in (None, {})
    )
    assert kept.refusals == {}  # type: ignore[union-attr]
    assert kept.outcome.digest == plain.outcome.digest  # type: ignore[union-attr]


def test_a_method_that_all_owners_refuse_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    scenario = PublishScenario.model_validate({**OWNERS, "methods": {"raw": {"mechanism": "plain"}}, "policy": {}})
    with pytest.raises(RunFailed, match=r"no pictures were published by raw: .*this party publishes by dp-pix"):
        run(scenario, tmp_path / "run")


def test_a_commented_scenario_says_what_a_policy_is() -> None:
    assert "policy: null  # what every party refuses" in commented("publish")
    assert "policy" in schema_of("publish")["properties"]


def test_a_mistake_in_a_policy_names_its_key() -> None:
    with pytest.raises(BadScenario, match=r"there is no key policy\.publish\.epsilom; did you mean epsilon"):
        load("publish", {"policy": {"publish": {"epsilom": 1}}})
