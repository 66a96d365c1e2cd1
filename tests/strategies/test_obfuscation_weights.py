"""The weights of a mixture, and the label that follows from them."""

from typing import Literal

import numpy as np
import pytest
import torch
from obfuscation_contract import noise, one
from scipy import stats
from torch import Tensor

from simulations.data import pets
from strategies.obfuscation import Obfuscation
from strategies.obfuscation.weights import distorting_weights, dominant
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import dssim


def test_ties_are_broken_at_random() -> None:
    batch = one(Obfuscation("mix", weights=(0.33, 0.33, 0.33)), noise(3000, 3, 3, 1, 1))
    assert stats.chisquare(np.bincount(batch.labels.numpy(), minlength=3)).pvalue > 1e-4
    assert dominant(torch.tensor([[0.5, 0.5, 0.0]] * 100), Stream(bytes(32))).unique().tolist() == [0, 1]


def photographs() -> Tensor:
    """Groups of three portraits of unlike contrast."""
    drawn = pets.draw(np.arange(24) % 20, 64, torch.Generator().manual_seed(1))
    contrast = np.random.default_rng(1).uniform(0.3, 1, (24, 1, 1, 1))
    return (
        torch.from_numpy(np.rint(127 + contrast * (drawn - 127.0)).astype(np.uint8))
        .permute(0, 3, 1, 2)
        .unflatten(0, (8, 3))
    )


def least_distorted(sources: Tensor, weights: tuple[float, ...] | Literal["distorting"]) -> Tensor:
    """Return the dSSIM of the image that each mixture distorts least."""
    published = one(Obfuscation("mix", weights=weights), sources).pictures
    return torch.stack([dssim(image, published) for image in sources.unbind(1)], dim=1).min(dim=1).values


def test_distorting_weights_distort_the_better_kept_image_almost_as_much_as_can_be() -> None:
    pairs = photographs()[:, :2]
    by_search = torch.stack([least_distorted(pairs, (share, 1 - share)) for share in np.linspace(0.02, 0.98, 25)])
    chosen = least_distorted(pairs, "distorting").mean()
    assert chosen > 0.95 * by_search.max(dim=0).values.mean()
    assert chosen > 1.05 * least_distorted(pairs, (0.5, 0.5)).mean()


def test_distorting_weights_are_a_symmetric_function_of_the_images() -> None:
    sources = photographs()
    chosen = distorting_weights(sources)
    torch.testing.assert_close(chosen.sum(1), torch.ones(8))
    torch.testing.assert_close(chosen, distorting_weights(sources.flip(1)).flip(1))
    torch.testing.assert_close(chosen[:3], distorting_weights(sources[:3]))
    batch = one(Obfuscation("mix", weights="distorting"), sources[:, :2])
    assert torch.equal(batch.weights, distorting_weights(sources[:, :2]))
    assert torch.equal(batch.labels, batch.weights.argmax(dim=1))
    with pytest.raises(ValueError, match="at least 8 pixels a side"):
        distorting_weights(sources[:, :, :, :7])
