"""Each cheat of an entity harms a victim without defence; what the agreement defence does about it."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from pooling import PlayedPool, Prepared, common, holdings, member, play_pool, shared

from parties.adversaries import ADVERSARIES
from parties.party import Memory
from parties.pool.checks import STRONGEST
from parties.pool.entity import Entity, Module
from parties.pool.published import Published, highest_features
from protocol.encoding.codec import decode
from protocol.flower import FIRST_NODE_ID
from protocol.messages.pool import PoisonedFeatures
from strategies.deep_poisoning.contributions import LabelledFeatures, stamped
from strategies.deep_poisoning.split import new_network
from strategies.learning.batches import Images, apply
from strategies.learning.weights import restore_row
from strategies.pixels import to_tensor
from strategies.scores.image_quality import ssim

CHEATS, CARELESS, CAREFUL = 0, 1, 2
STEPS = 200
"""Of refinement: a backdoor takes as long to learn as anything else."""


@cache
def played(name: str | None, **settings: Any) -> PlayedPool:
    """One large entity that cheats, and two copies of a small one, of which the second defends itself."""
    return played_by(*(() if name is None else (ADVERSARIES[name].cast(**settings),)))


def played_by(*cheats: type) -> PlayedPool:
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


@pytest.mark.slow
def test_an_honest_pool_is_believed() -> None:
    assert doubted(played(None)) < 0.1 * 264
    assert played(None).top1(CAREFUL) > 0.75


@pytest.mark.slow
def test_mislabelled_features_hurt_and_the_defence_leaves_them_out() -> None:
    """Four breeds are so easy that few wrong labels hardly matter; `test_pool_run` has ten breeds, and a quarter."""
    hurt = played("mislabelled-features", portion=1.0)
    assert hurt.top1(CARELESS) < played(None).top1(CARELESS) - 0.1
    assert hurt.top1(CAREFUL) > hurt.top1(CARELESS) + 0.03
    assert doubted(hurt) > 0.9 * 240


@pytest.mark.slow
def test_ten_huge_features_are_refused_and_undo_every_decider_where_nobody_checks() -> None:
    refused = played("huge-features")
    ((node, why),) = refused.record.refused
    assert node == FIRST_NODE_ID + CHEATS
    assert "times what the featurizer can produce" in why
    with pytest.MonkeyPatch.context() as unchecked:
        for side in ("workflow", "entity"):
            unchecked.setattr(f"parties.pool.{side}.contribution_refusal", lambda *contribution: None)
        hurt = played.__wrapped__("huge-features")
    for index in (CARELESS, CAREFUL):
        assert hurt.top1(index) < 0.4
        assert refused.top1(index) > 0.75


@pytest.mark.slow
def test_an_entity_refuses_huge_features_that_its_pool_lets_through() -> None:
    with pytest.MonkeyPatch.context() as unchecked:
        unchecked.setattr("parties.pool.workflow.contribution_refusal", lambda *contribution: None)
        pool = played.__wrapped__("huge-features")
    assert {(step, node) for step, node, _ in pool.record.failures} == {
        ("draw", FIRST_NODE_ID + index) for index in (CARELESS, CAREFUL)
    }
    assert pool.top1(CARELESS) > 0.75


@pytest.mark.slow
def test_features_as_strong_as_may_be_hardly_hurt() -> None:
    """The strongest attack that passes: ten maps, all of whose numbers are as high as allowed."""
    highest = torch.from_numpy(highest_features(shared().network, 32))[:, None, None]

    class Saturating(Entity):
        def offer(self, chosen: torch.Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
            features, labels = super().offer(chosen, shared, device)
            most = torch.minimum(features * 1e6, 0.99 * STRONGEST * highest)
            return LabelledFeatures(torch.where((chosen < 10)[:, None, None, None], most, features), labels)

    pool = played_by(Saturating)
    assert pool.record.refused == []
    for index in (CARELESS, CAREFUL):
        assert pool.top1(index) > played(None).top1(index) - 0.1


@pytest.mark.slow
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
@pytest.mark.slow
def test_a_free_rider_gets_everything_for_noise_and_the_defence_leaves_most_of_it_out() -> None:
    pool = played("free-rider")
    assert pool.record.refined[0][FIRST_NODE_ID + CHEATS].used == 48
    assert pool.top1(CARELESS) < played(None).top1(CARELESS) - 0.03
    assert doubted(pool) > 0.5 * 240


@pytest.mark.parametrize("name", ["mislabelled-features", "huge-features", "backdoored-features", "free-rider"])
def test_a_cheat_is_declared_as_an_entity(name: str) -> None:
    assert ADVERSARIES[name].role == "entity"
    assert issubclass(ADVERSARIES[name].cast(), Entity)


@pytest.mark.slow
def test_a_blind_reconstructor_has_others_hide_nothing(tmp_path: Path) -> None:
    """How well the honest reconstructor restores what an honest entity puts into the pool of either publisher."""

    blind = type("Blind", (ADVERSARIES["blind-reconstructor"].cast(), Prepared), {"pretrain": Prepared.pretrain})

    def restored(publisher: type[Entity]) -> float:
        played = play_pool(tmp_path, [member(publisher, 30, 1, refinement=2), member(Entity, 60, 2, refinement=2)])
        sent = [e for e in played.envelopes if e.kind == "PoisonedFeatures" and e.source == FIRST_NODE_ID + 1]
        features = torch.from_numpy(np.array(decode(sent[0].content, PoisonedFeatures).features))
        pictures = to_tensor(np.stack(holdings(60, 2).images)).float() / 255  # type: ignore[arg-type]
        return float(ssim(pictures[: len(features)], apply(features, shared().reconstructor).clamp(0, 1)).abs().mean())

    assert restored(blind) > 1.5 * restored(Prepared)
