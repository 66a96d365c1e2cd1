"""Every attack on a service's view succeeds where little is hidden, and is scored against the truth."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from protocol.compute.workshop import LocalWorkshop
from simulations.workflows.outsource.attacks import ATTACKS, DoesNotApply, ServiceView, decoding
from simulations.workflows.outsource.compared import sample, study
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scores import AttackScore, interval, most_frequent
from simulations.workflows.outsource.scoring import (
    Recognisers,
    Scoring,
)
from simulations.workflows.outsource.truth import public_knowledge, truth_of, with_leaks
from simulations.workflows.outsource.world import build
from strategies.obfuscation import Obfuscation
from strategies.obfuscation.instance_decoding import Effort
from strategies.obfuscation.unmixing import detail
from strategies.scores.privacy_scores import dssim

EPOCHS = 4


def attacked(attackers: dict[str, Any] | None = None, **obfuscation: Any) -> dict[str, AttackScore]:
    """Let all attackers work on what an owner of 80 images would send in four epochs."""
    scenario = OutsourceScenario.model_validate(
        {
            "images": {"training": 80, "tests": 20, "side": 48, "classes": 4},
            "service": {"epochs": EPOCHS},
            "obfuscation": obfuscation,
            "attackers": {"public": 0, "pairs": 0, "scored": 30, **(attackers or {})},
        }
    )
    world = build(scenario)
    sent = [world.owners[0].mixtures.obfuscated(epoch, 0) for epoch in range(EPOCHS)]
    view = ServiceView([batch.pictures for batch in sent], [batch.labels for batch in sent])
    truth = truth_of(world.owners[0], world.held[0], EPOCHS - 1)
    public = public_knowledge(scenario, world)
    with LocalWorkshop() as workshop:
        leaking, recognisers = with_leaks(public, truth, scenario.attackers.pairs), Recognisers(workshop, public)
        scoring = Scoring(view, leaking, truth, 30, recognisers, world.others)
        return scoring.run(workshop).scores


def falls(score: AttackScore) -> float:
    """Return how much more a restored picture is like its image than the published one."""
    assert score.fails is None, score.fails
    assert score.dissimilarity is not None
    assert score.dissimilarity_before is not None
    return score.dissimilarity_before - score.dissimilarity


def test_unmixing_recovers_images_that_are_only_mixed() -> None:
    scores = attacked(technique="mix", weights=[0.5, 0.5])
    assert falls(scores["unmixing"]) > 0.2
    assert scores["unmixing"].alike == 1.0


@pytest.mark.parametrize(
    ("attack", "setting", "least"),
    [
        ("interpolation", {"technique": "graft-mix", "weights": [0.5, 0.5], "strength": 0.8}, 0.02),
        ("denoising", {"technique": "noise-mix", "weights": [0.9, 0.1], "strength": 40}, 0.15),
        ("deconvolution", {"technique": "blur-mix", "weights": [0.9, 0.1], "strength": 9}, 0.1),
    ],
)
def test_a_restoring_attack_undoes_its_obfuscation(attack: str, setting: dict[str, Any], least: float) -> None:
    scores = attacked(**setting)
    assert falls(scores[attack]) > least
    others = {"interpolation", "denoising", "deconvolution"} - {attack}
    assert all(scores[other].fails for other in others)


@pytest.mark.slow
def test_leaked_pairs_teach_a_network_to_reconstruct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.workflows.outsource.attacks.UNET_STEPS", 40)
    scores = attacked({"pairs": 20}, technique="noise-mix", weights=[0.9, 0.1], strength=40)
    assert falls(scores["reconstruction"]) > 0.1


def test_networks_name_what_weak_mixtures_show() -> None:
    scores = attacked({"public": 160}, technique="mix", weights=[0.9, 0.1])
    assert scores["cnn"].after is not None
    assert scores["cnn"].after > scores["cnn"].chance + 0.3
    assert scores["attribute"].after > scores["attribute"].chance + 0.15
    assert scores["cnn"].low < scores["cnn"].after < scores["cnn"].high


def test_pairing_within_a_class_publishes_the_hidden_label() -> None:
    scores = attacked({"public": 60}, technique="mix", pairing="intra-class")
    assert scores["label"].after == 1.0


def test_what_an_attack_cannot_work_on_is_said() -> None:
    scores = attacked(technique="pixelize", strength=8)
    assert "nothing is mixed" in (scores["unmixing"].fails or "")
    assert "signs are flipped" in (attacked(technique="instahide")["membership"].fails or "")
    assert set(scores) == set(ATTACKS)


@pytest.mark.parametrize(
    ("setting", "least"),
    [
        ({"technique": "mix", "weights": "distorting"}, 0.2),
        ({"technique": "noise-mix", "weights": "distorting"}, 0.15),
        ({"technique": "mix", "weights": [0.75, 0.25], "each": "in-each-role"}, 0.05),
        ({"technique": "noise-mix", "weights": [0.75, 0.25], "each": "in-each-role"}, 0.15),
        ({"technique": "mix-3"}, 0.05),
        ({"technique": "shuffle-mix", "weights": [0.5, 0.5], "strength": 2}, 0.25),
        ({"technique": "shuffle-noise-mix", "weights": [0.75, 0.25], "strength": [4, 20]}, 0.2),
    ],
)
def test_unmixing_takes_any_weights_any_number_and_any_use(setting: dict[str, Any], least: float) -> None:
    assert falls(attacked(**setting)["unmixing"]) > least


def test_decoding_applies_to_encodings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.workflows.outsource.attacks.DECODING", Effort(10, 20))
    scenario = OutsourceScenario.model_validate(
        {"images": {"training": 40, "tests": 20, "side": 32, "classes": 4}, "attackers": {"public": 60, "pairs": 0}}
    )
    world = build(scenario)
    public, images = public_knowledge(scenario, world), torch.from_numpy(world.held[0].pictures).permute(0, 3, 1, 2)
    setting = Obfuscation("instahide")
    view = sample(setting, world.held[0], public, 4).view
    found = decoding(view, replace(public, setting=setting))
    nearest = (detail(images, 3) @ detail(found.pictures, 3).T).argmax(1)
    assert dssim(images, found.pictures[nearest]).mean() < dssim(images[: len(view.epochs[0])], view.epochs[0]).mean()
    with pytest.raises(DoesNotApply, match="learns from public images, and there are 0"):
        decoding(view, replace(public, setting=setting, images=public.images[:0]))
    with pytest.raises(DoesNotApply, match="no signs are flipped"):
        decoding(view, public)


def test_whose_images_were_mixed_shows() -> None:
    assert attacked(technique="mix", weights=[0.5, 0.5])["membership"].after > 0.9
    assert attacked(technique="shuffle-mix", strength=4)["membership"].after > 0.85
    assert attacked(technique="pixelize", strength=1)["membership"].after < 0.75


def test_no_attack_reads_the_truth() -> None:
    """All that attackers guess follows from the view and what they know: other originals, the same guesses."""
    setting = Obfuscation("noise-mix", (0.75, 0.25), 20)
    scenario = OutsourceScenario.model_validate(
        {"images": {"training": 40, "tests": 20, "side": 32, "classes": 4}, "attackers": {"public": 60, "pairs": 0}}
    )
    world = build(scenario)
    public, held = public_knowledge(scenario, world), world.held[0]
    one = sample(setting, held, public, 3)
    candidates = torch.from_numpy(held.pictures[:20]).permute(0, 3, 1, 2).contiguous()
    before = study(torch.device("cpu"), one.view, public, candidates)
    generator = np.random.default_rng(1)
    for values in (held.classes, held.tasks, held.pictures):
        generator.shuffle(values)
    one.dominant[:] = one.dominant.flip(0)
    after = study(torch.device("cpu"), one.view, public, candidates)
    assert set(before.restored) == {"denoising", "unmixing"}
    assert all(torch.equal(before.restored[name], after.restored[name]) for name in before.restored)
    assert np.array_equal(before.named, after.named)
    assert np.array_equal(before.scores, after.scores)


def test_the_truth_behind_a_mixture_is_what_the_owner_mixed() -> None:
    images = {"training": 12, "tests": 4, "side": 16, "classes": 4}
    obfuscation = {"technique": "mix", "weights": [0.3, 0.7]}
    scenario = OutsourceScenario.model_validate({"images": images, "obfuscation": obfuscation})
    world = build(scenario)
    owner, held = world.owners[0], world.held[0]
    truth, batch = truth_of(owner, held, 0), owner.mixtures.obfuscated(0, 0)
    mixed = 0.7 * truth.images[truth.groups[:, 0]].float() + 0.3 * truth.images[truth.groups[:, 1]].float()
    assert (batch.pictures.float() - mixed).abs().max() <= 0.51
    assert np.array_equal(world.task_of[truth.shows(0)], batch.labels.numpy())


def test_shares_have_intervals() -> None:
    assert interval(0, 50)[0] == 0.0
    low, high = interval(200, 400)
    assert (low, high) == (pytest.approx(0.451, abs=1e-3), pytest.approx(0.549, abs=1e-3))
    assert most_frequent(torch.tensor([0, 1, 1, 2]).numpy()) == 0.5
