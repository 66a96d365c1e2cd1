import numpy as np
import pytest
import torch
from torch import nn

from strategies.learning.batches import Images, Joined, Mapped, apply, guessed


def test_images_are_read_by_number() -> None:
    pictures = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)
    chosen = Images(pictures)[torch.tensor([3, 0])]
    assert chosen.shape == (2, 3, 4, 6)
    np.testing.assert_allclose(chosen.permute(0, 2, 3, 1) * 255, pictures[[3, 0]], rtol=1e-5)


def test_features_in_memory_and_computed_at_each_look_are_the_same() -> None:
    inputs, layers = torch.rand(600, 4), [nn.Linear(4, 3).eval(), nn.ReLU()]
    together, mapped = apply(inputs, *layers), Mapped(inputs, *layers)
    assert len(mapped) == len(together) == 600
    chosen = torch.randperm(600)[:50]
    torch.testing.assert_close(mapped[chosen], together[chosen])


@pytest.mark.parametrize("sizes", [[3], [2, 0, 5], [1, 1, 1]])
def test_joined_sets_are_concatenated_ones(sizes: list[int]) -> None:
    parts = [torch.rand(size, 2) for size in sizes]
    joined, whole = Joined(parts), torch.cat(parts)
    for chosen in (torch.randperm(len(whole)), torch.tensor([0, len(whole) - 1, 0])):
        assert torch.equal(joined[chosen], whole[chosen])
    assert len(joined) == len(whole)


def test_first_guesses() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    labels = torch.tensor([0, 0, 0])
    assert [guessed(nn.Identity(), logits, labels, top).tolist() for top in (1, 2, 3)] == [
        [True, False, False],
        [True, False, True],
        [True, True, True],
    ]
