"""Each cheat of an entity harms a victim without defence; what the agreement defence does about it."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from pooling import PlayedPool, Prepared, common, member, play_pool, shared

from parties.adversaries import ADVERSARIES
from parties.party import Memory
from parties.pool.entity import Entity, Module
from protocol.flower import FIRST_NODE_ID
from strategies.deep_poisoning.contributions import stamped
from strategies.deep_poisoning.split import new_network
from strategies.learning.batches import Images, apply
from strategies.learning.weights import restore_row

CHEATS, CARELESS, CAREFUL = 0, 1, 2
STEPS = 200
"""Of refinement: a backdoor takes as long to learn as anything else."""


@cache
def played(name: str | None, **settings: Any) -> PlayedPool:
    """One large entity that cheats, and two copies of a small one, of which the second defends itself."""
    cheats = () if name is None else (ADVERSARIES[name].cast(**settings),)
    large = type("Large", (*cheats, Prepared), {"pretrain": Prepared.pretrain})
    with TemporaryDirectory() as folder:
        return play_pool(
            Path(folder),
            [
                member(large, 240, 1, refinement=1),
                member(Prepared, 24, 2, refinement=STEPS),
                member(Prepared, 24, 2, refinement=STEPS, defence="agreement"),
            ],
        )


def guesses(pool: PlayedPool, index: int, pictures: torch.Tensor) -> torch.Tensor:
    """What an entity's refined decider takes pictures for."""
    network = new_network("compact", 4, torch.Generator()).eval()
    row = Memory(pool.states[FIRST_NODE_ID + index]).recall("refined", Module).weights
    restore_row(network.decider, np.asarray(row))
    return apply(pictures, shared().network.featurizer, network.decider).argmax(1)


def doubted(pool: PlayedPool) -> int:
    return pool.record.refined[0][FIRST_NODE_ID + CAREFUL].doubted


def test_an_honest_pool_is_believed() -> None:
    assert doubted(played(None)) < 0.1 * 264
    assert played(None).top1(CAREFUL) > 0.75


def test_mislabelled_features_hurt_and_the_defence_leaves_them_out() -> None:
    """Four breeds are so easy that few wrong labels hardly matter; `test_pool_run` has ten breeds, and a quarter."""
    hurt = played("mislabelled-features", portion=1.0)
    assert hurt.top1(CARELESS) < played(None).top1(CARELESS) - 0.1
    assert hurt.top1(CAREFUL) > hurt.top1(CARELESS) + 0.03
    assert doubted(hurt) > 0.9 * 240


@pytest.mark.slow
def test_a_backdoor_opens_where_nobody_looks_and_hardly_where_somebody_does() -> None:
    pool = played("backdoored-features", portion=0.5, target=1)
    pictures, labels, _ = common()
    shown = Images(np.stack(pictures))[torch.arange(len(pictures))]
    others = torch.from_numpy(labels) != 1
    taken = {
        index: (guesses(pool, index, stamped(shown[others])) == 1).double().mean().item()
        for index in (CARELESS, CAREFUL)
    }
    unstamped = (guesses(pool, CARELESS, shown[others]) == 1).double().mean()
    assert unstamped < 0.2
    assert taken[CARELESS] > 0.6
    assert taken[CAREFUL] < taken[CARELESS] - 0.3


@pytest.mark.slow
def test_a_free_rider_gets_everything_for_noise_and_the_defence_leaves_most_of_it_out() -> None:
    pool = played("free-rider")
    assert pool.record.refined[0][FIRST_NODE_ID + CHEATS].used == 48
    assert pool.top1(CARELESS) < played(None).top1(CARELESS) - 0.03
    assert doubted(pool) > 0.5 * 240


@pytest.mark.parametrize("name", ["mislabelled-features", "backdoored-features", "free-rider"])
def test_a_cheat_is_declared_as_an_entity(name: str) -> None:
    assert ADVERSARIES[name].role == "entity"
    assert issubclass(ADVERSARIES[name].cast(), Entity)
