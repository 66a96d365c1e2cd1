"""Sums are exact whoever drops out; who spoils one is known, where that can be known."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from summing import ROUND, SIZE, Adder, Cloud, adders, attached, call, failing, nodes, plain, summed

from parties.party import Party
from parties.secure_sum.summand import LIMIT, BadSummand, quantised
from parties.secure_sum.summing import SecureSum
from parties.store import PartyStore
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import LocalGrid
from protocol.messages.secure_sum import Advertisement, DealtShares, KeyCall, Round, ShowCall, ShownShares
from simulations.runs.seeding import SeededEntropy
from strategies.privacy.secure_sum import restore
from strategies.privacy.sum_graph import complete_graph

STEPS = SecureSum.STEPS


def test_a_sum_is_that_of_the_summands_and_nothing_fails() -> None:
    parties = adders(5)
    record = summed(parties)
    assert np.array_equal(record.total, plain(parties))
    assert record.graph == complete_graph(5)
    assert not record.failures


@given(st.integers(3, 12), st.data())
@settings(max_examples=15, deadline=None)
def test_whoever_drops_out_at_any_step_leaves_an_exact_sum_of_the_others(count: int, data: st.DataObject) -> None:
    """After its values are in the sum they count, even if it says nothing any more."""
    silent = [data.draw(st.sampled_from(STEPS)) for _ in range(count - complete_graph(count).least)]
    early = sum(step in ("keys",) for step in silent)
    parties = adders(count, *map(failing, silent))
    if count - early < 3 or count - len(silent) < complete_graph(count - early).least:
        return
    counted = [party for i, party in enumerate(parties) if i >= len(silent) or silent[i] in ("confirm", "show")]
    record = summed(parties)
    assert np.array_equal(record.total, plain(counted))
    assert sorted(failure.step for failure in record.failures) == sorted(silent)


def test_a_sum_over_a_sparse_graph_is_exact_when_one_in_ten_drops_out() -> None:
    parties = adders(110, *[failing("add")] * 11)
    record = summed(parties)
    assert record.graph is not None
    assert record.graph.neighbours < 60
    assert np.array_equal(record.total, plain(parties[11:]))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("keys", "2 of 6 clients made keys, and 3 are needed"),
        ("meet", "2 of 6 clients drew neighbours, and 5 are needed"),
        ("deal", "2 of 6 clients dealt shares, and 5 are needed"),
        ("take", "0 of 6 clients dealt shares, and 5 are needed"),
        ("add", "2 of 6 clients were left in a sum, and 5 are needed"),
        ("confirm", "2 of 6 clients confirmed who is present, and 5 are needed"),
        ("show", "2 of 6 clients showed shares, and 5 are needed"),
    ],
)
def test_too_few_are_one_sentence_and_nobody_is_asked_in_vain(step: str, said: str) -> None:
    with attached(adders(6, *[failing(step)] * 4)) as exchange:
        cloud = Cloud(exchange, 6)
        with pytest.raises(WorkflowFailed, match=said):
            cloud.run()
    assert {failure.step for failure in cloud.record.failures} == {step}


def test_keys_are_of_one_sum_and_a_seeded_party_repeats_them() -> None:
    def keys(party: Adder, number: int) -> Advertisement:
        return party.keys(KeyCall(round=Round(training="test", number=number)))

    one, other = adders(1)[0], adders(1)[0]
    assert keys(one, 1) == keys(one, 1)
    assert keys(one, 1).masks != keys(one, 2).masks
    assert keys(one, 3).masks != keys(other, 3).masks  # of the system's entropy
    one, other = adders(1)[0], adders(1)[0]
    one.entropy, other.entropy = SeededEntropy(bytes(32)), SeededEntropy(bytes(32))
    assert [keys(one, number) for number in (1, 2)] == [keys(other, number) for number in (1, 2)]


def test_secrets_of_a_sum_are_forgotten_when_it_is_over_or_the_next_begins() -> None:
    parties = adders(4)
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        exchange = Exchange(grid)
        SecureSum(exchange, nodes(4), call(), size=SIZE).run()
        kept = {name.split(":")[0] for name in grid.state(FIRST_NODE_ID)}
        assert kept == {"facts", "sum Shown test"}
        later = Round(training="test", number=2)
        with pytest.raises(WorkflowFailed):
            Cloud(exchange, 4, later, loses=range(4)).run()
        begun = exchange.ask("keys", {FIRST_NODE_ID: KeyCall(round=Round(training="test", number=3))}, Advertisement)
        assert len(begun.answers) == 1
        assert {name.split(":")[0] for name in grid.state(FIRST_NODE_ID)} == {"facts", "sum Begun test"}


def junk(secret: bytes, holders: int, threshold: int, randomness: bytes) -> np.ndarray:
    """Shares of nothing."""
    return np.arange(holders * 36).reshape(holders, 36).astype(np.uint8)


class TestSpoilers:
    def spoilt(self, role: type[Adder], count: int = 7, **settings: Any) -> Cloud:
        self.parties = adders(count, role)
        with attached(self.parties) as exchange:
            cloud = Cloud(exchange, count, **settings)
            cloud.run()
        return cloud

    def test_keys_that_nothing_can_be_agreed_on_with_or_that_are_not_signed_or_anothers_are_left_out(self) -> None:
        class LowOrder(Adder):
            def keys(self, call: KeyCall) -> Advertisement:
                return super().keys(call).model_copy(update={"masks": bytes(32)})

        class Unsigned(Adder):
            def keys(self, call: KeyCall) -> Advertisement:
                return super().keys(call).model_copy(update={"signature": bytes(64)})

        class Copied(Adder):
            def keys(self, call: KeyCall) -> Advertisement:
                return twin.keys(call)

        for role, said in ((LowOrder, "none that a secret can be agreed on with"), (Unsigned, "not signed for this")):
            cloud = self.spoilt(role)
            assert [(each.step, each.node_id) for each in cloud.record.failures] == [("keys", FIRST_NODE_ID)]
            assert said in cloud.record.failures[0].reason
            assert np.array_equal(cloud.record.total, plain(self.parties[1:]))
        twin = Adder(bytes([9]) * 32)
        parties = [*adders(5), Copied(bytes([7]) * 32), twin]
        record = summed(parties)
        assert "its keys are those of another client" in {each.reason for each in record.failures}

    @pytest.mark.parametrize("what", ["sealed", "commitments"])
    def test_shares_that_do_not_open_are_those_of_who_dealt_them(self, what: str) -> None:
        class Junk(Adder):
            def deal(self, neighbours: Any) -> DealtShares:
                dealt = super().deal(neighbours)
                return dealt.model_copy(update={what: np.ones_like(getattr(dealt, what))})

        cloud = self.spoilt(Junk)
        assert [(each.node_id, each.line) for each in cloud.record.failures] == [
            (FIRST_NODE_ID, "deal: the shares that it dealt do not open")
        ]
        assert np.array_equal(cloud.record.total, plain(self.parties[1:]))

    @pytest.mark.parametrize("step", ["show", "add"])
    def test_shares_of_nothing_are_those_of_who_dealt_them(self, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
        class Mixed(failing("add") if step == "add" else Adder):  # type: ignore[misc]
            def deal(self, neighbours: Any) -> DealtShares:
                with monkeypatch.context() as patch:
                    patch.setattr("parties.secure_sum.summand.share", junk)
                    return super().deal(neighbours)

        with attached(adders(7, Mixed)) as exchange:
            cloud = Cloud(exchange, 7)
            with pytest.raises(WorkflowFailed, match="the shares of the secret of place 1 do not give it back"):
                cloud.run()
        assert (FIRST_NODE_ID, "deal: the shares that it dealt do not give its secret back") in {
            (each.node_id, each.line) for each in cloud.record.failures
        }

    def test_a_share_that_nobody_dealt_is_its_showers_and_the_sum_goes_on(self) -> None:
        class Liar(Adder):
            def show(self, call: ShowCall) -> ShownShares:
                shown = super().show(call)
                return shown.model_copy(update={"shares": np.where(shown.shares > 0, 7, 0).astype(np.uint8)})

        cloud = self.spoilt(Liar)
        assert [(each.node_id, each.line) for each in cloud.record.failures] == [
            (FIRST_NODE_ID, "show: it shows a share that nobody dealt")
        ]
        assert np.array_equal(cloud.record.total, plain(self.parties))

    def test_who_signs_nothing_or_sends_too_little_is_left_out(self) -> None:
        class Unsigned(Adder):
            def confirm(self, present: Any) -> Any:
                return super().confirm(present).model_copy(update={"signature": bytes(64)})

        class Short(Adder):
            def add(self, call: Any) -> Any:
                return super().add(call).model_copy(update={"values": np.ones(3, np.uint64)})

        assert self.spoilt(Unsigned).refusals("confirm") == {"it has not signed who is present"}
        assert self.spoilt(Short).refusals("add") == {"it adds 3 values, and a summand has 5"}

    @pytest.mark.parametrize("values", [[np.nan], [np.inf], [2.0**20 + 1], [[1.0]], []])
    def test_what_is_no_summand_is_not_masked(self, values: Any) -> None:
        with pytest.raises(BadSummand):
            quantised(np.array(values, np.float64))

    def test_the_largest_summand_is_one(self) -> None:
        largest = np.array([LIMIT, -LIMIT])
        assert np.array_equal(restore(quantised(largest)), largest)

    def test_a_total_out_of_range_is_seen(self) -> None:
        class Lying(Adder):
            def integers(self, call: Any, values: Any) -> Any:
                return np.full(SIZE, 2**60, np.uint64)

        with pytest.raises(WorkflowFailed, match="the total is out of range"):
            self.spoilt(Lying)


def test_what_was_answered_is_known_in_another_conversation_and_after_a_restart(tmp_path: Path) -> None:
    def stored(party: Party) -> Any:
        return stores[-1].app(party.client_app())

    parties = adders(4)
    stores = [PartyStore(tmp_path / "first.db")]
    apps = [stored(parties[0]), *(party.client_app() for party in parties[1:])]
    with LocalGrid(apps) as grid, task_identity(1):
        SecureSum(Exchange(grid, conversation="one"), nodes(4), call(), size=SIZE).run()
        for conversation in ("two", ""):
            again = Exchange(grid, conversation=conversation)
            replies = again.ask("keys", {FIRST_NODE_ID: KeyCall(round=ROUND)}, Advertisement)
            assert "this sum is over, or was begun in another conversation" in replies.failures[FIRST_NODE_ID]
    stores[0].close()
    stores.append(PartyStore(tmp_path / "first.db"))
    with closing(stores[-1]), LocalGrid([stored(Adder(bytes(32)))]) as grid, task_identity(1):
        replies = Exchange(grid, conversation="three").ask("keys", {FIRST_NODE_ID: KeyCall(round=ROUND)}, Advertisement)
        assert "this sum is over" in replies.failures[FIRST_NODE_ID]
