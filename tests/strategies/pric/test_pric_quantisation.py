import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strategies.pric.quantisation import quantise, restored


@given(st.integers(0, 2**32), st.floats(1e-3, 1e6))
def test_each_number_comes_back_within_half_a_level(seed: int, size: float) -> None:
    values = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) * size
    values[0] = 0
    back = restored(quantise(values))
    assert (back - values).abs().amax((1, 2, 3)).numpy() == pytest.approx(0, abs=size / 505)
    assert (back[0] == 0).all()


def test_bytes_are_a_quarter() -> None:
    values = torch.rand(5, 32, 8, 8)
    assert 4 * quantise(values).codes.nbytes == values.numpy().nbytes


@pytest.mark.parametrize("odd", [-1.0, float("nan"), float("inf")])
def test_what_no_extractor_makes_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        quantise(torch.full((1, 1, 1, 1), odd))


def test_restoring_needs_no_more_than_what_was_sent() -> None:
    codes, highest = quantise(torch.ones(1, 1, 1, 2))
    assert codes.dtype == np.uint8
    assert highest.tolist() == [1.0]
