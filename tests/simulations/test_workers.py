"""However many processes share the trainings and the attacks of a run, its report says the same."""

from pathlib import Path
from typing import Any

import parley
import pytest
import yaml

SCENARIOS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("digests.yaml").read_text())["scenarios"]
QUICK = "publish"
CLOCKS = {"timings", "seconds", "seconds_of_trainings", "phone", "workers", "trained_on", "equipment"}
"""What takes how long, and where."""


def told(node: Any) -> Any:
    """A report without what depends on the clock or the machine."""
    if isinstance(node, dict):
        return {key: told(value) for key, value in node.items() if key not in CLOCKS}
    return [told(each) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
        for name in ("crowdsource", "federate-dropping", "outsource", "pool", "publish")
    ],
)
def test_a_report_is_the_same_for_every_number_of_workers(name: str, tmp_path: Path) -> None:
    settings = {
        key: yaml.safe_load(value) for key, _, value in (each.partition("=") for each in SCENARIOS[name]["settings"])
    }
    if name == QUICK:
        settings["methods"] = {"raw": {"mechanism": "plain"}, "snow": {"mechanism": "snow", "delta": 0.4}}
    reports = [
        parley.run(name, settings=settings, workers=workers, out=tmp_path / str(workers), progress=False)
        for workers in (1, 2, 3)[: 2 if name == QUICK else 3]
    ]
    first, *others = (told(report.model_dump(mode="json")) for report in reports)
    for other in others:
        assert other == first
