"""What must be true when a market has come to rest.

The contract of each role, in words:

- *The books*: accounts are those of the parties' certificates, all balances sum to zero, each is the sum of its
  entries, none but the mint's is below zero, and nothing is held once a purchase is over.
- *A buyer* pays for a picture if and only if it has it, opened and as promised, and never more than its budget. What it
  says of its pictures is heard. It loses neither deposit nor bond.
- *A seller* is paid for each of its pictures that a buyer has. It loses no stake.
- *The vault* has each picture for as long as its purchase needs it, unless the disk has lost it.
- *Everybody*: no picture is anywhere but with its seller and the buyer who paid, and no program raises anything but a
  typed refusal.

This holds for an honest party whatever others do: cheats, the cloud's host, the network. It does not hold for a party
whose own disk lost or changed what it had committed, nor for one that was away, all told, for longer than
`LONG_AWAY`, which nobody can tell from silence. A cloud that is set back to an older state cannot know what it gave
away since; it takes nothing from anybody then, but a buyer may keep what it got.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from parties.purchase.buyer import REFUSED
from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from parties.purchase.settlement import MINT
from protocol.storage.ledger.audit import audit
from protocol.storage.tables import ESCROW
from simulations.faults.parties import PartyMachine
from simulations.faults.purchase.parties import BuyerMachine

if TYPE_CHECKING:
    from simulations.faults.purchase.town import PurchaseTown

LONG_AWAY = 360.0
"""Seconds, of the `PATIENCE` that a party has for an answer, all its outages together."""


def check(town: "PurchaseTown") -> None:
    """Note every promise that was broken."""
    try:
        books(town)
        market = Market(
            dict(town.cloud.disk.rows("SELECT escrow_id, state FROM escrows")),
            bool(town.cloud.lost),
        )
        payouts(town, market)
        lost_pictures(town, market)
        for seller in town.sellers:
            kept_stakes(town, market, seller)
        for buyer in town.buyers:
            purchase(town, market, buyer)
        town.secrecy.on_disk()
    except sqlite3.DatabaseError as error:
        town.violated("books", f"the cloud's books cannot be read: {error}")


@dataclass(frozen=True)
class Market:
    """How all escrows stand, and whether the cloud has lost something that it had committed."""

    states: dict[str, str]
    set_back: bool

    def posted(self, escrow: str) -> bool:
        """Whether money was paid out."""
        return self.states.get(escrow) == "posted"

    def sold(self, bid: bytes) -> bool:
        """Whether a picture was paid for."""
        return self.posted(f"escrow/{bid.hex()}")


def books(town: "PurchaseTown") -> None:
    """Check the money: by the program's own audit, and once more."""
    with town.cloud.disk.engine(watched=False).connect() as connection, connection.begin():
        for sentence in audit(connection).sentences():
            town.violated("books", sentence)
    rows = town.cloud.disk.rows
    balances = {
        name: (balance, overdraft) for name, balance, overdraft in rows("SELECT name, balance, overdraft FROM accounts")
    }
    if total := sum(balance for balance, _ in balances.values()):
        town.violated("books", f"balances sum to {total}")
    entries = dict(rows("SELECT account, sum(amount) FROM entries GROUP BY account"))
    for name in sorted(balances.keys() - town.machines.keys() - {MINT, ESCROW}):
        town.violated("books", f"{name} has an account, and nobody's certificate names it")
    for name, (balance, overdraft) in balances.items():
        if balance != entries.get(name, 0):
            town.violated("books", f"{name} has {balance}, and its entries sum to {entries.get(name, 0)}")
        if balance < 0 and not overdraft:
            town.violated("books", f"{name} is at {balance}")
    pending = rows("SELECT escrow_id, amount FROM escrows WHERE state = 'pending'")
    if pending and not rows("SELECT name FROM workflows WHERE state = 'open'"):
        town.violated("books", f"{len(pending)} escrows are pending, and no purchase is open: {pending[0][0][:14]}")


def payouts(town: "PurchaseTown", market: Market) -> None:
    """See that each picture was paid for once, as invoiced, and that no other money came to anybody."""
    paid: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for memo, account, amount in town.cloud.disk.rows("SELECT memo, account, amount FROM entries"):
        paid[memo][account] += amount
    for invoiced in town.invoices.values():
        for bid, amounts in invoiced.items():
            escrow, seller = f"escrow/{bid.hex()}", town.parties[town.bids[bid][0]].name
            want = [+Counter({seller: payment, "cloud": commission}) for payment, commission in amounts]
            got = +paid.get(f"post {escrow}", Counter())
            if market.posted(escrow) and got not in want:
                town.violated("books", f"picture {bid.hex()[:8]} paid {dict(got)} and none of {list(map(dict, want))}")
    for memo in paid:
        verb, _, escrow = memo.partition(" ")
        if memo != "deposit" and not (verb in ("hold", "post", "void") and escrow in market.states):
            town.violated("books", f"money moved for {memo!r}")
    for party in town.parties.values():
        if paid["deposit"][party.name] not in (0, town.deposits[party.role]):
            town.violated("books", f"{party.name} got {paid['deposit'][party.name]} as its deposit")


def excused(town: "PurchaseTown", party: PartyMachine) -> bool:
    """Whether a party has itself to blame, or its host, or was away for too long."""
    return not party.honest or bool(party.lost) or party.down + party.link.trouble > LONG_AWAY


def kept_stakes(town: "PurchaseTown", market: Market, seller: PartyMachine) -> None:
    """See that an honest seller has all its stakes."""
    for bid, (node, _) in town.bids.items():
        if node == seller.node and market.posted(f"stake/{bid.hex()}") and not excused(town, seller):
            town.violated("seller", f"honest {seller.name} lost the stake on {bid.hex()[:8]}")


def lost_pictures(town: "PurchaseTown", market: Market) -> None:
    """See that no picture is lost by a cloud whose disk has lost nothing."""
    for name, record in town.cloud.records.items():
        for offer in record.winners:
            if offer.outcome is Outcome.LOST and not market.set_back:
                town.violated("vault", f"the cloud has lost picture {offer.bid_id.hex()[:8]} of {name}")


def purchase(town: "PurchaseTown", market: Market, buyer: BuyerMachine) -> None:
    """Compare what a buyer paid with the pictures that it has."""
    found = dict(folder(buyer))
    for number, bid in enumerate(town.invoices.get(buyer.node, {})):
        seller = town.parties[town.bids[bid][0]]
        good, bad = found.get((number, True)), found.get((number, False))
        if not excused(town, buyer):
            if market.posted(f"bond/{bid.hex()}"):
                town.violated("buyer", f"honest {buyer.name} lost the bond on picture {number}")
            if market.sold(bid) and good is None:
                town.violated("buyer", f"honest {buyer.name} paid for picture {number} and does not have it")
            if good is not None and not market.sold(bid) and not market.set_back:
                town.violated("seller", f"honest {buyer.name} has picture {number} and did not pay")
            if market.sold(bid) and good is not None and seller.honest and not _is_of(town, seller, bid, good):
                town.violated("buyer", f"picture {number} of honest {buyer.name} is not the one that it paid for")
        kept = bad if good is None else good
        free = seller.honest and not market.sold(bid) and not market.set_back
        if free and kept is not None and _is_of(town, seller, bid, kept):
            town.violated("seller", f"{buyer.name} has picture {number} of honest {seller.name} unpaid")
    if not excused(town, buyer):
        rows = town.cloud.disk.rows(
            f"SELECT 1 FROM escrows WHERE payer = '{buyer.name}' AND escrow_id LIKE 'reserve/%' AND state = 'posted'"
        )
        if rows:
            town.violated("buyer", f"honest {buyer.name} lost its deposit")
        for failure in town.cloud.records[buyer.purchase].failures if buyer.purchase in town.cloud.records else ():
            if (failure.step, failure.node_id) == ("verify", buyer.node):
                town.violated("buyer", f"honest {buyer.name} is not heard: {failure.sentence}")
    spent = town.deposits["buyer"] - _balance(town, buyer)
    if buyer.honest and spent > town.budget:
        town.violated("buyer", f"honest {buyer.name} spent {spent} of a budget of {town.budget}")


def folder(buyer: BuyerMachine) -> Iterator[tuple[tuple[int, bool], np.ndarray]]:
    """Yield the pictures that a buyer has opened: number, and whether it was as promised."""
    bought = buyer.disk.folder / "bought"
    for path in sorted([*bought.glob("*.png"), *bought.glob(f"{REFUSED}/*.png")]):
        try:
            with Image.open(path) as image:
                yield (int(path.stem), path.parent == bought), np.asarray(image)
        except OSError:
            continue  # its disk is rotten


def _is_of(town: "PurchaseTown", seller: PartyMachine, bid: bytes, pixels: np.ndarray) -> bool:
    """Whether a picture is the one that a seller has bid."""
    made, signed = seller.party(), town.bids[bid][1].bid
    assert isinstance(made, Seller)
    return any(
        made.pseudonym(signed.request_id, index).public == signed.pseudonym and np.array_equal(picture, pixels)
        for index, picture in enumerate(town.albums[seller.node])
    )


def outcomes(town: "PurchaseTown") -> Counter[str]:
    """Count what became of purchases and pictures."""
    if town.closed:
        return Counter({"worlds left to the operator": 1})
    try:
        states = town.cloud.disk.rows("SELECT state, count(*) FROM workflows GROUP BY state")
        escrows = town.cloud.disk.rows(
            "SELECT state, count(*) FROM escrows WHERE escrow_id LIKE 'escrow/%' GROUP BY state"
        )
    except sqlite3.DatabaseError:
        return Counter()
    honest = [party for party in town.parties.values() if party.honest]
    watched = sum(not excused(town, party) for party in honest)
    said = {"posted": "pictures sold", "voided": "pictures refunded"}
    return Counter(
        {f"purchases {state}": number for state, number in states}
        | {"honest parties": len(honest), "honest parties held harmless": watched}
        | {said.get(state, f"pictures {state}"): number for state, number in escrows}
    )


def _balance(town: "PurchaseTown", party: PartyMachine) -> int:
    rows = town.cloud.disk.rows(f"SELECT balance FROM accounts WHERE name = '{party.name}'")
    return int(rows[0][0]) if rows else town.deposits[party.role]
