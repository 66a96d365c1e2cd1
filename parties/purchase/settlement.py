"""The money of a purchase: stakes, escrow, bonds, and the final settlement.

Every function is one ledger transaction under a key of its own: repeated, it has no further effect.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, pairwise

from parties.purchase.offer import Offer, Outcome
from protocol.storage.ledger import Hold, Ledger, Posting, Release, Transfer

MINT = "mint"
"""Where deposits come from; the only account that may be below zero."""
CLOUD = "cloud"


def account(role: str, node_id: int) -> str:
    """Name the account of a party."""
    return f"{role}-{node_id}"


def shares(payments: Sequence[int], rate: int) -> list[int]:
    """Split a commission of `rate` millionths on all payments among them, to whole minor units.

    They sum to the commission on the total, rounded down; each share is within one unit of its exact value.

    Examples:
        >>> shares([49, 49, 49], 50_000)
        [2, 2, 3]
    """
    totals = [total * rate // 1_000_000 for total in accumulate(payments, initial=0)]
    return [after - before for before, after in pairwise(totals)]


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


def lock_stakes(ledger: Ledger, request: str, offers: Sequence[Offer]) -> list[bool]:
    """Step 4: each bid locks its stake; False for bids whose seller cannot afford it."""

    def effect(posting: Posting) -> bytes:
        funds = posting.balances({account("seller", offer.seller) for offer in offers})
        holds, locked = [], bytearray()
        for offer in offers:
            payer, amount = account("seller", offer.seller), offer.bid.bid.stake
            locked.append(amount <= funds[payer])
            if locked[-1] and amount:
                funds[payer] -= amount
                holds.append(Hold(_stake(offer), payer, amount, "stake on a bid"))
        posting.hold(holds)
        return bytes(locked)

    return [bool(one) for one in ledger.once(f"{request}/stakes", _fingerprint(offers), effect)]


def release_stakes(ledger: Ledger, request: str, offers: Sequence[Offer], why: str) -> None:
    """Release the stakes of bids that are out."""

    def effect(posting: Posting) -> bytes:
        posting.void([_stake(offer) for offer in offers if offer.bid.bid.stake])
        return b""

    ledger.once(f"{request}/released/{why}", _fingerprint(offers), effect)


def take_payment(ledger: Ledger, request: str, buyer: str, offers: Sequence[Offer]) -> bool:
    """Step 7: the buyer's money for each image goes into an escrow of its own; False when it has too little."""

    def effect(posting: Posting) -> bytes:
        if posting.balance(buyer) < sum(offer.payment + offer.commission for offer in offers):
            return b"refused"
        posting.hold([Hold(_escrow(offer), buyer, offer.payment + offer.commission, "an image") for offer in offers])
        return b"taken"

    return ledger.once(f"{request}/escrow", _fingerprint(offers), effect) == b"taken"


def lock_bonds(ledger: Ledger, request: str, buyer: str, complaints: Sequence[Offer], rate: int) -> int:
    """Step 11: each complaint locks its `bond`; return how many, from the first on, the buyer can afford."""

    def effect(posting: Posting) -> bytes:
        bonds = [bond(offer, rate) for offer in complaints]
        funds = posting.balance(buyer)
        affordable = sum(total <= funds for total in accumulate(bonds))
        held = zip(complaints[:affordable], bonds, strict=False)
        posting.hold([Hold(_bond(offer), buyer, amount, "bond on a complaint") for offer, amount in held if amount])
        return str(affordable).encode()

    return int(ledger.once(f"{request}/bonds", _fingerprint(complaints), effect))


def bond(offer: Offer, rate: int) -> int:
    """Return the bond on a complaint about this offer: `rate` millionths of its payment, minor units, rounded down."""
    return offer.payment * rate // 1_000_000


def settle(
    ledger: Ledger, request: str, buyer: str, offers: Sequence[Offer], bond_rate: int, parties: Collection[str]
) -> dict[str, int]:
    """Step 12: pay out, refund and penalise, all in one transaction; return the balances of these parties.

    ============  =====================  ==================  ==================
    outcome       escrow                 stake               bond
    ============  =====================  ==================  ==================
    accepted      to seller and cloud    back to the seller  (none)
    undelivered   back to the buyer      to the buyer        (none)
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
            seller = account("seller", offer.seller)
            if offer.paid:
                post.append(Release(_escrow(offer), {seller: offer.payment, CLOUD: offer.commission}))
            else:
                void.append(_escrow(offer))
            if offer.bid.bid.stake and offer.forfeited:
                post.append(Release(_stake(offer), {buyer: offer.bid.bid.stake}))
            elif offer.bid.bid.stake:
                void.append(_stake(offer))
            if offer.outcome is Outcome.REFUNDED and bond(offer, bond_rate):
                void.append(_bond(offer))
            elif offer.outcome is Outcome.UPHELD and bond(offer, bond_rate):
                post.append(Release(_bond(offer), {seller: bond(offer, bond_rate)}))
        posting.post(post)
        posting.void(void)
        return json.dumps(posting.balances(parties)).encode()

    balances: dict[str, int] = json.loads(ledger.once(f"{request}/settlement", _fingerprint(offers), effect))
    return balances


def _escrow(offer: Offer) -> str:
    return f"escrow/{offer.bid_id.hex()}"


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
