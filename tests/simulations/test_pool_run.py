"""A pool from a scenario: the same on every grid, its report, its attackers."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import RecordDict

from deploy.processes import ProcessesGrid
from parties.adversaries.pooling import Mislabelling
from parties.party import Memory
from parties.pool.record import PoolRecord
from parties.pool.workflow import Keeper, Pool
from protocol.compute.workshop import LocalWorkshop
from protocol.errors import BadScenario, ExpectationFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid, RayGrid
from protocol.messages.pool import PoisonedFeatures, SignedNetwork
from protocol.storage.vault import Vault
from simulations.runs.grids import OpenGrid
from simulations.runs.runner import run
from simulations.runs.views import View
from simulations.scenarios.files import commented, load
from simulations.workflows.pool.attacks import PoolView, Undone
from simulations.workflows.pool.evaluation import Evaluation
from simulations.workflows.pool.report import PoolReport
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.scoring import digest
from simulations.workflows.pool.words import tables
from simulations.workflows.pool.world import PoolWorld, build
from strategies.deep_poisoning.contributions import LabelledFeatures, mislabelled
from strategies.learning.batches import accuracy, apply, guessed

SMALL: dict[str, Any] = {
    "workers": 1,
    "twin": False,
    "seed": 3,
    "entities": {"images": [160, 60, 24], "classes": 4, "held_back": 60, "public": 120, "side": 32, "late": 1},
    "training": {"pretraining": 60, "reconstruction": 60, "poisoning": 30, "refinement": 30, "batch": 16},
    "attacks": {
        "steps": 12,
        "attacked": 40,
        "unseen": ["rx4s4"],
        "pairs": [0, 100],
        "modules": [1, 2],
        "aligned": 1,
        "losses": False,
    },
}


def small(**changes: Any) -> PoolScenario:
    return PoolScenario.model_validate({**SMALL, **changes})


def quick(**changes: Any) -> PoolScenario:
    """One that trains next to nothing."""
    steps = {"pretraining": 3, "reconstruction": 3, "poisoning": 3, "refinement": 3, "batch": 16}
    return small(training=steps, **changes)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[PoolReport, Path]:
    folder = tmp_path_factory.mktemp("pool") / "run"
    report = run(small(), folder)
    assert isinstance(report, PoolReport)
    return report, folder


def test_the_folder_holds_the_report_and_the_messages(ran: tuple[PoolReport, Path]) -> None:
    report, folder = ran
    assert sorted(path.name for path in folder.iterdir()) == ["cells", "messages.jsonl", "report.html", "report.json"]
    assert PoolReport.model_validate_json((folder / "report.json").read_text()) == report
    kinds = [json.loads(line)["kind"] for line in (folder / "messages.jsonl").read_text().splitlines()]
    assert kinds.count("PoisonedFeatures") == 3 + 6
    page = (folder / "report.html").read_text()
    shown = page.count('alt="an original"')
    assert page.count('alt="from protected features"') == shown * len(report.attacks) > 0
    assert page.count('alt="from clean features"') == shown * 2
    assert all(each.party in page for each in report.entities)
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(list(tables(report))) >= 4


def test_the_page_is_accessible(ran: tuple[PoolReport, Path], faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(ran[1] / "report.html") == []


def test_attackers_succeed_on_clean_features_and_fail_on_poisoned_ones(ran: tuple[PoolReport, Path]) -> None:
    published = ran[0].attacks[0]
    assert published.clean is not None
    assert published.clean.ssim > 0.2
    assert published.protected.either_polarity < published.clean.ssim / 2
    unseen = next(attack for attack in ran[0].attacks if attack.kind == "unseen")
    assert unseen.clean is not None
    assert unseen.protected.either_polarity < unseen.clean.ssim


def test_leaked_pairs_help_and_the_report_says_where_it_breaks(ran: tuple[PoolReport, Path]) -> None:
    report = ran[0]
    none, many = (attack for attack in report.attacks if attack.kind == "pairs")
    assert (none.pairs, many.pairs) == (0, 100)
    assert none.protected == report.attacks[0].protected
    assert many.protected.ssim > none.protected.ssim + 0.05
    own = [attack for attack in report.attacks if attack.kind == "modules"]
    assert [attack.name for attack in own] == ["1 module of its own", "2 modules of its own"]
    tried = [attack for attack in report.attacks if attack.kind != "obfuscator"]
    half = max(attack.clean.ssim for attack in tried if attack.clean) / 2
    breaking = [attack.pairs for attack in tried if attack.protected.either_polarity >= half]
    assert report.outcome.breaks_at == min(breaking, default=None)


def test_every_entity_has_its_row_of_table_5_and_the_control(ran: tuple[PoolReport, Path]) -> None:
    first, second, late = ran[0].entities
    assert (first.published, second.published, late.late) == (True, False, True)
    assert [each.used for each in (first, second, late)] == [84, 184, 220]
    assert all(0 < value <= 1 for each in ran[0].entities for value in (each.alone, each.control, each.pooled or 0.0))
    for each in ran[0].entities:
        assert each.as_is == first.clean
        assert each.best == max(each.alone, each.control, each.as_is)


def test_rows_say_what_leaks_what_it_is_worth_what_it_costs_and_that_nothing_is_proven(ran: Any) -> None:
    report, folder = ran
    inferred = {(row.observer, row.what) for row in report.leaks if row.criterion == "inference"}
    assert inferred == {
        ("who gets features without labels", "the class"),
        ("who draws from the pool", "whether an image is bright"),
        ("who draws from the pool", "whether an image is lit from the left"),
    }
    assert {row.budget for row in report.leaks if row.attack == "modules of its own"} == {1, 2}
    restored = next(row for row in report.leaks if row.attack.endswith("aligned with the pool"))
    assert (restored.method, restored.criterion, restored.victims) == ("pool", "reconstruction", 40)
    aligned = next(attack for attack in report.attacks if attack.kind == "aligned")
    assert restored.measures["ssim"].value == pytest.approx(aligned.protected.ssim, abs=1e-5)
    assert "who draws from the pool and has leaked pairs" in {row.observer for row in report.leaks}
    by_third = {row.method: row.accuracy.value for row in report.utility if "entity-3" in row.task}
    assert by_third["no pool: the published network as it is"] == pytest.approx(report.entities[2].as_is)
    assert by_third["pool"] == pytest.approx(report.entities[2].pooled)
    assert [each.role for each in report.costs] == ["cloud", "entity"]
    assert all(each.proven.startswith("nothing is proven") for each in report.promises)
    assert {each.method for each in report.promises} == {"pool", "clean features", "DeepObfuscator"}
    assert 'id="evaluation"' in (folder / "report.html").read_text()


def test_every_attribute_is_inferred_from_clean_features(ran: tuple[PoolReport, Path]) -> None:
    bright = [row for row in ran[0].leaks if row.what == "whether an image is bright"]
    assert len(bright) == 3
    assert all(row.ceiling is not None and row.ceiling.value > row.baseline.value for row in bright)


def pooled(
    world: PoolWorld,
    vault: Vault,
    open_grid: OpenGrid = LocalGrid,
    observe: Callable[[Envelope], None] = lambda envelope: None,
) -> tuple[PoolRecord, list[RecordDict]]:
    """Play a pool; return its record, and what each entity keeps."""
    with open_grid(world.apps) as grid, task_identity(1):
        exchange = Exchange(ObservedGrid(grid, observe))
        record = Pool(Keeper(world.rules, vault), exchange, late=world.late, publishers=world.publishers).run()
        return record, [grid.state(FIRST_NODE_ID + index) for index in range(len(world.members))]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_grid_comes_to_the_same_pool(tmp_path: Path, workers: int) -> None:
    digests = []
    tiny = quick(entities={**SMALL["entities"], "images": [40, 20, 12]}, attacks={"attacked": 20})
    store = Vault(str(tmp_path / "vault"))
    here: OpenGrid = LocalGrid
    there: OpenGrid = (
        partial(RayGrid, workers=2) if workers == 2 else partial(ProcessesGrid, vault=store, workers=workers)
    )
    for open_grid in (here, there):
        record, _ = pooled(build(tiny), store, open_grid)
        assert record.failures == []
        digests.append(digest(record))
    assert digests[0] == digests[1]


def evaluated(scenario: PoolScenario, tmp_path: Path) -> Evaluation:
    world, received = build(scenario), View(SERVER_NODE_ID, PoisonedFeatures, SignedNetwork)
    record, _ = pooled(world, Vault(str(tmp_path)), observe=received.observe)
    return Evaluation(scenario, world, record, PoolView.of(received, world.rules), LocalWorkshop())


def test_no_attack_reads_the_truth(tmp_path: Path) -> None:
    attacks = {"steps": 2, "attacked": 20, "unseen": ["rx4s4"], "pairs": [0, 10], "modules": 1}
    entities = {**SMALL["entities"], "images": [40, 20], "late": 0}
    told, shuffled = (evaluated(quick(entities=entities, attacks=attacks), tmp_path) for _ in range(2))
    target = shuffled.target
    images, labels, others = target.images.clone(), target.labels.clone(), target.attacked.roll(1)
    images[target.attacked], labels[target.attacked] = target.images[others], target.labels[others]
    shuffled.target = replace(target, images=images, labels=labels)
    found = []
    for evaluation in (told, shuffled):
        evaluation.add_attackers()
        found.append(evaluation.trainings.gather())
    first, second = found
    assert first.keys() == second.keys() >= {"published", "own modules", "aligned modules", "attributes", "classes"}
    for name, guesses in first.items():
        tensors, again = ((each.shows, *each.restored[1]) if isinstance(each, Undone) else each
                          for each in (guesses, second[name]))  # fmt: skip
        assert all(torch.equal(one, other) for one, other in zip(tensors, again, strict=True)), name


@pytest.mark.slow
def test_a_reconstructor_that_restores_nothing_is_published_by_who_pretrains(tmp_path: Path) -> None:
    attacks = {"steps": 2, "attacked": 20, "unseen": ["rx4s4"], "pairs": [], "modules": 1, "obfuscator": False}
    entities = {**SMALL["entities"], "images": [80, 20], "late": 0}
    scenario = small(entities=entities, attacks=attacks, adversaries={"blind-reconstructor": 0.5}, twin=False)
    report = run(scenario, tmp_path / "run")
    assert isinstance(report, PoolReport)
    assert [each.adversary for each in report.entities] == ["blind-reconstructor", None]
    assert any("modules that are trained against it hide nothing. Entities do not find out" in n for n in report.notes)
    unseen = next(attack for attack in report.attacks if attack.kind == "unseen")
    assert unseen.clean is not None
    assert unseen.protected.ssim > 0.4 * unseen.clean.ssim


@pytest.mark.slow
def test_deciders_that_start_from_the_published_one_begin_where_it_is(tmp_path: Path) -> None:
    """One step each of pooled and own features leaves them about as accurate as the published network."""
    nothing = {"attacked": 20, "unseen": [], "pairs": [], "modules": 0, "aligned": 0, "attribute": False,
               "obfuscator": False, "losses": False}  # fmt: skip
    steps = {"pretraining": 60, "reconstruction": 3, "poisoning": 3, "refinement": 1, "batch": 16}
    entities = {**SMALL["entities"], "images": [160, 20], "late": 0}
    found = {}
    for decider in ("new", "published"):
        training = {**steps, "decider": decider}
        report = run(small(entities=entities, training=training, attacks=nothing), tmp_path / decider)
        assert isinstance(report, PoolReport)
        found[decider] = report.entities[1]
    assert found["published"].as_is == found["new"].as_is > 0.4
    assert found["published"].control > found["new"].control + 0.1


def test_cheats_are_entities_that_do_not_pretrain() -> None:
    world = build(quick(adversaries={"mislabelled-features": {"share": 0.34, "portion": 1.0}}))
    cheats = [member for member in world.members if member.adversary]
    assert len(cheats) == 1
    assert cheats[0] is not world.members[0]
    assert isinstance(cheats[0].party, Mislabelling)
    assert cheats[0].party.portion == 1.0


def test_entities_can_be_unlike() -> None:
    world = build(quick(entities={**SMALL["entities"], "alpha": 0.05}))
    shares = [world.labels(index).bincount(minlength=4).max().item() / len(world.labels(index)) for index in range(3)]
    assert max(shares) > 0.8


def test_a_mistake_is_told_in_one_sentence(tmp_path: Path) -> None:
    for setting, said in (
        ("training.architecture=resnet51", "did you mean resnet50"),
        ("entities.side=50", "not a multiple of 16"),
        ("attacks.unseen=[px9s9]", "there is no design 'px9s9'"),
        ("adversaries={sybil: 0.5}", "an adversary of the role seller"),
        ("entities.images=[100, 20]", "leaked pairs need some of them"),
    ):
        with pytest.raises(BadScenario, match=said):
            load("pool", [setting])


def test_the_packaged_scenario_and_the_commented_one_are_the_default() -> None:
    assert load("pool").model_copy(update={"grid": "local", "description": ""}) == PoolScenario(description="")
    assert "penalty: either  # the loss of modules" in commented("pool")


def test_an_expectation_that_does_not_hold_is_told(tmp_path: Path) -> None:
    attacks = {"steps": 2, "attacked": 20, "unseen": [], "pairs": [], "modules": 0, "aligned": 0, "attribute": False,
               "obfuscator": False, "losses": False}  # fmt: skip
    entities = {**SMALL["entities"], "images": [40, 20], "late": 0}
    with pytest.raises(ExpectationFailed, match=r"expected outcome.features > 1000, but it is 60"):
        run(quick(entities=entities, attacks=attacks, expect={"outcome.features": "> 1000"}), tmp_path / "run")


@pytest.mark.slow
def test_what_must_hold_at_the_size_of_the_demo(tmp_path: Path) -> None:
    report = run(load("pool"), tmp_path / "run")
    assert isinstance(report, PoolReport)
    outcome = report.outcome
    assert outcome.poisoned > outcome.clean - 0.02
    assert outcome.ssim < 0.05
    assert outcome.ssim_of_negative < 0.12
    assert outcome.unseen_ratio is not None
    assert outcome.unseen_ratio < 0.5
    small = min(report.entities, key=lambda each: each.images)
    assert small.pooled is not None
    assert small.pooled > small.control + 0.05
    assert outcome.breaks_at == 0
    for kind in ("modules", "aligned"):
        own = [attack.protected.ssim for attack in report.attacks if attack.kind == kind]
        assert max(own) > outcome.ssim + 0.2


@pytest.mark.slow
def test_a_quarter_of_wrong_labels_hurts_and_the_defence_recovers_half(tmp_path: Path) -> None:
    """Ten breeds, a small entity, decider from new weights."""
    world = build(
        small(
            entities={"images": [600, 60], "held_back": 1000, "public": 200},
            training={"reconstruction": 60},
            attacks={"attacked": 20},
        )
    )
    received = View(SERVER_NODE_ID, PoisonedFeatures, SignedNetwork)
    _, states = pooled(world, Vault(str(tmp_path)), observe=received.observe)
    view = PoolView.of(received, world.rules)
    victim, featurizer = world.members[1].party, view.shared.network.featurizer
    victim.memory = Memory(states[1])
    own = LabelledFeatures(apply(world.images(1), featurizer), world.labels(1))
    honest = LabelledFeatures(view.features[FIRST_NODE_ID], view.labels[FIRST_NODE_ID])
    wrong = mislabelled(honest, 10, 0.25, torch.Generator().manual_seed(1))
    kept = guessed(view.shared.network.decider, *wrong)
    fresh = apply(world.held_back, featurizer)

    def refined(pooled: LabelledFeatures) -> float:
        decider = victim.refined(view.shared, [own, pooled], torch.device("cpu"))
        return accuracy(decider, fresh, world.held_back_labels)

    clean, hurt, defended = (
        refined(pooled) for pooled in (honest, wrong, LabelledFeatures(wrong.features[kept], wrong.labels[kept]))
    )
    assert hurt < clean - 0.04
    assert defended > (clean + hurt) / 2
