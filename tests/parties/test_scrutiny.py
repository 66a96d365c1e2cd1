"""What an entity finds out before it contributes: who published, what reconstructs, and what its module hides."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pooling import HABITS, RULES, Prepared, holdings, play_pool, shared

from parties.policy.guard import Guard
from parties.policy.settings import Policy, Pooling
from parties.pool.entity import Entity
from parties.pool.published import Published
from parties.pool.scrutiny import Scrutiny
from protocol.crypto.certificates import mint, mint_authority
from protocol.crypto.vouchers import Vouching
from protocol.errors import PolicyRefusal
from protocol.messages.base import Acknowledgement
from protocol.messages.pool import NetworkCall, PretrainingCall, Role
from strategies.deep_poisoning.module import DeepPoisoningModule, new_module
from strategies.deep_poisoning.reconstructor import new_reconstructor
from strategies.learning.batches import apply

POLICY = Policy(pool=Pooling(unseen=1))
"""Without the check that trains a reconstructor, which takes some seconds."""


class Blind(Prepared):
    """Publishes a reconstructor that reconstructs nothing, so that others' modules learn to hide nothing."""

    def pretrain(self, call: PretrainingCall) -> Acknowledgement:
        channels = next(iter(shared().network.decider.parameters())).shape[1]
        blind = new_reconstructor("px2s2", channels, 4, torch.Generator().manual_seed(5)).eval()
        for role in Role:
            self.memory.keep(role, Published(shared().network, blind).message(call.pool, role))
        return Acknowledgement()


class Bare(Entity):
    """Its module passes features on as they are."""

    def train_module(self, shared: Published, device: torch.device) -> DeepPoisoningModule:
        class Identity(DeepPoisoningModule):
            def forward(self, features: torch.Tensor) -> torch.Tensor:
                return features

        module = new_module(next(iter(shared.network.decider.parameters())).shape[1], torch.Generator())
        module.__class__ = Identity
        return module

    def poisoned(self, images: torch.Tensor, shared: Published, device: torch.device) -> torch.Tensor:
        return apply(images, shared.network.featurizer)


class Unwilling(Entity):
    """Trains its module for accuracy alone, and hardly at all."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.habits = replace(self.habits, poisoning=1, weight=0.0)


def entity(role: type[Entity], seed: int, policy: Policy | None = None) -> Entity:
    party = role(bytes([seed]) * 32, holdings(60, seed), replace(HABITS, poisoning=150, refinement=1))
    if policy is not None:
        party.guard = Guard(party, policy)
    return party


def reasons(folder: Path, publisher: type[Entity], other: type[Entity], policy: Policy | None) -> list[str]:
    played = play_pool(folder, [entity(publisher, 1, None), entity(other, 2, policy)], publishers=(0,))
    return [failure.sentence for failure in played.record.failures if failure.step == "poison"]


def test_a_blind_reconstructor_is_believed_without_a_policy_and_found_out_with_one(tmp_path: Path) -> None:
    assert reasons(tmp_path / "none", Blind, Prepared, None) == []
    (why,) = reasons(tmp_path / "policy", Blind, Prepared, POLICY)
    assert "the published reconstructor restores public images with an SSIM of 0.0" in why


@pytest.mark.slow
def test_a_module_that_hides_nothing_is_contributed_without_a_policy_and_kept_back_with_one(tmp_path: Path) -> None:
    assert reasons(tmp_path / "none", Prepared, Unwilling, None) == []
    for role in (Unwilling, Bare):
        (why,) = reasons(tmp_path / role.__name__, Prepared, role, POLICY)
        assert "of this entity's images from poisoned features as from clean ones, and 20% is the most" in why


def test_honest_entities_pool_as_before(tmp_path: Path) -> None:
    assert reasons(tmp_path / "policy", Prepared, Entity, Policy()) == []


def test_a_reconstructor_of_its_own_finds_it_out_too(tmp_path: Path) -> None:
    (why,) = reasons(tmp_path / "policy", Prepared, Bare, Policy(pool=Pooling(published=1)))
    assert "a reconstructor of its own restores 100% as much" in why


def test_where_there_are_no_public_images_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    scrutiny, nothing = Scrutiny(clean=0.1, unseen=0.9), torch.zeros(0, 3, 32, 32)
    scrutiny.check_reconstructor(shared(), nothing, torch.device("cpu"))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    poisoned = shared().network.featurizer
    with torch.inference_mode():
        scrutiny.check_module(shared(), nothing, images, poisoned, torch.Generator(), torch.device("cpu"))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "there are no public images here"
    ] * 2


def test_only_the_networks_of_those_who_are_named_are_adopted() -> None:
    authority = mint_authority()
    clinic = entity(Prepared, 1)
    other = entity(Prepared, 2, Policy(pool=Pooling(publishers=("clinic",))))
    clinic.memory.keep("rules", RULES)
    other.memory.keep("rules", RULES)
    clinic.pretrain(PretrainingCall(pool=RULES.pool))
    for name, refused in (("clinic", False), ("lab", True)):
        clinic.vouching = Vouching(mint(authority, "entity", name), authority.certificate)
        other.vouching = Vouching(mint(authority, "entity", "hospital"), authority.certificate)
        signed = clinic.publish(NetworkCall(pool=RULES.pool, role=Role.DECIDER))
        if refused:
            with pytest.raises(PolicyRefusal, match="published by lab, and those of clinic are believed"):
                other.adopt(signed)
        else:
            other.adopt(signed)
    other.vouching = None
    with pytest.raises(PolicyRefusal, match="published by nobody who can be told"):
        other.adopt(signed)
