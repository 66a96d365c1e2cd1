"""Who knows some images of a batch learns nothing of what was drawn for the others."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from obfuscation_contract import one
from torch import Tensor

from strategies.obfuscation import Obfuscation

BITS = 45_000
"""More than twice the state of a Mersenne Twister, which this many of its bits reveal."""


def linear_complexity(bits: list[int]) -> int:
    """Return the length of the shortest linear recurrence that continues bits (Berlekamp 1968, Massey 1969)."""
    connection, before, length, since, window = 1, 1, 0, 1, 0
    for place, bit in enumerate(bits):
        window = window << 1 | bit
        if (connection & window).bit_count() & 1:
            longer = 2 * length <= place
            connection, before = connection ^ before << since, connection if longer else before
            length, since = (place + 1 - length, 1) if longer else (length, since + 1)
        else:
            since += 1
    return length


def flips(sources: Tensor) -> Tensor:
    """Which signs InstaHide flips, for one who knows the sources: they are black."""
    return one(Obfuscation("instahide"), sources).pictures > 127


def grafts(sources: Tensor) -> Tensor:
    """Which pixels are kept, where the first image is white and the other black."""
    sources[:, 0] = 255
    return one(Obfuscation("graft-mix", weights=(0.0, 1.0)), sources).pictures[:, 0] > 127


@pytest.mark.parametrize(("technique", "images"), [(flips, 4), (grafts, 2)])
def test_no_linear_recurrence_continues_what_is_drawn(technique: Callable[[Tensor], Tensor], images: int) -> None:
    drawn = technique(torch.zeros(12, images, 3, 64, 64, dtype=torch.uint8)).flatten()[:BITS].int().tolist()
    assert len(drawn) == BITS
    assert abs(linear_complexity(drawn) - BITS / 2) < 50


def test_a_mersenne_twister_is_continued_by_its_recurrence() -> None:
    drawn = torch.randint(0, 2, (BITS,), generator=torch.Generator().manual_seed(1)).tolist()
    assert linear_complexity(drawn) <= 19_937


@pytest.mark.parametrize("technique", ["noise-mix", "dp-mix"])
def test_noise_of_one_batch_is_drawn_once_for_each_value(technique: str) -> None:
    setting = Obfuscation(technique, weights=(1.0,), strength=30)
    published = one(setting, torch.full((64, 1, 3, 16, 16), 128, dtype=torch.uint8)).pictures
    rows = published.flatten(1).double().numpy() - 128
    assert np.abs(np.corrcoef(rows) - np.eye(64)).max() < 0.25


def test_the_linear_complexity_of_a_known_recurrence() -> None:
    register, drawn = [1, 0, 0, 1, 1], []
    for _ in range(100):
        drawn.append(register[0])
        register = [*register[1:], register[0] ^ register[2]]
    assert linear_complexity(drawn) == 5
