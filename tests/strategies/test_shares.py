"""Shares give secrets back, and too few of them do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.privacy.shares import PRIME, SHARE_BYTES, SharesBroken, reconstruct, share


@given(st.binary(min_size=32, max_size=32), st.integers(1, 8), st.integers(0, 5), st.data())
def test_any_threshold_of_shares_gives_the_secret_and_one_less_does_not(
    secret: bytes, threshold: int, more: int, data: st.DataObject
) -> None:
    shares = share(secret, threshold + more, threshold, b"r" * 32)
    chosen = data.draw(st.permutations(range(threshold + more)))[:threshold]
    assert reconstruct(chosen, shares[chosen]) == secret
    if threshold > 1:
        try:
            assert reconstruct(chosen[1:], shares[chosen[1:]]) != secret
        except SharesBroken as told:
            assert "do not give a secret back" in str(told)  # noqa: PT017


def test_shares_are_those_of_polynomials_and_look_like_noise() -> None:
    """By Lagrange's formula over whole numbers, with no table of logarithms."""
    secret = bytes(range(32))
    shares = share(secret, 200, 150, b"r" * 32)
    values = shares.copy().view("<u2").astype(object)
    assert abs(shares.copy().view("<u2").mean() / PRIME - 0.5) < 4.5 / np.sqrt(12 * shares.size / 2)
    holders, number = range(40, 190), 0
    for limb in range(SHARE_BYTES // 2):
        total = 0
        for i in holders:
            above = below = 1
            for j in holders:
                if j != i:
                    above, below = above * (j + 1) % PRIME, below * (j - i) % PRIME
            total += values[i, limb] * above * pow(below, -1, PRIME)
        number += (total % PRIME) << 15 * limb
    assert number.to_bytes(32) == secret == reconstruct(list(holders), shares[40:190])


def test_what_is_no_secret_is_refused() -> None:
    with pytest.raises(SharesBroken, match="2 shares do not give a secret back"):
        reconstruct([0, 1], np.full((2, SHARE_BYTES), 255, np.uint8))


@pytest.mark.parametrize(("holders", "threshold"), [(2, 3), (0, 0), (2, 0), (PRIME, 2)])
def test_impossible_sharings_are_refused(holders: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="a threshold of 1 to"):
        share(bytes(32), holders, threshold, bytes(32))
    with pytest.raises(ValueError, match="of 32 bytes"):
        share(bytes(31), 2, 2, bytes(32))
