"""Many purchases at once, each its own; a broker that stops goes on where it was."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from durable import BUYER, WISH, MortalApp, Town
from flwr.app import Message
from pooling import RULES, Prepared, member, play_pool

from parties.broker import Broker
from parties.pool.record import PoolRecord
from parties.pool.workflow import Keeper, Pool
from parties.purchase.buyer import Buyer
from parties.purchase.record import PurchaseRecord
from parties.store import PartyStore
from parties.workflow import OnStep
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.journal import Journal, WorkflowRow, WorkflowState
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.pool.scoring import digest

PATIENCE = 60


@contextmanager
def open_town(town: Town) -> Iterator[tuple[Broker, list[PurchaseRecord]]]:
    with town.alive() as (broker, records), broker:
        yield broker, records


def settle(broker: Broker, *names: str) -> None:
    for name in names:
        assert broker.wait(name, PATIENCE).state is WorkflowState.ENDED, broker.journal.workflow(name)


def books_are_right(town: Town) -> None:
    balances = town.outcome().balances
    assert sum(balances.values()) == balances["escrow"] == 0
    assert all(amount >= 0 for name, amount in balances.items() if name != "mint")
    deposits = [entry for entry in town.outcome().entries if entry[2] == "deposit" and entry[0] != "mint"]
    assert len(deposits) == len({name for name, _, _ in deposits})


def test_purchases_of_several_buyers_run_at_once(tmp_path: Path) -> None:
    town = Town(tmp_path, buyers=3)
    with open_town(town) as (broker, records):
        names = [broker.open("purchase", BUYER + index, WISH) for index in range(3)]
        settle(broker, *names)
    assert len(records) == 3
    pseudonyms = [{offer.bid.bid.pseudonym for offer in record.offers} for record in records]
    assert not pseudonyms[0] & pseudonyms[1] | pseudonyms[1] & pseudonyms[2]
    assert len({record.call.salt for record in records if record.call}) == 3
    paid = {record.buyer: sum(offer.paid for offer in record.offers) for record in records}
    for index in range(3):
        assert len(list(town.bought(index).glob("*.png"))) == paid[BUYER + index] > 0
    books_are_right(town)
    assert [row.step for row in broker.journal.workflows()] == [12, 12, 12]


def test_the_same_wish_is_the_same_purchase(tmp_path: Path) -> None:
    town = Town(tmp_path)
    with open_town(town) as (broker, records):
        assert broker.open("purchase", BUYER, WISH) == broker.open("purchase", BUYER, WISH)
        settle(broker, broker.open("purchase", BUYER, WISH))
        assert broker.open("purchase", BUYER, WISH) == broker.journal.workflows()[0].name
    with open_town(town) as (broker, _):
        settle(broker, broker.open("purchase", BUYER, WISH))
    assert len(records) == len(broker.journal.workflows()) == 1


def test_purchases_of_one_buyer_never_spend_more_than_it_has(tmp_path: Path) -> None:
    town = Town(tmp_path)
    with open_town(town) as (broker, _):
        names = [broker.open("purchase", BUYER, bytes([index])) for index in range(4)]
        settle(broker, *names)
    books_are_right(town)


@pytest.mark.parametrize("wish", [b"", bytes(33)])
def test_a_wish_has_a_size(tmp_path: Path, wish: bytes) -> None:
    with open_town(Town(tmp_path)) as (broker, _), pytest.raises(ValueError, match="1 to 32 bytes"):
        broker.open("purchase", BUYER, wish)


class Mute(LocalGrid):
    """Loses every answer to one step."""

    step = ""

    def pull_messages(self, message_ids: Any) -> list[Message]:
        replies = super().pull_messages(message_ids)
        return [reply for reply in replies if reply.metadata.message_type != f"query.{self.step}"]


@pytest.mark.parametrize("step", ["introduce", "request", "bid", "pay", "deliver", "receive", "verify", "settle"])
def test_a_broker_that_stops_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    town = Town(tmp_path)
    reached = threading.Event()
    with town.grid(lambda kind: reached.set() if kind == f"answer {step}" else None) as grid:
        mute = Mute([])
        mute.__dict__.update(grid.__dict__)
        mute.step = step
        with town.alive(grid=mute) as (broker, records):
            name = broker.open("purchase", BUYER, WISH)
            assert reached.wait(PATIENCE)
            broker.close()
            assert broker.journal.workflow(name).state is WorkflowState.OPEN
            assert not records
    with open_town(town) as (broker, records):
        settle(broker, name)
        assert len(records) == 1
    books_are_right(town)


class Frozen(LocalGrid):
    """Some nodes take note of nothing; the buyer hears of its statement when it is told again."""

    nodes: frozenset[int] = frozenset()
    statements = 0

    def pull_messages(self, message_ids: Any) -> list[Message]:
        heard = []
        for reply in super().pull_messages(message_ids):
            notice = reply.metadata.message_type in ("query.notify", "query.settle")
            if reply.metadata.src_node_id == BUYER and reply.metadata.message_type == "query.settle":
                self.statements += 1
                notice = self.statements == 1
            if not (notice and reply.metadata.src_node_id in self.nodes):
                heard.append(reply)
        return heard


def test_nobody_waits_for_dead_phones_to_take_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sellers that do not answer hold up nobody, a buyer that is away has time to come back for its statement."""
    monkeypatch.setattr("parties.purchase.workflow.COURTESY", 0.05)
    town = Town(tmp_path)
    assert town.cloud().patience > PATIENCE
    with town.grid() as grid:
        frozen = Frozen([])
        frozen.__dict__.update(grid.__dict__)
        frozen.nodes = frozenset(grid.get_node_ids())
        with town.alive(grid=frozen) as (broker, records), broker:
            settle(broker, broker.open("purchase", BUYER, WISH))
    assert frozen.statements == 2
    silent = [(step, node) for step, node, _ in records[0].failures]
    sellers = sorted(frozen.nodes - {BUYER})
    assert [(step, node) for step, node in silent if node != BUYER] == [
        (step, node) for step in ("notify", "settle") for node in sellers
    ]
    books_are_right(town)


def test_a_purchase_that_cannot_begin_has_failed_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Buyer, invitation: Any) -> Any:
        raise ProtocolError("not under these terms")

    town = Town(tmp_path)
    monkeypatch.setattr(Buyer, "_key", refuse)
    with open_town(town) as (broker, records):
        name = broker.open("purchase", BUYER, WISH)
        row = broker.wait(name, PATIENCE)
        assert row.state is WorkflowState.FAILED
        assert row.note == "the buyer made no request: not under these terms"
    monkeypatch.undo()
    with open_town(town) as (broker, records):
        assert broker.wait(name, PATIENCE).state is WorkflowState.FAILED
        assert not records


def test_a_purchase_that_breaks_off_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database is away for a while."""
    failures = iter([OSError("the database is away"), OSError("still away")])
    reach = Journal.reach

    def flaky(self: Journal, name: str, number: int) -> None:
        if number == 7:
            for failure in failures:
                raise failure
        reach(self, name, number)

    monkeypatch.setattr(Journal, "reach", flaky)
    monkeypatch.setattr("parties.broker.FIRST_RETRY", 0.01)
    town = Town(tmp_path)
    with open_town(town) as (broker, records):
        settle(broker, broker.open("purchase", BUYER, WISH))
    assert len(records) == 1
    assert next(failures, None) is None
    books_are_right(town)


def test_accounts_are_opened_once(tmp_path: Path) -> None:
    """Deposits are a party's, not a purchase's."""
    few = Town(tmp_path)
    with open_town(few) as (broker, _):
        settle(broker, broker.open("purchase", BUYER, b"1"))
        before = few.outcome().balances["mint"]
        settle(broker, broker.open("purchase", BUYER, b"2"))
    assert few.outcome().balances["mint"] == before


@pytest.mark.parametrize(
    "step",
    ["enrol", *(pytest.param(step, marks=pytest.mark.slow) for step in ("publish", "contribute", "draw", "refine"))],
)
def test_any_workflow_goes_on_from_the_journal(tmp_path: Path, step: str) -> None:
    """A pool whose cloud stops while it waits comes to what one comes to that was never interrupted."""
    entities = [member(Prepared, 24, 2, refinement=2), member(Prepared, 12, 3, refinement=2)]
    expected = digest(play_pool(tmp_path / "whole", entities).record)
    records: list[PoolRecord] = []
    waiting = threading.Event()

    def play(row: WorkflowRow, exchange: Exchange, on_step: OnStep) -> None:
        keeper = Keeper(RULES, Vault(str(tmp_path / "features")))
        records.append(Pool(keeper, exchange, on_step).run())

    def point(kind: str) -> None:
        if kind == f"answer {step}":
            waiting.set()

    with ExitStack() as stack:
        stores = [stack.enter_context(closing(PartyStore(tmp_path / f"{number}.db"))) for number in range(2)]
        apps = [store.app(entity.client_app()) for store, entity in zip(stores, entities, strict=True)]
        grid = Mute([MortalApp(app, point) for app in apps])
        grid.step = step
        ledger = stack.enter_context(closing(Ledger(f"sqlite:///{tmp_path / 'cloud.db'}")))
        journal = Journal(ledger.database, Vault(str(tmp_path / "vault")))
        with Broker(journal, grid, {"pool": play}) as broker:
            name = broker.open("pool", FIRST_NODE_ID, WISH)
            assert waiting.wait(PATIENCE)
        assert journal.workflow(name).state is WorkflowState.OPEN
        grid.step = ""
        with Broker(journal, grid, {"pool": play}) as broker:
            row = broker.wait(name, PATIENCE)
    assert (row.workflow, row.state, row.step) == ("pool", WorkflowState.ENDED, 7)
    assert [digest(record) for record in records] == [expected]
