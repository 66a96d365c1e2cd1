"""What must be true when a town has come to rest.

The contract of each role, in words:

- *The books*: all balances sum to zero, each is the sum of its entries, none but the mint's is below zero, and nothing
  is held once a purchase is over.
- *A buyer* pays for a picture if and only if it has it, opened and as promised, and never more than its budget. It
  loses neither deposit nor bond.
- *A seller* is paid for each of its pictures that a buyer has. It loses no stake.
- *Everybody*: no picture is anywhere but with its seller and the buyer who paid, and no program raises anything but a
  typed refusal.

This holds for an honest party whatever others do: cheats, the cloud's host, the network. It does not hold for a party
whose own disk lost or changed what it had committed, nor for one that was away, all told, for longer than
`LONG_AWAY`, which nobody can tell from silence. A cloud that is set back to an older state cannot know what it gave
away since; it takes nothing from anybody then, but a buyer may keep what it got.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from parties.purchase.buyer import REFUSED
from parties.purchase.seller import Seller
from simulations.faults.parties import BuyerMachine, PartyMachine

if TYPE_CHECKING:
    from simulations.faults.town import Town

LONG_AWAY = 120.0
"""Seconds, of the `PATIENCE` that a party has for an answer, all its outages together."""


def check(town: "Town") -> None:
    """Note every promise that was broken."""
    if town.closed:
        return
    try:
        books(town)
        pictures(town)
        town.secrecy.on_disk()
    except sqlite3.DatabaseError as error:
        town.violated("books", f"the cloud's books cannot be read: {error}")


def books(town: "Town") -> None:
    """Check the money."""
    rows = town.cloud.disk.rows
    balances = {
        name: (balance, overdraft) for name, balance, overdraft in rows("SELECT name, balance, overdraft FROM accounts")
    }
    if total := sum(balance for balance, _ in balances.values()):
        town.violated("books", f"balances sum to {total}")
    entries = dict(rows("SELECT account, sum(amount) FROM entries GROUP BY account"))
    for name, (balance, overdraft) in balances.items():
        if balance != entries.get(name, 0):
            town.violated("books", f"{name} has {balance}, and its entries sum to {entries.get(name, 0)}")
        if balance < 0 and not overdraft:
            town.violated("books", f"{name} is at {balance}")
    pending = rows("SELECT escrow_id, amount FROM escrows WHERE state = 'pending'")
    over = not rows("SELECT name FROM workflows WHERE state = 'open'")
    if pending and over:
        town.violated("books", f"{len(pending)} escrows are pending, and no purchase is open: {pending[0][0][:14]}")


def excused(town: "Town", party: PartyMachine) -> bool:
    """Whether a party has itself to blame, or its host, or was away for too long."""
    return not party.honest or bool(party.lost) or party.down + party.link.trouble > LONG_AWAY


def pictures(town: "Town") -> None:
    """Compare what was paid with who has which picture, and see that honest parties kept their stakes and bonds."""
    states = dict(town.cloud.disk.rows("SELECT escrow_id, state FROM escrows"))
    paid = {bid for bid in town.bids if states.get(f"escrow/{bid.hex()}") == "posted"}
    for payer, state in town.cloud.disk.rows("SELECT payer, state FROM escrows WHERE escrow_id LIKE 'reserve/%'"):
        buyer = next(each for each in town.buyers if each.name == payer)
        if state == "posted" and not excused(town, buyer):
            town.violated("buyer", f"honest {payer} lost its deposit")
    for bid, (node, _) in town.bids.items():
        if states.get(f"stake/{bid.hex()}") == "posted" and not excused(town, town.parties[node]):
            town.violated("seller", f"honest {town.parties[node].name} lost the stake on {bid.hex()[:8]}")
    for buyer in town.buyers:
        invoiced = town.invoices.get(buyer.node, [])
        found = dict(folder(buyer))
        for number, bid in enumerate(invoiced):
            seller, promised = town.parties[town.bids[bid][0]], bid in paid
            pixels = found.get((number, True))
            if not excused(town, buyer):
                if states.get(f"bond/{bid.hex()}") == "posted":
                    town.violated("buyer", f"honest {buyer.name} lost the bond on picture {number}")
                if promised and pixels is None:
                    town.violated("buyer", f"honest {buyer.name} paid for picture {number} and does not have it")
                if pixels is not None and not promised and not town.cloud.lost:
                    town.violated("seller", f"honest {buyer.name} has picture {number} and did not pay")
                if promised and seller.honest and pixels is not None and not _is_of(town, seller, bid, pixels):
                    town.violated("buyer", f"picture {number} of honest {buyer.name} is not the one that it paid for")
            kept = pixels if pixels is not None else found.get((number, False))
            unpaid = kept is not None and not promised and not town.cloud.lost
            if unpaid and seller.honest and _is_of(town, seller, bid, kept):
                town.violated("seller", f"{buyer.name} has picture {number} of honest {seller.name} unpaid")
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


def _is_of(town: "Town", seller: PartyMachine, bid: bytes, pixels: np.ndarray) -> bool:
    """Whether a picture is the one that a seller has bid."""
    made, signed = seller.party(), town.bids[bid][1].bid
    assert isinstance(made, Seller)
    return any(
        made.pseudonym(signed.request_id, index).public == signed.pseudonym and np.array_equal(picture, pixels)
        for index, picture in enumerate(town.albums[seller.node])
    )


def outcomes(town: "Town") -> Counter[str]:
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
    said = {"posted": "pictures sold", "voided": "pictures refunded"}
    return Counter(
        {f"purchases {state}": number for state, number in states}
        | {said.get(state, f"pictures {state}"): number for state, number in escrows}
    )


def _balance(town: "Town", party: PartyMachine) -> int:
    rows = town.cloud.disk.rows(f"SELECT balance FROM accounts WHERE name = '{party.name}'")
    return int(rows[0][0]) if rows else town.deposits[party.name.partition("-")[0]]
