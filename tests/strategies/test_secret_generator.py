"""Draws of a secret generator are those of the same Mersenne Twister in NumPy, and no 32-bit seed gives them."""

import numpy as np
import torch

from strategies.privacy.secret_generator import secret_generator


def test_the_whole_state_is_the_secrets() -> None:
    secret = bytes(range(32))
    drawn = torch.empty(2000, dtype=torch.int32).random_(generator=secret_generator(secret))
    twister = np.random.MT19937(np.random.SeedSequence(int.from_bytes(secret)))
    state = twister.state
    state["state"]["pos"] = 624
    twister.state = state
    assert drawn.tolist() == (twister.random_raw(2000) & 0x7FFFFFFF).tolist()


def test_one_bit_of_the_secret_changes_everything() -> None:
    first, other = (torch.rand(1000, generator=secret_generator(bytes(31) + bytes([last]))) for last in (0, 1))
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.15
    assert not torch.equal(first, other)
