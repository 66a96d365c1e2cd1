"""PRIC's training in pieces: networks as rows, gradients of albums, and what steps with their mean learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from bars import TINY, aucs, marked, seeded
from torch import Tensor

from strategies.learning.weights import fingerprint
from strategies.pric.federated import Leader, gradients, gradients_length, players_of, row_of
from strategies.pric.training import Game, Recipe, Trained, new_players

SLOWER = replace(TINY, learning_rate=5e-4)


def start(recipe: Recipe = SLOWER) -> Trained:
    return new_players("compact", recipe, 1, seeded(4))


def albums(number: int, pictures: int = 8) -> list[tuple[Tensor, Tensor]]:
    shown, bars = marked(number * pictures, 1)
    return list(zip(shown.split(pictures), bars[:, :1].split(pictures), strict=True))


def test_a_row_gives_the_networks_back_and_another_length_is_refused() -> None:
    row = row_of(start())
    again = players_of(row, "compact", SLOWER, 1)
    for one, other in zip(start().networks(), again.networks(), strict=True):
        assert fingerprint(one) == fingerprint(other)
    with pytest.raises(ValueError, match=f"{len(row)} numbers, and .* are needed"):
        players_of(row, "compact", SLOWER, 2)
    with pytest.raises(ValueError, match="not finite"):
        players_of(np.full_like(row, np.nan), "compact", SLOWER, 1)
    with pytest.raises(ValueError, match="3 numbers, and"):
        Leader(start(), SLOWER).step(np.zeros(3))


def test_gradients_depend_on_the_album_alone_and_leave_the_networks_as_they_came() -> None:
    players = start()
    together = list(gradients(players, albums(3), SLOWER, warm_up=False))
    assert np.array_equal(row_of(players), row_of(start()))
    for album, told in zip(albums(3), together, strict=True):
        assert told.shape == (gradients_length(players),)
        assert np.array_equal(next(gradients(start(), [album], SLOWER, warm_up=False)), told)


def test_one_owner_alone_is_a_warm_up_step_of_the_usual_training() -> None:
    """The same batch, the same losses, the same optimiser: what a collector would do with these pictures."""
    leader, album = Leader(start(), SLOWER), albums(1)[0]
    usual = Game(start(), SLOWER)
    for _ in range(2):
        leader.step(next(gradients(leader.players, [album], SLOWER, warm_up=True)))
        usual.together(album[0], album[1].float())
    for led, alone in zip(leader.players.networks(), usual.players.networks(), strict=True):
        for name, value in alone.state_dict().items():
            if value.is_floating_point():
                assert torch.allclose(led.state_dict()[name], value, atol=1e-5), name


@pytest.mark.parametrize("pictures", [1, 2])
def test_an_album_of_one_picture_is_enough(pictures: int) -> None:
    leader = Leader(start(), SLOWER)
    for warm_up in (True, False):
        leader.step(next(gradients(leader.players, albums(1, pictures), SLOWER, warm_up=warm_up)))
    assert np.isfinite(row_of(leader.players)).all()


@pytest.mark.slow
def test_steps_with_the_mean_of_what_four_owners_tell_hide_one_bar_and_show_the_others() -> None:
    """AUCs of .5 are a guess; where the classifier is not feared, all three are above .99."""

    def trained(recipe: Recipe, rounds: int) -> list[float]:
        everybody, generator, leader = albums(20, 16), np.random.default_rng(1), Leader(start(), recipe)
        for number in range(rounds):
            called = [everybody[home] for home in generator.permutation(20)[:4]]
            leader.step(np.mean(list(gradients(leader.players, called, recipe, warm_up=number < 40)), axis=0))
        return aucs(leader.players.eval().extractor, marked(600, 5))

    hidden, *shown = trained(SLOWER, 400)
    assert hidden < 0.75
    assert min(shown) > 0.95
    assert min(trained(replace(SLOWER, ascent="none"), 100)) > 0.99
