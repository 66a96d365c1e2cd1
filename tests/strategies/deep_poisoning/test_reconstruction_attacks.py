"""Attacks that succeed, and by how much; `test_training` has those that fail."""

import pytest
import torch
from small_world import World, small_world

from strategies.deep_poisoning.alignment import aligned_module
from strategies.deep_poisoning.attacks import (
    from_leaked_pairs,
    from_modules,
    inferred,
    reconstructed,
    reverse,
)
from strategies.deep_poisoning.contributions import LabelledFeatures, made_up, mislabelled
from strategies.deep_poisoning.obfuscator import train_obfuscator
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import train_poisoning, train_reconstructor
from strategies.learning.batches import apply, guessed
from strategies.learning.fit import Plan
from strategies.scores.image_quality import Disclosure, disclosure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shown(world: World, reconstructor: Reconstructor, features: torch.Tensor) -> Disclosure:
    return disclosure(reconstructed(reconstructor, features), world.fresh)


@pytest.mark.slow
def test_an_unseen_reconstructor_fails_as_well(world: World) -> None:
    unseen = train_reconstructor(
        world.public_features, world.public, generator(2), Plan(3, 32, 5e-3), design="rx2s2-clamp"
    )
    clean = shown(world, unseen, world.fresh_features)
    assert clean.ssim > 0.35
    assert shown(world, unseen, world.fresh_poisoned).either_polarity < clean.ssim / 2


def test_leaked_pairs_break_a_module(world: World) -> None:
    none, some = (
        from_leaked_pairs(world.reconstructor, world.poisoned[:n], world.images[:n], generator(), steps=60)
        for n in (0, 50)
    )
    assert none is world.reconstructor
    assert shown(world, some, world.fresh_poisoned).ssim > shown(world, none, world.fresh_poisoned).ssim + 0.15


@pytest.mark.slow
def test_modules_of_the_attackers_own_come_nearer_than_the_published_reconstructor(world: World) -> None:
    features, images = world.features[:240], world.images[:240]
    module = train_poisoning(
        features, images, world.labels[:240], world.network.decider, world.reconstructor, generator(7), Plan(3, 32)
    )
    attacker = from_modules([module], features, images, generator(8), Plan(3, 32), start=world.reconstructor)
    published = shown(world, world.reconstructor, world.fresh_poisoned)
    assert shown(world, attacker, world.fresh_poisoned).l1 < published.l1
    with pytest.raises(ValueError, match="there is no module to reverse"):
        from_modules([], features, images, generator(), Plan(1))


def test_a_module_that_is_aligned_with_the_pool_restores_more(world: World) -> None:
    """Public images, labelled by the published decider, and features whose images the attacker never sees."""
    named = apply(world.public_features, world.network.decider).argmax(1)

    def restored(pooled: torch.Tensor) -> Disclosure:
        module = aligned_module(
            world.public_features, world.public, named, pooled, world.network.decider, world.reconstructor,
            generator(7), Plan(4, 32),
        )  # fmt: skip
        attacker = from_modules(
            [module], world.public_features, world.public, generator(8), Plan(3, 32), start=world.reconstructor
        )
        return shown(world, attacker, pooled)

    clean = shown(world, world.reconstructor, world.fresh_features)
    assert restored(world.fresh_features).ssim > 0.7 * clean.ssim
    assert restored(world.fresh_poisoned).ssim > shown(world, world.reconstructor, world.fresh_poisoned).ssim + 0.1


def test_labels_are_inferred_from_poisoned_features(world: World) -> None:
    recogniser = new_network("compact", 4, generator()).decider
    labels = inferred(recogniser, world.features, world.labels, world.fresh_poisoned, generator(), Plan(3, 32))
    assert (labels == world.fresh_labels).double().mean() > 0.5
    cats = torch.stack([world.labels < 2], 1)
    recogniser = new_network("compact", 1, generator()).decider
    found = inferred(recogniser, world.poisoned, cats, world.fresh_poisoned, generator(), Plan(2, 32))
    assert (found[:, 0] == (world.fresh_labels < 2)).double().mean() > 0.7


@pytest.mark.slow
def test_an_obfuscator_defends_against_its_adversary_and_is_reversed(world: World) -> None:
    obfuscated = train_obfuscator(
        world.network, world.reconstructor, world.images, world.labels, generator(), Plan(3, 32, 1e-3)
    )
    obfuscator = obfuscated.network.featurizer
    features = obfuscator(world.fresh).detach()
    own = shown(world, obfuscated.reconstructor, features)
    reversed_ = shown(world, reverse(obfuscator, world.public, generator(), Plan(3, 32, 5e-3)), features)
    assert own.ssim < shown(world, world.reconstructor, world.fresh_features).ssim - 0.1
    assert reversed_.ssim > own.ssim + 0.05


def test_agreement_refuses_wrong_labels_and_free_riders(world: World) -> None:
    honest = LabelledFeatures(world.fresh_poisoned, world.fresh_labels)
    decider = world.network.decider
    crooked = mislabelled(honest, 4, 0.25, generator())
    wrong = crooked.labels != honest.labels
    kept = guessed(decider, *crooked)
    assert kept[~wrong].double().mean() > 0.75
    assert kept[wrong].double().mean() < 0.15
    rider = made_up(honest.features, 200, 4, generator())
    assert guessed(decider, *rider).double().mean() < 0.45
