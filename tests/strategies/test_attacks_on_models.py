"""Attacks on models succeed without differential privacy, and stay below what it promises with it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from simulations.data.faces import ATTRIBUTES, draw
from strategies.attacks.adversarial_examples import perturb
from strategies.attacks.gradient_inversion import (
    Steps,
    invert_update,
    label_in_gradient,
    labels_in_gradient,
)
from strategies.attacks.membership import (
    by_likelihood_ratio,
    by_loss,
    by_relative_likelihood,
    by_shadow_models,
    confidence,
    halves,
    membership,
)
from strategies.attacks.planted_weights import LEARNING_RATE, brightness, plant, read, thresholds
from strategies.attacks.property_inference import infer_property
from strategies.learning.batches import accuracy
from strategies.learning.group_normalised import GroupNormalisedClassifier, inputs_of, new_group_normalised
from strategies.learning.local import LocalTraining, train_locally
from strategies.learning.private import PrivateTraining, train_privately
from strategies.learning.weights import weights
from strategies.privacy.accounting import advantage_bound, noise_for
from strategies.privacy.stream import Stream
from strategies.scores.image_quality import ssim

MEMBERS, STEPS = 150, 150
PLAIN = PrivateTraining(0.0, 0.2, STEPS, learning_rate=0.05)


def faces(count: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = draw(seed * 10_000 + np.arange(count), 32, torch.Generator().manual_seed(seed))
    labels = drawn.attributes[:, ATTRIBUTES.index("Smiling")].astype(np.int64)
    return inputs_of(drawn.images), torch.from_numpy(labels)


def trained(inputs: Tensor, labels: Tensor, training: PrivateTraining, seed: int = 1) -> GroupNormalisedClassifier:
    network = new_group_normalised(2, torch.Generator().manual_seed(seed))
    train_privately(network, inputs, labels, training, Stream(seed.to_bytes(32)))
    return network


@pytest.fixture(scope="module")
def candidates() -> tuple[Tensor, Tensor]:
    return faces(2 * MEMBERS, 1)


@pytest.fixture(scope="module")
def members() -> np.ndarray:
    return np.arange(2 * MEMBERS) < MEMBERS


@pytest.fixture(scope="module")
def plain(candidates: tuple[Tensor, Tensor]) -> GroupNormalisedClassifier:
    return trained(candidates[0][:MEMBERS], candidates[1][:MEMBERS], PLAIN)


def test_without_differential_privacy_members_are_told(
    plain: GroupNormalisedClassifier, candidates: tuple[Tensor, Tensor], members: np.ndarray
) -> None:
    found = membership(by_loss(plain, *candidates), members, np.random.default_rng(1))
    assert found.advantage - found.margin > 0.1
    known = faces(2 * MEMBERS, 2)
    insides = halves(2, 2 * MEMBERS, np.random.default_rng(2))
    shadows = [(trained(known[0][inside], known[1][inside], PLAIN, 7), inside) for inside in insides]
    found = membership(by_shadow_models(plain, *candidates, shadows, known), members, np.random.default_rng(1))
    assert found.advantage - found.margin > 0.1


@pytest.mark.slow
def test_likelihood_ratios_tell_members_too(
    plain: GroupNormalisedClassifier, candidates: tuple[Tensor, Tensor], members: np.ndarray
) -> None:
    generator = np.random.default_rng(3)
    insides = halves(8, 2 * MEMBERS, generator)
    models = [trained(candidates[0][inside], candidates[1][inside], PLAIN, 9) for inside in insides]
    confidences, inside = np.array([confidence(model, *candidates) for model in models]), np.array(insides)
    seen, others = confidence(plain, *candidates), faces(2 * MEMBERS, 2)
    by_loss_alone = membership(by_loss(plain, *candidates), members, generator).auc
    assert membership(by_likelihood_ratio(seen, confidences, inside), members, generator).auc > by_loss_alone
    others_confidences = np.array([confidence(model, *others) for model in models])
    relative = by_relative_likelihood(seen, confidences, confidence(plain, *others), others_confidences)
    assert membership(relative, members, generator).auc > by_loss_alone
    with pytest.raises(ValueError, match="in some of the shadow models and not in others"):
        by_likelihood_ratio(seen, confidences[:1], inside[:1])


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_with_differential_privacy_no_attack_gets_beyond_the_bound(
    epsilon: float, candidates: tuple[Tensor, Tensor], members: np.ndarray
) -> None:
    training = PrivateTraining(noise_for(epsilon, 0.2, 40, 1e-4), 0.2, 40)
    network = trained(candidates[0][:MEMBERS], candidates[1][:MEMBERS], training)
    found = membership(by_loss(network, *candidates), members, np.random.default_rng(1))
    assert found.advantage <= advantage_bound(epsilon, 1e-4) + found.margin
    assert abs(found.advantage) < 0.2


def test_membership_of_noise_is_a_guess_as_often_as_its_margin_says() -> None:
    generator = np.random.default_rng(4)
    members = np.arange(200) < 100
    found = [membership(generator.normal(size=200), members, generator) for _ in range(200)]
    outside = np.mean([abs(each.advantage) > each.margin for each in found])
    assert outside < 0.05 + 4.5 * np.sqrt(0.05 * 0.95 / 200)


def test_too_few_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="4 of each are needed"):
        membership(np.zeros(6), np.arange(6) < 3, np.random.default_rng(1))


@pytest.mark.slow
def test_a_gradient_gives_its_picture_away_and_a_noisy_one_does_not() -> None:
    inputs, labels = faces(2, 5)
    network = new_group_normalised(2, torch.Generator().manual_seed(3)).eval()
    generator = torch.Generator().manual_seed(4)
    clean, noisy = [], []
    for place in range(2):
        loss = F.cross_entropy(network(inputs[place : place + 1]), labels[place : place + 1])
        gradient = list(torch.autograd.grad(loss, list(network.parameters())))
        assert label_in_gradient(gradient) == labels[place]
        label = labels[place : place + 1]
        clean.append(invert_update(network, gradient, label, (3, 32, 32), generator, steps=300)[0])
        size = torch.stack([part.square().sum() for part in gradient]).sum().sqrt()
        hidden = [part / size + torch.randn(part.shape, generator=generator) for part in gradient]
        noisy.append(invert_update(network, hidden, label, (3, 32, 32), generator, steps=100)[0])
    truth = (inputs + 1) / 2
    assert ssim((torch.stack(clean) + 1) / 2, truth).mean() > 0.12
    assert ssim((torch.stack(noisy) + 1) / 2, truth).mean() < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
def test_a_batch_and_several_steps_give_their_pictures_away(steps: int) -> None:
    inputs, labels = faces(2, 5)
    labels = torch.tensor([0, 1])
    network = new_group_normalised(2, torch.Generator().manual_seed(3)).eval()
    sent = weights(network)
    trained_on = new_group_normalised(2, torch.Generator())
    trained_on.load_state_dict(sent)
    train_locally(trained_on, inputs, labels, LocalTraining(steps, 2, 0.1), torch.Generator().manual_seed(1))
    answer = weights(trained_on)
    update = [(sent[name] - answer[name]) / 0.1 for name, _ in network.named_parameters()]
    usual = network(inputs).softmax(1).mean(0).detach()
    assert labels_in_gradient([part / steps for part in update], 2, usual).tolist() == [0, 1]
    generator = torch.Generator().manual_seed(4)
    found = invert_update(network, update, labels, (3, 32, 32), generator, taken=Steps(steps, 0.1), steps=200)
    alike = ssim((found + 1) / 2, (inputs + 1) / 2).mean()
    assert alike > 0.05
    guessed = invert_update(
        network, [torch.randn(part.shape, generator=generator) for part in update], labels, (3, 32, 32), generator,
        steps=50,
    )  # fmt: skip
    assert ssim((guessed + 1) / 2, (inputs + 1) / 2).mean() < alike


def test_planted_weights_read_single_pictures_in_a_step_on_all() -> None:
    inputs, labels = faces(40, 6)
    public, _ = faces(400, 7)
    like = weights(new_group_normalised(2, torch.Generator().manual_seed(1)))
    limits = thresholds(public, 32)
    answers = []
    for limit in limits.tolist():
        network = new_group_normalised(2, torch.Generator())
        network.load_state_dict(plant(like, limit))
        once = LocalTraining(1, len(labels), LEARNING_RATE)
        answers.append(weights(train_locally(network, inputs, labels, once, torch.Generator().manual_seed(1))))
    found = read(like, limits, answers, len(labels), 32)
    bins = torch.bucketize(brightness(inputs), limits) - 1
    alone = [place for place in range(32) if (bins == place).sum() == 1]
    assert set(found.bins.tolist()) == set(alone)
    originals = torch.stack([inputs[(bins == place).nonzero()[0, 0]] for place in found.bins.tolist()])
    assert len(alone) > 5
    assert ssim((found.pictures + 1) / 2, (originals + 1) / 2).mean() > 0.5


def test_little_changes_turn_answers_over(plain: GroupNormalisedClassifier) -> None:
    inputs, labels = faces(100, 6)
    before = accuracy(plain, inputs, labels)
    for steps in (1, 10):
        moved = perturb(plain, inputs, labels, 4 / 255, steps)
        assert (moved - inputs).abs().max() <= 4 / 255 + 1e-6
        assert moved.abs().max() <= 1
        assert accuracy(plain, moved, labels) < before - 0.2
    assert torch.equal(perturb(plain, inputs, labels, 0.0), inputs)
    with pytest.raises(ValueError, match="at least 1 step"):
        perturb(plain, inputs, labels, 0.1, 0)


def test_a_property_is_read_from_updates_that_depend_on_it() -> None:
    generator = np.random.default_rng(5)
    direction = generator.normal(size=300)
    has, truth = np.arange(60) % 2 == 0, np.arange(40) % 2 == 0

    def updates(whose: np.ndarray, strength: float) -> np.ndarray:
        rows = generator.normal(size=(len(whose), 300)) + strength * np.outer(np.where(whose, 1, -1), direction)
        return rows.astype(np.float32)

    told = infer_property(updates(truth, 0.3), updates(has, 0.3), has) > 0
    assert (told == truth).mean() > 0.9
    guessed = infer_property(updates(truth, 0.0), updates(has, 0.0), has) > 0
    assert 0.2 < (guessed == truth).mean() < 0.8
    with pytest.raises(ValueError, match="60 of 60 trials have the property"):
        infer_property(updates(truth, 1), updates(has, 1), np.ones(60, dtype=bool))
