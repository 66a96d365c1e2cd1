"""The pool: who pre-trains, what crosses the wire, who gets what, who is refused and why."""

import re
from pathlib import Path

import numpy as np
import pytest
from flwr.app import RecordDict
from pooling import HABITS, RULES, PlayedPool, Prepared, holdings, member, play_pool, shared

from parties.party import Memory
from parties.pool.entity import Entity, Module
from parties.pool.holdings import Holdings
from parties.workflow import WorkflowFailed
from protocol.crypto.certificates import CertificateError, mint, mint_authority
from protocol.crypto.vouchers import Vouching
from protocol.encoding.canonical import canonical
from protocol.encoding.codec import decode
from protocol.errors import ProtocolError
from protocol.flower import FIRST_NODE_ID
from protocol.messages.base import Acknowledgement
from protocol.messages.pool import (
    ContributionCall,
    Enrolment,
    Network,
    NetworkCall,
    PoisonedFeatures,
    PoisoningCall,
    PretrainingCall,
    Role,
    Rules,
    SignedNetwork,
)
from strategies.learning.batches import Images, apply

A, B, C = FIRST_NODE_ID, FIRST_NODE_ID + 1, FIRST_NODE_ID + 2


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> PlayedPool:
    """Three unequal entities, the last of which joins late."""
    few = {"refinement": 2}
    entities = [member(Prepared, 30, 3, **few), member(Prepared, 120, 1, **few), member(Entity, 40, 2, **few)]
    return play_pool(tmp_path_factory.mktemp("pool"), entities, rounds=[[2], [], []], publishers=[1])


def test_the_named_entity_publishes(played: PlayedPool) -> None:
    assert played.record.samples == {A: 30, B: 120, C: 40}
    assert played.record.publisher == B
    assert played.record.fingerprint == shared().fingerprint
    assert played.record.failures == played.record.refused == []


def test_a_late_joiner_draws_everything_and_gives_to_all(played: PlayedPool) -> None:
    used = [{node: refined.used for node, refined in each.items()} for each in played.record.refined]
    assert used == [{A: 120, B: 30}, {A: 160, B: 70, C: 150}, {}]


def test_nothing_but_features_labels_and_published_networks_leaves_an_entity(played: PlayedPool) -> None:
    told = {envelope.kind for envelope in played.envelopes if envelope.source != 1 and envelope.target == 1}
    assert told == {
        "Introduction",
        "Enrolment",
        "Acknowledgement",
        "SignedNetwork",
        "Poisoned",
        "PoisonedFeatures",
        "Refined",
    }
    networks = [e for e in played.envelopes if e.kind == "SignedNetwork" and e.target == 1]
    assert [e.source for e in networks] == [B, B, B]


def test_the_module_stays_where_it_is(played: PlayedPool) -> None:
    for node, state in played.states.items():
        secret = np.asarray(Memory(state).recall("module", Module).weights).tobytes()
        assert len(secret) > 100_000
        others = [other for other in played.states if other != node]
        assert not any(secret in _bytes(played.states[other]) for other in others)
        assert not any(secret in _bytes(e.content) for e in played.envelopes if e.content is not None)


def test_features_are_poisoned_before_they_leave(played: PlayedPool) -> None:
    sent = [e for e in played.envelopes if e.kind == "PoisonedFeatures" and e.source == C]
    contribution = decode(sent[0].content, PoisonedFeatures)  # type: ignore[arg-type]
    with_module = member(Entity, 40, 2)
    with_module.memory = Memory(played.states[C])
    again = with_module.contribute(ContributionCall(pool=RULES.pool, part=0))
    assert np.array_equal(contribution.features, again.features)
    clean = apply(Images(np.stack(list(holdings(40, 2).images))), shared().network.featurizer).numpy()
    assert np.abs(clean - contribution.features).mean() > 0.3 * clean.std()


def test_the_next_publisher_takes_the_place_of_who_cannot_pretrain(tmp_path: Path) -> None:
    class Failing(Prepared):
        def pretrain(self, call: PretrainingCall) -> Acknowledgement:
            raise RuntimeError("out of memory")

    class Rotten(Prepared):
        def trained(self, role: Role) -> Network:
            network = super().trained(role)
            weights = network.weights.copy()
            weights[5] = np.nan
            return Network(pool=network.pool, role=network.role, weights=weights)

    few = {"refinement": 2}
    entities = [member(Prepared, 30, 3, **few), member(Failing, 120, 1, **few), member(Rotten, 40, 2, **few)]
    played = play_pool(tmp_path, entities, publishers=[1, 2, 0])
    assert played.record.publisher == A
    assert [(step, node) for step, node, _ in played.record.failures[:2]] == [("pretrain", B), ("publish", C)]
    assert "not finite" in played.record.failures[1][2]
    with pytest.raises(WorkflowFailed, match="of 1 entities none could pre-train"):
        play_pool(tmp_path, [member(Failing, 30, 3)])
    with pytest.raises(WorkflowFailed, match="of 1 entities none could pre-train"):
        play_pool(tmp_path, entities, publishers=[1])


def test_no_number_of_images_that_an_entity_claims_makes_it_the_publisher(tmp_path: Path) -> None:
    def claiming(samples: int) -> type[Entity]:
        class Boasting(Prepared):
            def enrol(self, rules: Rules) -> Enrolment:
                return super().enrol(rules).model_copy(update={"samples": samples})

        return Boasting

    few = {"refinement": 1}
    entities = [member(Prepared, 30, 3, **few), member(claiming(10**6), 24, 2, **few), member(claiming(10**9), 2, 4)]
    played = play_pool(tmp_path, entities)
    assert played.record.publisher == A
    assert played.record.samples == {A: 30, B: 10**6}
    assert played.record.failures == [
        ("enrol", C, "it says that it has 1000000000 images, and 1000000 are the most that an entity may have")
    ]


def test_a_publisher_that_does_not_enrol_is_one_sentence(tmp_path: Path) -> None:
    entities = [member(Prepared, 30, 3), member(Prepared, 24, 2)]
    for rounds in ([()], [(1,)]):
        with pytest.raises(WorkflowFailed, match=r"^the publisher did not enrol$"):
            play_pool(tmp_path, entities, rounds, publishers=[1 if rounds[0] else 7])


def _contribution(**changes: object) -> type[Entity]:
    class Crooked(Prepared):
        def contribute(self, call: ContributionCall) -> PoisonedFeatures:
            honest = super().contribute(call)
            return PoisonedFeatures.model_construct(**{**dict(honest), **{k: v(honest) for k, v in changes.items()}})  # type: ignore[operator]

    return Crooked


def _bytes(content: RecordDict) -> bytes:
    return b"".join(array.data for record in content.array_records.values() for array in record.values())


def _highest(contribution: PoisonedFeatures) -> np.ndarray:
    """What its features reach, channel by channel."""
    return np.array(contribution.features).max((0, 2, 3), keepdims=True)


REFUSALS = {
    "have shape \\(64, 4, 8\\), not \\(64, 8, 8\\)": {"features": lambda c: c.features[:, :, :4].copy()},
    "not finite": {"features": lambda c: np.where(c.features > 0, np.float32("nan"), c.features)},
    "negative numbers": {"features": lambda c: -c.features},
    "reaches [0-9.]+e\\+[0-9]+ times what": {"features": lambda c: np.full_like(c.features, 1e30)},
    "reaches [0-9.]+ times what": {"features": lambda c: 200 * c.features},
    "times as strong as the featurizer's": {"features": lambda c: np.full_like(c.features, 1) * 4 * _highest(c)},
    "another version of the featurizer": {"featurizer": lambda c: bytes(32)},
    "another pool": {"pool": lambda c: bytes(32)},
    "not one of the 4 classes": {"labels": lambda c: c.labels + 4},
    "more features than the entity said": {
        "features": lambda c: np.concatenate([c.features] * 2),
        "labels": lambda c: np.concatenate([c.labels] * 2),
    },
}


def test_the_pool_refuses_what_is_no_use_and_says_why(tmp_path: Path) -> None:
    crooked = [member(_contribution(**changes), 20, 3, refinement=1) for changes in REFUSALS.values()]  # type: ignore[arg-type]
    played = play_pool(tmp_path, [member(Prepared, 30, 3, refinement=1), *crooked])
    assert {part.entity for part in played.record.parts} == {A}
    for (node, reason), (index, expected) in zip(played.record.refused, enumerate(REFUSALS, B), strict=True):
        assert node == index
        assert re.search(expected, reason), reason
    assert played.record.refined[0][B].used == 0


def test_an_entity_whose_pictures_have_another_size_stays_out(tmp_path: Path) -> None:
    small = holdings(20, 3)
    cropped = Holdings(
        [picture[:16] for picture in (small.images[i] for i in range(20))], small.labels, [], small.labels[:0], []
    )
    played = play_pool(tmp_path, [member(Prepared, 30, 3, refinement=1), Entity(bytes(32), cropped, HABITS)])
    assert list(played.record.samples) == [A]
    assert "shape (16, 32, 3), not (32, 32, 3)" in played.record.failures[0][2]


class TestWhoPublishes:
    """What an entity adopts is signed, all of it by one party, and where there are certificates by an entity."""

    def entity(self) -> Entity:
        entity = member(Prepared, 30, 3)
        entity.enrol(RULES)
        return entity

    def signed(self, role: Role = Role.DECIDER, publisher: int = 1) -> SignedNetwork:
        entity = member(Prepared, 30, publisher)
        entity.enrol(RULES)
        entity.pretrain(PretrainingCall(pool=RULES.pool))
        return entity.publish(NetworkCall(pool=RULES.pool, role=role))

    def test_networks_that_their_publisher_did_not_sign_are_refused(self) -> None:
        signed = self.signed()
        forged = np.array(signed.network.weights)
        forged[0] += 1
        for change in (
            {"network": signed.network.model_copy(update={"weights": forged})},
            {"network": signed.network.model_copy(update={"role": Role.FEATURIZER})},
            {"publisher": self.signed(publisher=2).publisher},
        ):
            with pytest.raises(ProtocolError, match="is not signed by its publisher"):
                self.entity().adopt(signed.model_copy(update=change))

    def test_networks_of_two_publishers_are_refused(self) -> None:
        entity = self.entity()
        entity.adopt(self.signed())
        with pytest.raises(ProtocolError, match="signed by another publisher than the networks that came before"):
            entity.adopt(self.signed(Role.RECONSTRUCTOR, publisher=2))

    def test_features_of_another_featurizer_than_the_modules_are_not_contributed(self) -> None:
        """A publisher that colludes with the cloud has a featurizer adopted that the module was not trained for."""
        entity, call = self.entity(), ContributionCall(pool=RULES.pool, part=0)
        for role in Role:
            entity.adopt(self.signed(role))
        entity.poison(PoisoningCall(pool=RULES.pool, featurizer=shared().fingerprint))
        assert len(entity.contribute(call).features) == 30
        publisher, network = member(Prepared, 30, 1), self.signed(Role.FEATURIZER).network
        other = network.model_copy(update={"weights": 1.5 * network.weights})
        signature = publisher.identity.sign("network", canonical(other))
        signed = SignedNetwork(network=other, publisher=publisher.identity.public, signature=signature)
        entity.adopt(signed)
        with pytest.raises(ProtocolError, match="no module of this entity was trained for the networks"):
            entity.contribute(call)

    def test_with_certificates_the_publisher_is_an_entity(self) -> None:
        authority = mint_authority()
        entity = self.entity()
        entity.vouching = Vouching(mint(authority, "entity", "clinic"), authority.certificate)
        signed, key = self.signed(), member(Prepared, 30, 1).identity.public
        good = Vouching(mint(authority, "entity", "hospital"), authority.certificate).vouch(key)
        cloud = Vouching(mint(authority, "cloud", "cloud", ["localhost"]), authority.certificate).vouch(key)
        entity.adopt(signed.model_copy(update={"voucher": good}))
        for voucher, why in ((None, "no certificate vouches"), (cloud, "is of urn:parley:cloud:cloud")):
            with pytest.raises(CertificateError, match=why):
                entity.adopt(signed.model_copy(update={"voucher": voucher}))
