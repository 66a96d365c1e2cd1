"""The money of a purchase: the buyer's reserve, stakes, escrow, bonds, and the final settlement.

Every function is one ledger transaction under a key of its own: repeated, it has no further effect. All that is held
bears the name of the purchase as its scope, so that a purchase that fails gives everything back.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from parties.purchase.offer import Offer, Outcome
from protocol.messages.purchase import StatementLine
from protocol.storage.ledger import EscrowState, Hold, Ledger, Posting, Release, Transfer

MINT = "mint"
"""Where deposits come from; the only account that may be below zero."""
CLOUD = "cloud"

MILLION = 1_000_000
_ESCROW = "escrow/"


def account(role: str, node_id: int) -> str:
    """Name the account of a party, where nothing else names it."""
    return f"{role}-{node_id}"


@dataclass(frozen=True)
class Books:
    """The ledger as one purchase uses it.

    Attributes:
        scope: The name of the purchase.
        request: The request, by which effects are named.
        buyer: The buyer's account.
        sellers: The account of each seller, by node id.
    """

    ledger: Ledger
    scope: str
    request: str
    buyer: str
    sellers: Mapping[int, str]

    def stake_of(self, offer: Offer) -> Hold:
        """Return the stake on a bid."""
        return Hold(_stake(offer), self.sellers[offer.seller], offer.bid.bid.stake, "stake on a bid", self.scope)


def shares(payments: Sequence[int], rate: int) -> list[int]:
    """Split a commission of `rate` millionths on all payments among them, to whole minor units.

    They sum to the commission on the total, rounded up; each share is within one unit of its exact value.

    Examples:
        >>> shares([49, 49, 49], 50_000), shares([3], 50_000)
        ([3, 2, 3], [1])
    """
    totals = [-(-total * rate // MILLION) for total in accumulate(payments, initial=0)]
    return [after - before for before, after in pairwise(totals)]


def bond(payment: int, rate: int) -> int:
    """Return the bond on a complaint: `rate` millionths of the payment, minor units, rounded down."""
    return payment * rate // MILLION


def wanted_reserve(budget: int, commission: int, bond: int) -> int:
    """Return what a budget locks: itself, and the bonds on all that it can buy; rates in millionths.

    Examples:
        >>> wanted_reserve(1050, 50_000, 100_000)
        1150
    """
    return budget - (-payable(budget, commission) * bond // MILLION)


def largest_budget(money: int, commission: int, bond: int) -> int:
    """Return the largest budget of which `money` is enough for all that it locks; rates in millionths.

    Examples:
        >>> largest_budget(1150, 50_000, 100_000), wanted_reserve(1051, 50_000, 100_000)
        (1050, 1151)
    """
    budget = payable(money, commission, bond) * (MILLION + commission) // MILLION
    while wanted_reserve(budget + 1, commission, bond) <= money:
        budget += 1
    return budget


def payable(money: int, *rates: int) -> int:
    """Return what payments may add up to, so that they and these shares of them, in millionths, fit into the money."""
    return money * MILLION // (MILLION + sum(rates))


def open_accounts(ledger: Ledger, deposits: Mapping[str, int]) -> None:
    """Open accounts for parties without one, with their deposits."""
    parties = json.dumps(deposits, sort_keys=True).encode()

    def effect(posting: Posting) -> bytes:
        posting.open_account(MINT, overdraft=True)
        posting.open_account(CLOUD)
        new = posting.open_accounts(deposits)
        posting.transfer([Transfer(MINT, name, deposits[name], "deposit") for name in new if deposits[name]])
        return b""

    ledger.once(f"accounts/{hashlib.sha256(parties).hexdigest()}", parties, effect)


def reserve(books: Books, wanted: int) -> int:
    """Step 1: set the buyer's money aside, so that it can pay whatever it wins; return how much, if it has less."""

    def effect(posting: Posting) -> bytes:
        held = min(wanted, posting.balance(books.buyer))
        if held:
            posting.hold([Hold(_reserve(books), books.buyer, held, "what a request may cost", books.scope)])
        return str(held).encode()

    return int(books.ledger.once(f"{books.request}/reserve", str(wanted).encode(), effect))


def release_reserve(books: Books, held: int) -> None:
    """Give the buyer back what it set aside, when it has won nothing."""

    def effect(posting: Posting) -> bytes:
        posting.void([_reserve(books)] if held else [])
        return b""

    books.ledger.once(f"{books.request}/reserve/released", str(held).encode(), effect)


def lock_stakes(books: Books, offers: Sequence[Offer]) -> list[bool]:
    """Step 4: each bid locks its stake; False for bids whose seller cannot afford it."""

    def effect(posting: Posting) -> bytes:
        funds = posting.balances({books.sellers[offer.seller] for offer in offers})
        holds, locked = [], bytearray()
        for offer in offers:
            stake = books.stake_of(offer)
            locked.append(stake.amount <= funds[stake.payer])
            if locked[-1] and stake.amount:
                funds[stake.payer] -= stake.amount
                holds.append(stake)
        posting.hold(holds)
        return bytes(locked)

    return [bool(one) for one in books.ledger.once(f"{books.request}/stakes", _fingerprint(offers), effect)]


def release_stakes(books: Books, offers: Sequence[Offer]) -> None:
    """Release the stakes of bids that did not win."""

    def effect(posting: Posting) -> bytes:
        posting.void([_stake(offer) for offer in offers if offer.bid.bid.stake])
        return b""

    books.ledger.once(f"{books.request}/released/declined", _fingerprint(offers), effect)


def take_payment(books: Books, held: int, offers: Sequence[Offer], bond_rate: int) -> None:
    """Step 7: the buyer's money for each image, and the bond on a complaint about it, go into escrows of their own.

    They come out of its reserve; the rest of that is free again.
    """

    def effect(posting: Posting) -> bytes:
        posting.void([_reserve(books)] if held else [])
        holds = []
        for offer in offers:
            holds.append(Hold(_escrow(offer), books.buyer, offer.payment + offer.commission, "an image", books.scope))
            if amount := bond(offer.payment, bond_rate):
                holds.append(Hold(_bond(offer), books.buyer, amount, "bond on a complaint", books.scope))
        posting.hold(holds)
        return b""

    books.ledger.once(f"{books.request}/escrow", _fingerprint(offers), effect)


def forfeit_deposit(books: Books, held: int, deposit: int, offers: Sequence[Offer]) -> list[int]:
    """Step 7, unpaid: winners get their stakes back, and share the buyer's deposit.

    Returns:
        Each winner's share, minor units.
    """
    deposit = min(deposit, held)
    each = [deposit // len(offers) + (place < deposit % len(offers)) for place in range(len(offers))]

    def effect(posting: Posting) -> bytes:
        if held:
            payouts = {books.buyer: held - deposit}
            for offer, share in zip(offers, each, strict=True):
                payouts[books.sellers[offer.seller]] = payouts.get(books.sellers[offer.seller], 0) + share
            posting.post([Release(_reserve(books), payouts)])
        posting.void([_stake(offer) for offer in offers if offer.bid.bid.stake])
        return b""

    books.ledger.once(f"{books.request}/unpaid", _fingerprint(offers), effect)
    return each


def settle(books: Books, offers: Sequence[Offer], bond_rate: int, parties: Collection[str]) -> dict[str, int]:
    """Step 12: pay out, refund and penalise, all in one transaction; return the balances of these parties.

    ============  =====================  ==================  ==================
    outcome       escrow                 stake               bond
    ============  =====================  ==================  ==================
    accepted      to seller and cloud    back to the seller  back to the buyer
    undelivered   back to the buyer      to the buyer        back to the buyer
    lost          back to the buyer      back to the seller  back to the buyer
    unclaimed     back to the buyer      back to the seller  to the seller
    refunded      back to the buyer      to the buyer        back to the buyer
    upheld        to seller and cloud    back to the seller  to the seller
    ============  =====================  ==================  ==================

    A seller that was never asked to deliver, for lack of time, keeps its stake, as does one that proves that its order
    is not the buyer's (`convicts`).
    """

    def effect(posting: Posting) -> bytes:
        post: list[Release] = []
        void: list[str] = []
        for offer in offers:
            seller = books.sellers[offer.seller]
            if offer.paid:
                post.append(Release(_escrow(offer), {seller: offer.payment, CLOUD: offer.commission}))
            else:
                void.append(_escrow(offer))
            if offer.bid.bid.stake and offer.forfeited:
                post.append(Release(_stake(offer), {books.buyer: offer.bid.bid.stake}))
            elif offer.bid.bid.stake:
                void.append(_stake(offer))
            if (amount := bond(offer.payment, bond_rate)) and offer.outcome in (Outcome.UPHELD, Outcome.UNCLAIMED):
                post.append(Release(_bond(offer), {seller: amount}))
            elif amount:
                void.append(_bond(offer))
        posting.post(post)
        posting.void(void)
        return json.dumps(posting.balances(parties)).encode()

    balances: dict[str, int] = json.loads(
        books.ledger.once(f"{books.request}/settlement", _fingerprint(offers), effect)
    )
    return balances


def bought(ledger: Ledger, scope: str, buyer: str) -> list[StatementLine]:
    """Return what became of each image that a buyer ordered in a purchase that has ended, by the ledger alone."""
    return [
        StatementLine(
            bid=bytes.fromhex(escrow.escrow_id.removeprefix(_ESCROW)),
            outcome=str(Outcome.ACCEPTED if escrow.state is EscrowState.POSTED else Outcome.REFUNDED),
            amount=-escrow.amount if escrow.state is EscrowState.POSTED else 0,
        )
        for escrow in ledger.escrows(scope)
        if escrow.payer == buyer and escrow.escrow_id.startswith(_ESCROW)
    ]


def _reserve(books: Books) -> str:
    return f"reserve/{books.request}"


def _escrow(offer: Offer) -> str:
    return f"{_ESCROW}{offer.bid_id.hex()}"


def _stake(offer: Offer) -> str:
    return f"stake/{offer.bid_id.hex()}"


def _bond(offer: Offer) -> str:
    return f"bond/{offer.bid_id.hex()}"


def _fingerprint(offers: Sequence[Offer]) -> bytes:
    """Hash what a replay has to repeat: the same offers with the same outcomes."""
    hashed = hashlib.sha256()
    for offer in offers:
        hashed.update(offer.bid_id + f"{offer.outcome}/{offer.payment}/{offer.commission};".encode())
    return hashed.digest()
