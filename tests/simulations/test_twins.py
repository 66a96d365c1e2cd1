"""A world with cheats is also played without them, in every workflow, and the report says what they changed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from parties.adversaries import ADVERSARIES
from parties.adversaries.adversary import ROLES
from simulations.runs.runner import run
from simulations.scenarios.files import load

SMALL: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("digests.yaml").read_text())["scenarios"]
CHEATS = {
    "purchase": "junk-ciphertext=0.5",
    "pool": "mislabelled-features=0.5",
    "crowdsource": "identity-extractor=1",
    "outsource": "noise-owner=0.34",
    "publish": "plain-cloud=1",
    "federate": "model-poisoning-client=0.4",
}


@pytest.mark.slow
@pytest.mark.parametrize("workflow", CHEATS)
def test_a_cheat_has_its_effect_beside_the_honest_twin(tmp_path: Path, workflow: str) -> None:
    settings = [*SMALL[workflow]["settings"], "grid=local", "expect={}", f"adversaries.{CHEATS[workflow]}"]
    report: Any = run(load(workflow, settings), tmp_path / "run")
    assert report.effects
    assert all(effect.difference for effect in report.effects)
    assert {effect.cheat for effect in report.effects} == {CHEATS[workflow].partition("=")[0]}
    assert not (tmp_path / "run" / "twin").exists()
    honest: Any = run(load(workflow, settings[:-1]), tmp_path / "honest")
    assert not honest.effects
    accuracies = {(each.method, each.task): each.accuracy.value for each in honest.utility}
    for effect in report.effects:
        if effect.part == "utility":
            method, _, task = effect.what.partition(": ")
            assert effect.honest == accuracies[method, task]


def test_each_cheat_has_a_twin_in_which_it_alone_is_missing(tmp_path: Path) -> None:
    cheats = ["adversaries.junk-ciphertext=0.3", "adversaries.irrelevant-images=0.2"]
    settings = [*SMALL["purchase"]["settings"], "grid=local", "expect={}"]
    report: Any = run(load("purchase", [*settings, *cheats, "twin=each"]), tmp_path / "run")
    named = {effect.cheat for effect in report.effects}
    assert named <= {"all 2", "junk-ciphertext", "irrelevant-images"}
    assert {"all 2", "junk-ciphertext"} <= named
    assert {path.name for path in (tmp_path / "run").iterdir() if path.name.startswith("twin")} == set()


def test_who_is_honest_after_all_plays_the_honest_role() -> None:
    for cheat in ADVERSARIES.values():
        assert cheat.reformed().cast() is ROLES[cheat.role]
