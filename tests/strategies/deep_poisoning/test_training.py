"""Training on little data, and what it shows: a module hides images from who reconstructs, and not from who decides."""

import copy
from collections.abc import Mapping

import pytest
import torch
from small_world import World, small_world
from torch import Tensor, nn

from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import train_decider, train_poisoning, train_reconstructor
from strategies.learning.batches import Joined, apply, guessed
from strategies.learning.fit import Plan, Watch, classification_loss
from strategies.scores.image_quality import disclosure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_clean_features_give_the_image_away_and_poisoned_ones_do_not(world: World) -> None:
    clean = disclosure(apply(world.fresh_features, world.reconstructor), world.fresh)
    poisoned = disclosure(apply(world.fresh_poisoned, world.reconstructor), world.fresh)
    assert clean.ssim > 0.45
    assert poisoned.either_polarity < 0.2
    assert poisoned.l1 > 2 * clean.l1


def test_accuracy_survives_poisoning(world: World) -> None:
    clean, poisoned = (
        guessed(world.network.decider, features, world.fresh_labels).double().mean().item()
        for features in (world.fresh_features, world.fresh_poisoned)
    )
    assert clean > 0.8
    assert poisoned > clean - 0.06


def test_all_but_the_module_stays_as_it_is(world: World) -> None:
    network, reconstructor = world.before
    assert same(network, world.network)
    assert same(reconstructor, world.reconstructor)
    assert all(weights.requires_grad for weights in world.network.parameters())
    assert not world.module.training


def test_the_loss_falls_and_progress_is_told(world: World) -> None:
    assert len(world.losses) == 8
    assert world.losses[-1] < 0.7 * world.losses[0]


def test_the_papers_signed_loss_goes_below_zero(world: World) -> None:
    module = train_poisoning(
        world.features, world.images, world.labels, world.network.decider, world.reconstructor, generator(),
        Plan(6, 32), penalty="signed",
    )  # fmt: skip
    found = disclosure(apply(apply(world.fresh_features, module), world.reconstructor), world.fresh)
    assert found.ssim < -0.05
    assert found.either_polarity == found.ssim_of_negative > 0.1


def test_a_penalty_on_either_polarity_hides_the_negative_as_well(world: World) -> None:
    module = train_poisoning(
        world.features, world.images, world.labels, world.network.decider, world.reconstructor, generator(),
        Plan(8, 32), penalty="either",
    )  # fmt: skip
    poisoned = apply(world.fresh_features, module)
    absolute, either = (
        disclosure(apply(features, world.reconstructor), world.fresh) for features in (world.fresh_poisoned, poisoned)
    )
    assert either.either_polarity < 0.75 * absolute.either_polarity
    assert guessed(world.network.decider, poisoned, world.fresh_labels).double().mean() > 0.85


def test_a_decider_refined_on_poisoned_features_of_others_decides_on_clean_ones(world: World) -> None:
    """An entity with few images of its own, and a pool with many."""
    first = new_network("compact", 4, generator(9)).decider
    untouched = copy.deepcopy(first)
    own = 20
    pooled = Joined([world.features[:own], world.poisoned[own:]])
    deciders = (
        train_decider(first, world.features[:own], world.labels[:own], generator(), Plan(30, 32)),
        train_decider(first, pooled, world.labels, generator(), Plan(6, 32)),
    )
    alone, refined = (
        guessed(decider, world.fresh_features, world.fresh_labels).double().mean() for decider in deciders
    )
    assert refined > alone + 0.05
    assert same(first, untouched)


def small_poisoning(world: World, seed: int, epochs: int = 2, watch: Watch | None = None) -> DeepPoisoningModule:
    part = slice(64)
    return train_poisoning(
        world.features[part], world.images[part], world.labels[part], world.network.decider, world.reconstructor,
        generator(seed), Plan(epochs, 32), watch=watch or Watch(),
    )  # fmt: skip


def test_the_generator_alone_decides_the_weights(world: World) -> None:
    torch.manual_seed(1)
    untouched = torch.get_rng_state()
    first, again, other = (small_poisoning(world, seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), untouched)
    assert same(first, again)
    assert not same(first, other)


def test_training_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(world: World) -> None:
    checkpoints: list[Mapping[str, Tensor]] = []
    whole = small_poisoning(world, 5, watch=Watch(checkpoint=checkpoints.append))
    resumed = small_poisoning(world, 77, watch=Watch(resume=checkpoints[0]))
    assert same(whole, resumed)
    with pytest.raises(ValueError, match="of another architecture"):
        train_decider(
            world.network.decider,
            world.features,
            world.labels,
            generator(),
            Plan(2),
            watch=Watch(resume=checkpoints[0]),
        )


def test_attributes_are_learnt_as_well_as_classes(world: World) -> None:
    attributes = torch.stack([world.labels < 2, world.labels % 2 == 0], 1)
    decider = train_decider(
        new_network("compact", 2, generator()).decider, world.features, attributes, generator(), Plan(3, 32)
    )
    loss = classification_loss(apply(world.features, decider), attributes)
    assert loss < 0.4


def test_sets_that_do_not_match_are_refused(world: World) -> None:
    with pytest.raises(ValueError, match="480 inputs but 3 labels"):
        train_decider(world.network.decider, world.features, world.labels[:3], generator(), Plan(1))
    with pytest.raises(ValueError, match="480 features but 200 images"):
        train_reconstructor(world.features, world.fresh, generator(), Plan(1))
    with pytest.raises(ValueError, match="two examples or more, not 1"):
        train_decider(world.network.decider, world.features[:1], world.labels[:1], generator(), Plan(1))
