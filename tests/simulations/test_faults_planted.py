"""Faults planted in the code that runs are found by the simulation, each within ten thousand faults."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array

import parties.purchase.statements
import parties.purchase.workflow
import protocol.crypto.sealing
import protocol.encoding.codec
import protocol.encoding.records
import protocol.journaled_exchange
import protocol.storage.database
import simulations.faults.purchase.cloud
import simulations.faults.shrink
from parties.broker import Broker
from parties.purchase import settlement
from parties.purchase.buyer import Buyer
from parties.purchase.offer import Offer
from parties.purchase.seller import Seller
from parties.store import RememberingApp
from protocol.encoding.codec import UnreadableMessage
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc.roster import Roster
from protocol.journal import Journal
from protocol.storage.lease import Lease
from protocol.storage.ledger import Ledger, Posting, Transfer
from protocol.storage.vault import Vault
from simulations.faults.campaign import campaign
from simulations.faults.run import run
from simulations.faults.shrink import shrink

Plant = Callable[[pytest.MonkeyPatch], None]


def pays_twice(patch: pytest.MonkeyPatch) -> None:
    """Sellers get their payments once more, from the mint."""
    settle = settlement.settle

    def twice(books: Any, offers: Any, *others: Any) -> dict[str, int]:
        moved = [
            Transfer("mint", books.sellers[each.seller], each.payment, "post again") for each in offers if each.paid
        ]

        def effect(posting: Posting) -> bytes:
            posting.transfer(moved)
            return b""

        books.ledger.once(f"{books.request}/again", b"", effect)
        return settle(books, offers, *others)

    patch.setattr(settlement, "settle", twice)


def forgets_what_was_done(patch: pytest.MonkeyPatch) -> None:
    """Effects happen again when a workflow is replayed."""
    keys = iter(range(10**9))
    once = Ledger.once
    patch.setattr(Ledger, "once", lambda self, key, *others: once(self, f"{key}/{next(keys)}", *others))


def keeps_what_failed_purchases_hold(patch: pytest.MonkeyPatch) -> None:
    """Escrows of a purchase that fails stay pending."""
    end = Journal.end

    def without_voiding(self: Journal, name: str, *others: Any) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Posting, "pending", lambda self, scope: [])
            return end(self, name, *others)

    patch.setattr(Journal, "end", without_voiding)


def draws_one_data_key(patch: pytest.MonkeyPatch) -> None:
    """All pictures are sealed under one data key, and the nonce is constant."""
    seal = Seller.seal

    def under_one_key(self: Seller, *others: Any) -> bytes:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(protocol.crypto.sealing, "os", SimpleNamespace(urandom=lambda size: bytes([7]) * size))
            return seal(self, *others)

    patch.setattr(Seller, "seal", under_one_key)


def names_sellers_to_the_buyer(patch: pytest.MonkeyPatch) -> None:
    """A statement says whose picture it was."""
    line = parties.purchase.statements.line

    def naming(offer: Offer, amount: int) -> Any:
        said = line(offer, amount)
        return said.model_copy(update={"outcome": f"{said.outcome} seller-{offer.seller}"})

    patch.setattr(parties.purchase.statements, "line", naming)


def lets_numpy_read_headers(patch: pytest.MonkeyPatch) -> None:
    """Finding 1: NumPy evaluates the headers of arrays, and one kind of what it raises is a refusal."""

    def read(array: Array) -> Any:
        try:
            return np.lib.format.read_array(io.BytesIO(array.data))
        except ValueError as error:
            raise UnreadableMessage(str(error)) from None

    @contextmanager
    def refusing_nothing_else(what: str) -> Iterator[None]:
        yield

    for module in (protocol.encoding.codec, protocol.encoding.records):
        patch.setattr(module, "read_array", read)
        patch.setattr(module, "reading", refusing_nothing_else)
    patch.setattr(protocol.journaled_exchange, "reading", refusing_nothing_else)


def admits_any_sample(patch: pytest.MonkeyPatch) -> None:
    """Finding 2: the cloud takes a sample that it cannot read, and tries for ever."""
    refusal = parties.purchase.workflow.request_refusal

    def admitting(*others: Any) -> str | None:
        why = refusal(*others)
        return None if why and "a sample of" in why else why

    patch.setattr(parties.purchase.workflow, "request_refusal", admitting)
    end = Broker._end

    def only_typed(self: Broker, name: str, why: str, *others: Any) -> bool:
        if "the cloud failed" in why:
            raise RuntimeError(why)
        return end(self, name, why, *others)

    patch.setattr(Broker, "_end", only_typed)


def hurries_buyers(patch: pytest.MonkeyPatch) -> None:
    """Finding 3: the time for checking does not grow with what there is to check."""
    patch.setattr(parties.purchase.workflow, "checking_time", lambda offers: 0.0)


def bonds_what_is_left(patch: pytest.MonkeyPatch) -> None:
    """Finding 4: a budget leaves no room for bonds, and complaints without one are dropped."""
    workflow, take, settle = parties.purchase.workflow, settlement.take_payment, settlement.settle
    payable, arbitrate = workflow.payable, workflow.Purchase._arbitrate
    patch.setattr(workflow, "payable", lambda money, *rates: payable(money, rates[0]))
    patch.setattr(settlement, "take_payment", lambda books, held, offers, rate: take(books, held, offers, 0))
    patch.setattr(settlement, "settle", lambda books, offers, rate, names: settle(books, offers, 0, names))

    def only_bonded(self: Any) -> None:
        def effect(posting: Posting) -> bytes:
            return str(posting.balance(self._buyer_account)).encode()

        left = int(self.cloud.ledger.once(f"{self._id.hex()}/left", b"", effect))
        for offer in self.record.winners:
            if offer.complaint is not None:
                left -= settlement.bond(offer.payment, self.cloud.terms.bond)
                offer.complaint = offer.complaint if left >= 0 else None
        arbitrate(self)

    patch.setattr(workflow.Purchase, "_arbitrate", only_bonded)


def goes_on_under_other_terms(patch: pytest.MonkeyPatch) -> None:
    """Finding 5: a purchase follows the terms that the cloud has now, though the buyer's request names others."""
    refusal = parties.purchase.workflow.request_refusal

    def admitting(*others: Any) -> str | None:
        why = refusal(*others)
        return None if why and "under the terms" in why else why

    patch.setattr(parties.purchase.workflow, "request_refusal", admitting)
    patch.setattr(parties.purchase.workflow, "agreed", lambda cloud, exchange: cloud)


def writes_without_a_lease(patch: pytest.MonkeyPatch) -> None:
    """Finding 5: two clouds write to one ledger."""
    patch.setattr(Lease, "_check", lambda self, connection: None)


def numbers_accounts(patch: pytest.MonkeyPatch) -> None:
    """Accounts are named by the numbers of nodes."""
    patch.setattr(simulations.faults.purchase.cloud, "account", lambda roster, role, node: f"{role}-{node}")


def believes_what_parties_say_they_are(patch: pytest.MonkeyPatch) -> None:
    """Finding 6: whoever says that it is a seller is one, and gets a seller's account."""
    numbers_accounts(patch)
    patch.setattr(Exchange, "roles", lambda self: None)


def loses_its_roster(patch: pytest.MonkeyPatch) -> None:
    """Finding 7: after a restart, nodes and their accounts go to whoever attaches first."""
    numbers_accounts(patch)

    class Forgetful(Roster):
        """Who has attached since the start."""

        def __init__(self, *others: Any) -> None:
            super().__init__()

        def node_id(self, urn: str) -> int:
            if urn not in self._nodes:
                self._nodes[urn] = FIRST_NODE_ID + len(self)
                self._urns[self._nodes[urn]] = urn
            return self._nodes[urn]

    patch.setattr(simulations.faults.purchase.cloud, "EnrolledRoster", Forgetful)


def counts_outages(patch: pytest.MonkeyPatch) -> None:
    """Finding 11: a workflow's time goes by the clock, also while the cloud is down."""
    start = Broker.__init__

    def by_the_clock(
        self: Broker, journal: Any, grid: Any, plays: Any, clock: Any, monotonic: Any, *others: Any
    ) -> None:
        start(self, journal, grid, plays, clock, clock, *others)

    patch.setattr(Broker, "__init__", by_the_clock)


def leaves_a_restored_cloud_alone(patch: pytest.MonkeyPatch) -> None:
    """Finding 12: a party does not follow a cloud that was restored from a backup."""
    answer = RememberingApp._answer
    seen: dict[tuple[int, str], int] = {}

    def refusing(self: RememberingApp, conversation: str, number: int, *others: Any) -> Any:
        last = seen.get((id(self._store), conversation), 0)
        if number < last:
            raise ProtocolError("this was asked and answered before")
        seen[id(self._store), conversation] = number
        return answer(self, conversation, number, *others)

    patch.setattr(RememberingApp, "_answer", refusing)


def starts_on_any_books(patch: pytest.MonkeyPatch) -> None:
    """Finding 13: nothing looks at the books, or at their file, before a cloud starts."""
    patch.setattr(protocol.storage.database, "check_file", lambda connection: None)
    patch.setattr(simulations.faults.purchase.cloud, "audit", lambda connection: SimpleNamespace(sentences=list))


def retries_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Findings 1 and 2: an exception of the cloud's own does not end a purchase."""
    end = Broker._end

    def only_typed(self: Broker, name: str, why: str) -> bool:
        if "the cloud failed" in why:
            raise RuntimeError(why)
        return end(self, name, why)

    patch.setattr(Broker, "_end", only_typed)
    begin = parties.purchase.workflow.Purchase._select

    def failing(self: Any) -> None:
        if len(self.record.offers) == 1:
            raise ZeroDivisionError
        begin(self)

    patch.setattr(parties.purchase.workflow.Purchase, "_select", failing)


def loses_what_it_has_acknowledged(patch: pytest.MonkeyPatch) -> None:
    """Finding 10: a buyer acknowledges pictures that it does not have when it comes to open them."""
    patch.setattr(Buyer, "sealed", lambda self, bid, receipt: None)


def sweeps_too_much(patch: pytest.MonkeyPatch) -> None:
    """A restart deletes what open purchases have in the vault."""
    sweep = Vault.sweep
    patch.setattr(Vault, "sweep", lambda self, kept, before: sweep(self, set(), before))


FOUND: list[tuple[Plant, str]] = [
    (pays_twice, "books"),
    (forgets_what_was_done, "exception"),
    (draws_one_data_key, "secrecy"),
    (names_sellers_to_the_buyer, "secrecy"),
    (loses_what_it_has_acknowledged, "buyer"),
    (sweeps_too_much, "vault"),
    (loses_its_roster, "books"),
]
FOUND_LATER: list[tuple[Plant, str]] = [
    (lets_numpy_read_headers, "exception"),
    (admits_any_sample, "exception"),
    (hurries_buyers, "buyer"),
    (bonds_what_is_left, "buyer"),
    (goes_on_under_other_terms, "exception"),
    (writes_without_a_lease, "exception"),
    (believes_what_parties_say_they_are, "books"),
    (counts_outages, "buyer"),
    (keeps_what_failed_purchases_hold, "books"),
    (leaves_a_restored_cloud_alone, "buyer"),
    (retries_for_ever, "exception"),
    (starts_on_any_books, "books"),
]


def found(plant: Plant, promise: str, patch: pytest.MonkeyPatch) -> None:
    plant(patch)
    campaigned = campaign("purchase", seed=1, faults=10_000, workers=1, stop_at=1)
    assert campaigned.failed, f"{plant.__name__} is not found"
    assert promise in {violation.promise for violation in campaigned.failed[0].violations}


@pytest.mark.parametrize(("plant", "promise"), FOUND)
def test_what_is_planted_is_found(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found(plant, promise, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "promise"), FOUND_LATER)
def test_what_is_planted_is_found_later(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found(plant, promise, monkeypatch)


def test_a_failure_shrinks_to_a_line_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forgets_what_was_done(monkeypatch)
    (failed,) = campaign("purchase", seed=1, faults=10_000, workers=1, stop_at=1).failed
    shrunk = shrink(failed)
    assert len(shrunk.replay.faults) <= 5
    again = run("purchase", shrunk.replay.seed, shrunk.replay.faults, shrunk.replay.without)
    assert again.digest == shrunk.digest
    assert again.violations == shrunk.violations


def test_shrinking_that_is_interrupted_returns_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    forgets_what_was_done(monkeypatch)
    (failed,) = campaign("purchase", seed=1, faults=10_000, workers=1, stop_at=1).failed
    tried: list[int] = []

    def interrupted(*arguments: Any) -> Any:
        tried.append(1)
        if len(tried) > 2:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(simulations.faults.shrink, "run", interrupted)
    shrunk = shrink(failed)
    assert len(tried) == 3
    assert {violation.promise for violation in shrunk.violations} & {each.promise for each in failed.violations}
