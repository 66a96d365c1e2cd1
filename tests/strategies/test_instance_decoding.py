"""InstaHide is broken: encodings that share an image are found, and images come out without their signs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simulations.data import pets
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.obfuscation.instance_decoding import Effort, decode, seen, solve
from strategies.obfuscation.instance_similarity import clusters
from strategies.obfuscation.unmixing import detail, unmix
from strategies.pixels import centred
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import dssim

IMAGES, EPOCHS, SIDE = 24, 8, 24


def portraits(count: int, seed: int) -> Tensor:
    drawn = pets.draw(np.arange(count) % 20, SIDE, torch.Generator().manual_seed(seed))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()


def test_images_come_out_of_encodings() -> None:
    images, public = portraits(IMAGES, 3), portraits(400, 5)
    setting, labels = Obfuscation("instahide", (0.6, 0.4)), torch.zeros(IMAGES, dtype=torch.int64)
    epochs = []
    for number in range(EPOCHS):
        stream = Stream(number.to_bytes(32))
        groups = group(labels, 2, stream)
        epochs.append(obfuscate(setting, images[groups], labels[groups], 1, stream).pictures)
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> Tensor:
        return torch.tensor([0.6, 0.4])[torch.rand(count, 2, generator=generator).argsort(dim=1)]

    def unlike(pictures: Tensor) -> float:
        return float(dssim(images, pictures[(detail(images, 3) @ detail(pictures, 3).T).argmax(1)]).mean())

    found = decode(epochs, public, IMAGES, draw, generator, Effort(60, 60))
    assert unlike(found.pictures) < unlike(unmix(epochs, 2, IMAGES, signed=False).pictures) - 0.05
    assert unlike(found.pictures) < 0.65 < float(dssim(images[groups[:, 0]], epochs[-1]).mean())


@given(st.integers(5, 9), st.integers(0, 10**6))
def test_clusters_are_the_images_where_similarity_is_right(epochs: int, seed: int) -> None:
    images = 2
    sources, generator = 8 * images, np.random.default_rng(seed)
    groups = np.concatenate([generator.permutation(sources).reshape(-1, images) for _ in range(epochs)])
    holds = torch.zeros(len(groups), sources).scatter_(1, torch.from_numpy(groups), 1.0)
    noise = torch.from_numpy(generator.normal(0, 0.02, (len(groups), len(groups)))).float()
    found = clusters((holds @ holds.T > 0).float() + noise + noise.T, epochs, images, sources)
    shared = holds[found.flatten()].reshape(*found.shape, sources).sum(dim=1).max(dim=1).values
    assert (shared == epochs).double().mean() > 0.7
    assert found.shape[1] == epochs
    assert (found // (sources // images) == torch.arange(epochs)).all()


@given(st.permutations(range(5)))
def test_what_is_seen_of_a_cluster_does_not_depend_on_its_order(order: list[int]) -> None:
    encodings = torch.rand(1, 5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(seen(encodings), seen(encodings[:, order]))


def test_a_good_guess_is_made_better() -> None:
    generator = torch.Generator().manual_seed(1)
    images = centred(portraits(12, 3)).flatten(1)
    groups = torch.stack([torch.randperm(12, generator=generator)[:2] for _ in range(60)])
    values = (0.6 * images[groups[:, 0]] + 0.4 * images[groups[:, 1]]).abs()
    guessed = images + 0.2 * torch.randn(images.shape, generator=generator)
    solved = solve(values, groups, guessed)
    assert (solved - images).abs().mean() < 0.5 * (guessed - images).abs().mean()
    nobody = torch.full((1, 2), -1)
    assert torch.isfinite(solve(values[:1], nobody, guessed)).all()


def test_one_epoch_and_few_public_images_are_refused() -> None:
    epochs = [torch.zeros(4, 3, 8, 8, dtype=torch.uint8)] * 2

    def draw(count: int) -> Tensor:
        return torch.full((count, 2), 0.5)

    with pytest.raises(ValueError, match="two epochs or more of one size"):
        decode(epochs[:1], epochs[0], 8, draw, torch.Generator())
    with pytest.raises(ValueError, match="takes 4 public images or more, not 3"):
        decode(epochs, epochs[0][:3], 8, draw, torch.Generator())
