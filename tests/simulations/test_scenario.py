import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from conftest import Command

from protocol.errors import BadScenario
from simulations.scenarios.files import commented, load, packaged
from simulations.workflows.purchase.scenario import PurchaseScenario


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("buyer.qualty=matching", "there is no key buyer.qualty; did you mean quality?"),
        ("sellers.album.image=3", "there is no key sellers.album.image; did you mean images?"),
        ("bier.budget=3", "there is no key bier; did you mean buyer?"),
        ("buyer.budget=-3", "buyer.budget: input should be greater than or equal to 0, not -3"),
        ("buyer.budget=.nan", "buyer.budget: input should be a finite number"),
        ("cloud.privacy=level3", "cloud.privacy: input should be 'basic', 'level1' or 'level2', not 'level3'"),
        ("cloud.privacy=basic", "diversity needs features of two numbers"),
        ("sellers.album.images=[3, 1]", "least first"),
        ("sellers.count=many", "sellers.count: input should be a valid integer"),
        ("adversaries.swaped-delivery=0.1", "there is no adversary 'swaped-delivery'; did you mean swapped-delivery?"),
        ("adversaries={swapped-delivery: 0.7, irrelevant-images: 0.7}", "add up to 1.4"),
        (
            "adversaries={overbidding: {share: 0.1, fctor: 2}}",
            "overbidding.fctor; did you mean factor?",
        ),
        ("adversaries={overbidding: {share: 0.1, factor: 0.5}}", "adversaries.overbidding.factor: input should be"),
        ("adversaries={overbidding: {drawn: true}}", "adversaries.overbidding.share: field required"),
        ("adversaries={overbidding: 2}", "adversaries.overbidding.share: input should be less than or equal to 1"),
        ("expect={outcome.bids: about 3}", "'about 3' is not a condition; write one of >="),
        ("seed", "write it as key=value"),
        ("seed=[1", "this is not YAML"),
        ("seed.x=1", "it has no keys below it"),
        ("buyer=3", "buyer: "),
        ("workflow=auction", "workflow: "),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(setting: str, sentence: str) -> None:
    settings = ["seed=1", setting] if setting == "seed.x=1" else [setting]
    with pytest.raises(BadScenario) as error:
        load("purchase", settings)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "end"),
    [
        ("sellers.count=many", "string as an integer, not 'many'"),
        ("sellers.album.images=[3, 1]", "1 to 10000 pictures, least first, not (3, 1)"),
        ("cloud.privacy=basic", "set buyer.quality to quantity or matching"),
    ],
)
def test_a_mistake_names_its_value_unless_the_sentence_has_it(setting: str, end: str) -> None:
    with pytest.raises(BadScenario) as error:
        load("purchase", [setting])
    assert str(error.value).endswith(end)


def test_an_unknown_scenario_names_the_nearest() -> None:
    with pytest.raises(BadScenario, match="did you mean purchase"):
        load("purchas")
    with pytest.raises(BadScenario, match="parley init"):
        load("nowhere.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1", "\x00", ""])
def test_a_file_that_is_no_scenario(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadScenario, match=r"mine\.yaml"):
        load(str(path))


LINES = """\
description: mine
buyer:
  budget: 5
  # what for
  qualty: matching
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LINES, "line 5: there is no key buyer.qualty; did you mean quality?"),
        ("seed: 1\nbuyer: {budget: -1}\n", "line 2: buyer.budget: input should be"),
        ("\n\nseeds: 1\n", "line 3: there is no key seeds; did you mean seed?"),
        ("adversaries:\n  ring: 0.1\n  rng: 0.1\n", "line 3: there is no adversary 'rng'; did you mean ring?"),
        ("adversaries:\n  ring:\n    share: 0.1\n    offred: 1\n", "line 4: there is no key adversaries.ring.offred"),
        ("adversaries: {ring: 0.7, sybil: 0.7}\n", "line 1: adversaries: the shares"),
        ("expect:\n  outcome.bids: 3\n", "line 2: expect.outcome.bids: input should be a valid string"),
        ("expect:\n  outcome.bids: '~ 3'\n", "line 2: '~ 3' is not a condition"),
    ],
)
def test_a_mistake_in_a_file_names_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadScenario) as error:
        load(str(path))
    assert f"mine.yaml, {told}" in str(error.value)


def test_a_mistake_in_a_setting_names_no_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("buyer:\n  budget: 5\n")
    with pytest.raises(BadScenario, match=r"mine.yaml: buyer.budget"):
        load(str(path), ["buyer.budget=-1"])


def test_a_mix_is_written_as_it_was_read() -> None:
    mixes = {"ring": 0.1, "overbidding": {"share": 0.2, "drawn": True, "factor": 2.0}}
    scenario = PurchaseScenario.model_validate({"adversaries": mixes})
    assert scenario.model_dump(mode="json")["adversaries"] == mixes
    assert PurchaseScenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_every_packaged_scenario_loads_and_says_what_it_is() -> None:
    found = packaged()
    assert {"purchase", "purchase-swapped", "purchase-false-complaint"} <= found.keys()
    assert all(found.values())


def test_settings_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\nbuyer: {budget: 5}\n")
    scenario = load(str(path), ["seed=2", "cloud.privacy=level1"])
    assert (scenario.seed, scenario.buyer.budget, scenario.cloud.privacy) == (2, 5, "level1")


def test_the_commented_scenario_is_the_default_one_and_explains_every_key() -> None:
    assert PurchaseScenario.model_validate(yaml.safe_load(commented())) == PurchaseScenario()
    for line in commented().splitlines():
        if line.strip() and not line.strip().startswith("#") and not line.rstrip().endswith(":"):
            assert "  # " in line, line


RENAMED = [
    ("federate", "training.private_rate", "training.dp_learning_rate"),
    ("federate", "training.rate", "training.sampling_rate"),
    ("crowdsource", "federated.rate", "federated.learning_rate"),
    ("crowdsource", "federated.adversary_rate", "federated.adversary_learning_rate"),
    ("pool", "training.rate", "training.learning_rate"),
]


def value(workflow: str, key: str, text: str, settings: Sequence[str] = ()) -> object:
    """What a scenario file sets a key of a section to."""
    section, name = key.split(".")
    Path("mine.yaml").write_text(f"workflow: {workflow}\n{text}")
    return load("mine.yaml", settings).model_dump()[section][name]


def test_the_command_says_in_one_line_that_a_key_has_another_name(parley: Command) -> None:
    Path("mine.yaml").write_text("workflow: federate\ntraining: {rate: 0.5}\n")
    said = parley("run", "mine.yaml", "--set", "nonsense=1").stderr.splitlines()
    assert said[0] == "parley: training.rate is now training.sampling_rate; the old name is read until 0.3"
    assert said[1].startswith("parley: mine.yaml: there is no key nonsense")


@pytest.mark.parametrize(("workflow", "old", "new"), RENAMED)
def test_a_key_of_the_last_release_is_read_with_a_warning(
    workflow: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section, name = old.split(".")
    with pytest.warns(FutureWarning, match=f"^{old} is now {new}; the old name is read until 0.3$"):
        assert value(workflow, new, f"{section}: {{{name}: 0.125}}\n") == 0.125
    with pytest.warns(FutureWarning, match=f"^{old} is now {new}"):
        assert value(workflow, new, "", [f"{old}=0.25"]) == 0.25
    with pytest.raises(BadScenario, match=f"{new}: input should be greater than 0, not -1"), pytest.warns():
        value(workflow, new, "", [f"{old}=-1"])
    with pytest.raises(BadScenario, match=rf"mine.yaml, line 2: {old} is now {new}: leave {old} out"):
        value(workflow, new, f"{section}: {{{name}: 0.125}}\n", [f"{new}=0.25"])


def test_packaged_scenarios_have_no_key_of_the_last_release() -> None:
    with warnings.catch_warnings(action="error"):
        assert packaged()
