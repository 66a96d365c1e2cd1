"""A world with cheats is also played without them, in every workflow, and the report says what they changed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from simulations.runs.runner import run
from simulations.scenarios.files import load

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("digests.yaml").read_text())["scenarios"]
CHEATS = {
    "purchase": "junk-ciphertext=0.5",
    "pool": "mislabelled-features=0.5",
    "crowdsource": "identity-extractor=1",
    "outsource": "noise-owner=0.34",
    "publish": "plain-cloud=1",
    "federate": "model-poisoning-client=0.4",
}


@pytest.mark.parametrize("workflow", CHEATS)
def test_a_cheat_has_its_effect_beside_the_honest_twin(tmp_path: Path, workflow: str) -> None:
    settings = [*SMALL[workflow]["settings"], "grid=local", "expect={}", f"adversaries.{CHEATS[workflow]}"]
    report: Any = run(load(workflow, settings), tmp_path / "run")
    assert report.effects
    assert all(effect.difference for effect in report.effects)
    assert not (tmp_path / "run" / "twin").exists()
    honest: Any = run(load(workflow, settings[:-1]), tmp_path / "honest")
    assert not honest.effects
    accuracies = {(each.method, each.task): each.accuracy.value for each in honest.utility}
    for effect in report.effects:
        if effect.part == "utility":
            method, _, task = effect.what.partition(": ")
            assert effect.honest == accuracies[method, task]
