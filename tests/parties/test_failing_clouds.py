"""A cloud that fails, is changed or loses something gives everything back, and says why."""

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Play, small
from durable import BUYER, NOON, WISH, Crash, Town
from test_crashes import At

from parties.broker import name_of
from parties.purchase.basket import MOST_REQUESTS
from parties.purchase.buyer import Buyer
from parties.purchase.seller import Seller
from parties.workflow import WorkflowFailed
from protocol.journal import Journal, WorkflowState
from protocol.messages.purchase import Bids, CallForBids, Invitation, Invoice, SignedPayment, VouchedRequest
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault

NAME = name_of(BUYER, WISH)


def nothing_is_held(ledger: Ledger) -> None:
    assert ledger.balances()["escrow"] == 0
    assert not [escrow for escrow in ledger.escrows() if escrow.state == "pending"]


def test_new_terms_are_for_new_purchases(tmp_path: Path) -> None:
    """An operator may change commission, stakes and patience while purchases are open."""
    whole, broken = Town(tmp_path / "whole"), Town(tmp_path / "broken")
    whole.play()
    with pytest.raises(Crash):
        broken.play(At("question pay"))
    broken.change_cloud = lambda cloud: replace(
        cloud, terms=cloud.terms.model_copy(update={"commission": 900_000, "stake": 0, "bond": 0}), patience=1.0
    )
    broken.play()
    assert broken.outcome() == whole.outcome()


@pytest.mark.parametrize("dies", ["question bid", "question pay", "question deliver", "question verify"])
def test_a_cloud_that_has_lost_its_secret_gives_everything_back(tmp_path: Path, dies: str) -> None:
    town = Town(tmp_path)
    with pytest.raises(Crash):
        town.play(At(dies))
    town.change_cloud = lambda cloud: replace(cloud, secret=bytes(32))
    town.play()
    with closing(Ledger(town.url)) as ledger:
        row = Journal(ledger.database, Vault(str(tmp_path / "vault"))).workflow(NAME)
        assert row.state is WorkflowState.FAILED
        assert "secret" in row.note
        nothing_is_held(ledger)
        names = {"mint", "cloud", "escrow"}
        brought = {entry.account: entry.amount for entry in ledger.entries() if entry.memo == "deposit"}
        assert {k: v for k, v in ledger.balances().items() if k not in names} == {
            k: v for k, v in brought.items() if k not in names
        }


@pytest.mark.parametrize("step", [3, 5, 7, 8, 9])
def test_a_fault_of_the_clouds_ends_a_purchase_and_gives_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It is not played again for ever."""
    reach = Journal.reach

    def fails(self: Journal, name: str, number: int) -> None:
        reach(self, name, number)
        if number == step:
            raise ZeroDivisionError("a fault of the cloud's")

    monkeypatch.setattr(Journal, "reach", fails)
    town = Town(tmp_path)
    with town.alive() as (broker, _), broker:
        row = broker.wait(broker.open("purchase", BUYER, WISH), 60)
    assert row.state is WorkflowState.FAILED
    assert row.note == f"the cloud failed at step {step}: ZeroDivisionError: a fault of the cloud's"
    with closing(Ledger(town.url)) as ledger:
        nothing_is_held(ledger)
        assert all(entry.memo == "deposit" or "/" in entry.memo for entry in ledger.entries())
    assert list((tmp_path / "vault").iterdir()) == []


def test_a_workflow_that_this_cloud_does_not_play_ends(tmp_path: Path) -> None:
    town = Town(tmp_path)
    with town.alive() as (broker, _), broker:
        row = broker.wait(broker.open("barter", BUYER, WISH), 60)
    assert (row.state, row.note) == (WorkflowState.FAILED, "this cloud does not play barter")


@pytest.mark.parametrize("step", ["request", "bid", "pay", "deliver"])
def test_an_operator_ends_a_purchase(tmp_path: Path, step: str) -> None:
    """While the cloud waits for an answer; what comes afterwards has no effect."""
    town, asked, ended = Town(tmp_path), threading.Event(), threading.Event()

    def point(kind: str) -> None:
        if kind == f"question {step}":
            asked.set()
            assert ended.wait(60)

    with town.grid(point) as grid, town.alive(grid=grid) as (broker, _), broker:
        name = broker.open("purchase", BUYER, WISH)
        assert asked.wait(60)
        assert broker.abort(name, "ended by the operator")
        ended.set()
        row = broker.wait(name, 60)
    assert (row.state, row.note) == (WorkflowState.FAILED, "ended by the operator")
    with closing(Ledger(town.url)) as ledger:
        nothing_is_held(ledger)


def test_the_clouds_clock_may_jump(tmp_path: Path) -> None:
    """Forwards by a year, and back."""
    whole, jumping = Town(tmp_path / "whole"), Town(tmp_path / "jumping")
    whole.play()
    times = iter(range(10_000))
    jumping.clock = lambda: NOON + (next(times) % 2) * 365 * 86_400
    jumping.play()
    assert jumping.outcome() == whole.outcome()


class AskedAgain(Seller):
    """Is asked for bids once more, by a cloud that goes back to the first time afterwards."""

    def bid(self, call: CallForBids) -> Bids:
        first = super().bid(call)
        super().bid(call.model_copy(update={"expires_at": call.expires_at + 60}))
        return first


class InvitedAgain(Buyer):
    """Is invited under other terms as well, by a cloud that goes back to the first ones afterwards."""

    def request(self, invitation: Invitation) -> VouchedRequest:
        first = super().request(invitation)
        free = invitation.terms.model_copy(update={"commission": 0, "tolerance": invitation.terms.tolerance + 1})
        super().request(invitation.model_copy(update={"terms": free}))
        return first


@pytest.mark.parametrize("cast", [{"sellers": AskedAgain}, {"buyer": InvitedAgain}])
def test_a_cloud_that_is_restored_twice_may_go_back_to_an_earlier_bid_or_to_earlier_terms(
    play_purchase: Play, cast: dict[str, Any]
) -> None:
    played = play_purchase(small(), **cast)
    assert not played.record.failures
    assert played.outcome.verified == played.outcome.selected > 0


class InvitedOften(Buyer):
    """Is invited under ever other terms."""

    def request(self, invitation: Invitation) -> VouchedRequest:
        for stake in range(1, 1 + MOST_REQUESTS):
            super().request(
                invitation.model_copy(update={"terms": invitation.terms.model_copy(update={"stake": stake})})
            )
        return super().request(invitation)


def test_a_buyer_makes_so_many_requests(play_purchase: Play) -> None:
    with pytest.raises(WorkflowFailed, match="made 100 requests in this purchase, which is the most"):
        play_purchase(small(), buyer=InvitedOften)


class InvoicedAgain(Buyer):
    """Is asked to pay something else as well, by a cloud that goes back to the first invoice afterwards."""

    def pay(self, invoice: Invoice) -> SignedPayment:
        super().pay(invoice.model_copy(update={"items": invoice.items[:1], "deliver_by": invoice.deliver_by - 60}))
        first = super().pay(invoice)
        super().pay(invoice.model_copy(update={"deliver_by": invoice.deliver_by + 60}))
        assert super().pay(invoice) == first
        super().pay(invoice.model_copy(update={"deliver_by": invoice.deliver_by + 120}))
        return first  # the payment of it is on record: the cloud does not ask again


def test_a_cloud_that_is_restored_twice_may_go_back_to_an_earlier_invoice(play_purchase: Play) -> None:
    played = play_purchase(small(), buyer=InvoicedAgain)
    assert not played.record.failures
    assert played.outcome.verified == played.outcome.selected > 1
    files = sorted(path.name for path in played.world.buyer.store.glob("*.png"))
    assert files == [f"{number:05d}.png" for number in range(played.outcome.verified)]
