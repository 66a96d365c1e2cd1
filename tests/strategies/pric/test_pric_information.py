import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from bars import seeded
from torch import Tensor

from strategies.pric.information import BOUNDS, Bound, new_bound


def pictures(count: int = 32, seed: int = 1) -> Tensor:
    """Flat pictures, each of one random gray."""
    gray = torch.rand(count, 1, 1, 1, generator=seeded(seed))
    return gray.expand(-1, 3, 16, 16).contiguous()


Draw = Callable[[int], tuple[Tensor, Tensor, Tensor]]
"""Pictures, what is told of them, and private attributes, from a seed."""


def telling(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    shown = pictures(seed=seed)
    return shown, F.avg_pool2d(shown, 4), torch.zeros(32, 1)


def silent(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    return pictures(seed=seed), torch.rand(32, 3, 4, 4, generator=seeded(seed + 1000)), torch.zeros(32, 1)


def black_or_white(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Only the private attribute tells which."""
    private = (torch.rand(32, 1, generator=seeded(seed)) < 0.5).float()
    return private[:, :, None, None].expand(-1, 3, 16, 16).contiguous(), torch.zeros(32, 3, 4, 4), private


def tightened(name: str, draw: Draw, conditional: bool = True) -> float:
    """The bound on fresh pictures, after it was trained."""
    bound = new_bound(name, 3, 1, seeded(), conditional=conditional)
    optimiser = torch.optim.Adam(bound.parameters(), 3e-3)
    for step in range(80):
        optimiser.zero_grad()
        (-bound(*draw(step))).backward()
        optimiser.step()
    return sum(bound(*draw(seed)).item() for seed in range(100, 104)) / 4


@pytest.mark.parametrize("name", BOUNDS)
class TestBound:
    def test_what_tells_the_picture_has_the_higher_bound(self, name: str) -> None:
        assert tightened(name, telling) > tightened(name, silent) + 0.1

    def test_private_attributes_count_only_where_they_are_seen(self, name: str) -> None:
        assert tightened(name, black_or_white) > tightened(name, black_or_white, conditional=False) + 0.1

    def test_gradients_reach_the_representation(self, name: str) -> None:
        bound = new_bound(name, 3, 2, seeded())
        told = torch.rand(8, 3, 4, 4, requires_grad=True)
        bound(pictures(8), told, torch.ones(8, 2)).backward()
        assert told.grad is not None
        assert told.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["global", "local"])
def test_equation_4_is_reckoned_as_it_is_printed(name: str) -> None:
    bound = new_bound(name, 3, 1, seeded())
    shown, told, private = (
        pictures(5),
        torch.rand(5, 3, 4, 4, generator=seeded(3)),
        torch.tensor([[0], [1]] * 2 + [[0]]),
    )

    def discriminator(x: Tensor) -> Tensor:
        signs = (2 * private.float() - 1)[:, :, None, None].expand(-1, -1, 4, 4)
        return bound.compare(torch.cat([bound.patches(x), told, signs], 1))  # type: ignore[operator]

    def sp(value: Tensor) -> Tensor:
        return torch.log(1 + torch.exp(value))

    others = torch.stack([shown[number - 1] for number in range(5)])
    by_hand = (-sp(-discriminator(shown))).mean() - sp(discriminator(others)).mean()
    assert bound(shown, told, private).item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert -10 * math.log(2) < by_hand < 0


def test_a_discriminator_that_knows_nothing_is_at_the_lowest_useful_value() -> None:
    bound: Bound = new_bound("global", 3, 1, seeded())
    with torch.no_grad():
        for weights in bound.parameters():
            weights.zero_()
    assert bound(pictures(4), torch.zeros(4, 3, 4, 4), torch.zeros(4, 1)).item() == pytest.approx(-2 * math.log(2))


def test_an_unknown_bound_is_named() -> None:
    with pytest.raises(ValueError, match="no bound 'mine'; these are: global, local, decoder"):
        new_bound("mine", 3, 1, seeded())
