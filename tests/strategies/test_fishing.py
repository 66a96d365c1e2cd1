"""Bait in the last layer catches single pictures in a step on many, and nothing where noise is added."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simulations.data.faces import ATTRIBUTES, draw
from strategies.attacks.fishing import Bait, bait, caught, feature, land, learning_rate
from strategies.learning.group_normalised import GroupNormalisedClassifier, inputs_of, new_group_normalised
from strategies.learning.local import LocalTraining, train_locally
from strategies.learning.weights import Weights, weights
from strategies.scores.image_quality import ssim

COUNT, BINS = 24, 32


def faces(count: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = draw(seed * 10_000 + np.arange(count), 32, torch.Generator().manual_seed(seed))
    labels = drawn.attributes[:, ATTRIBUTES.index("Smiling")].astype(np.int64)
    return inputs_of(drawn.images), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def network() -> GroupNormalisedClassifier:
    return new_group_normalised(2, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def victims() -> tuple[Tensor, Tensor]:
    return faces(COUNT, 6)


@pytest.fixture(scope="module")
def chosen(network: GroupNormalisedClassifier) -> Bait:
    return bait(network, faces(300, 7)[0], BINS)


def asked(
    network: nn.Module, chosen: Bait, victims: tuple[Tensor, Tensor], change: Callable[[Weights], Weights]
) -> list[Weights]:
    like, answers = weights(network), []
    for limit in chosen.limits.tolist():
        sent = new_group_normalised(2, torch.Generator())
        sent.load_state_dict(chosen.weights(like, limit))
        once = LocalTraining(1, COUNT, learning_rate(COUNT))
        answers.append(change(weights(train_locally(sent, *victims, once, torch.Generator().manual_seed(1)))))
    return answers


def test_single_pictures_are_caught_with_all_their_features(
    network: GroupNormalisedClassifier, chosen: Bait, victims: tuple[Tensor, Tensor]
) -> None:
    answers = asked(network, chosen, victims, lambda answer: answer)
    found = caught(weights(network), chosen, answers, COUNT)
    bins = torch.bucketize(feature(network, victims[0], chosen.direction), chosen.limits) - 1
    alone = [place for place in range(BINS) if (bins == place).sum() == 1]
    assert [catch.bin for catch in found] == alone
    assert len(alone) > 3
    whose = [int((bins == place).nonzero()[0]) for place in alone]
    with torch.no_grad():
        features = network.convolutions(victims[0][whose])
    torch.testing.assert_close(torch.stack([catch.features for catch in found]), features, atol=0.02, rtol=0)
    landed = torch.stack(
        [land(network, chosen, catch, (3, 32, 32), torch.Generator().manual_seed(1), 250) for catch in found[:2]]
    )
    likeness = [ssim((landed + 1) / 2, (victims[0][order] + 1) / 2).mean() for order in (whose[:2], whose[2:4])]
    assert likeness[0] > likeness[1] + 0.05


def test_noise_hides_who_is_alone(
    network: GroupNormalisedClassifier, chosen: Bait, victims: tuple[Tensor, Tensor]
) -> None:
    generator = torch.Generator().manual_seed(1)

    def noisy(answer: Weights) -> Weights:
        return {name: value + 5.0 * torch.randn(value.shape, generator=generator) for name, value in answer.items()}

    bins = torch.bucketize(feature(network, victims[0], chosen.direction), chosen.limits) - 1
    alone = {place for place in range(BINS) if (bins == place).sum() == 1}
    found = {catch.bin for catch in caught(weights(network), chosen, asked(network, chosen, victims, noisy), COUNT)}
    assert len(found & alone) < len(alone) / 2
