"""Requests of parties to a running cloud, beside the workflows that it drives.

===============  ==================  =====================  ================================
method           asked by            the party says         the cloud answers
===============  ==================  =====================  ================================
``health``       everybody           `AskHealth`            `Health`
``purchase``     buyers              `BeginPurchase`        `PurchaseStanding`
``statement``    buyers              `AskStatement`         `Statement`
``cancel``       buyers              `CancelPurchase`       `PurchaseStanding`
``abort``        operators           `AbortPurchase`        `PurchaseStanding`
``drain``        operators           `Drain`                `DrainStanding`
``status``       operators           `AskStatus`            `Status`
``pool``         operators           `BeginPool`            `PoolStanding`
``move``         operators           `MoveMoney`            `AccountPage`
``account``      everybody           `AskAccount`           `AccountPage`
===============  ==================  =====================  ================================
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, MaxLen

from protocol.messages.base import ProtocolMessage
from protocol.messages.pool import Rules, Share

HEALTH, PURCHASE, STATEMENT, ABORT, STATUS, POOL = "health", "purchase", "statement", "abort", "status", "pool"
CANCEL, DRAIN, MOVE, ACCOUNT = "cancel", "drain", "move", "account"
PARTIES, PURCHASES, LINES = 1_000, 100, 500
"""Parties, purchases and lines of the ledger that one answer lists, at most: it fits in a frame."""
MOST_MOVED = 10**12
"""The most that an operator moves at once, minor units."""

Text = Annotated[str, MaxLen(1000)]
Wish = Annotated[bytes, Len(1, 32)]


class AskHealth(ProtocolMessage):
    """A party asks whether the cloud is there and lets it in."""


class Health(ProtocolMessage):
    """The cloud's clock (Unix seconds) and release of Parley."""

    time: float
    release: Text


class BeginPurchase(ProtocolMessage):
    """Begin a purchase of this name for me; asked again, return its state.

    It is not begun if the account does not hold the `budget`, minor units, and the bonds on all that it can buy.
    """

    version = 2

    wish: Wish
    budget: Annotated[int, Ge(0)] = 0


class PurchaseStanding(ProtocolMessage):
    """The state of a purchase: ``open``, ``ended`` or ``failed``; its step; why it failed."""

    name: Text
    buyer: Text
    state: Text
    step: Annotated[int, Ge(0)]
    begun_at: float
    note: Text


class AskStatement(ProtocolMessage):
    """Tell me what became of my purchase of this name, which has ended, and what its images open with."""

    wish: Wish


class CancelPurchase(ProtocolMessage):
    """End my purchase of this name, which is not to be paid yet, and give back all that it holds."""

    wish: Wish


class AbortPurchase(ProtocolMessage):
    """End the purchase of this name, before its images are opened, and give back all that it holds."""

    name: Text


class Drain(ProtocolMessage):
    """Begin no purchase and no pool from now on, until this is taken back (`on` False) or the cloud starts again."""

    on: bool = True


class DrainStanding(ProtocolMessage):
    """Whether the cloud begins nothing new, and how many purchases and pools run."""

    draining: bool
    running: Annotated[int, Ge(0)]


class AskStatus(ProtocolMessage):
    """An operator asks for the state of everything, a page of it.

    Listed are the parties after a node, and purchases, those that run first and then the latest, without so many.
    """

    after: Annotated[int, Ge(0)] = 0
    without: Annotated[int, Ge(0), Le(10**12)] = 0


class PartyStanding(ProtocolMessage):
    """A party that has ever attached, and the money on its account, minor units; None: it has not traded yet.

    `rival` is the address from which another process tried to attach with its certificate while it was attached.
    """

    version = 2

    urn: Text
    node_id: Annotated[int, Ge(0)]
    attached: bool
    balance: int | None = None
    rival: Text = ""


class Status(ProtocolMessage):
    """Parties, purchases, and the money in escrow and earned by the cloud, minor units.

    `known` and `attached` count all parties, the others all purchases by their state.
    """

    version = 2

    time: float
    release: Text
    known: Annotated[int, Ge(0)]
    attached: Annotated[int, Ge(0)]
    open: Annotated[int, Ge(0)]
    ended: Annotated[int, Ge(0)]
    failed: Annotated[int, Ge(0)]
    parties: Annotated[tuple[PartyStanding, ...], MaxLen(PARTIES)]
    purchases: Annotated[tuple[PurchaseStanding, ...], MaxLen(PURCHASES)]
    escrow: Annotated[int, Ge(0)]
    earned: int


class BeginPool(ProtocolMessage):
    """Begin a pool with these rules among the attached entities; asked again, return its state.

    Entities have `patience` seconds for each step; with fewer than `entities` it is not begun. `publisher` is the name
    of the entity that pre-trains; none: the first one enrolled.
    """

    rules: Rules
    entities: Annotated[int, Ge(2), Le(10_000)]
    patience: Annotated[float, Gt(0), Le(30 * 86_400)]
    publisher: Text = ""


class EntityStanding(ProtocolMessage):
    """An entity of a pool: how many images it trains on, and its results so far.

    `clean` and `poisoned` are the published decider's accuracy on its features; `top1` is its refined decider's, on the
    images it has held back. It has put `pooled` features into the pool, and refined its decider on `used` features of
    others. `note` says what went wrong.
    """

    urn: Text
    samples: Annotated[int, Ge(0)]
    pooled: Annotated[int, Ge(0)]
    used: Annotated[int, Ge(0)] | None = None
    clean: Share | None = None
    poisoned: Share | None = None
    top1: Share | None = None
    note: Text = ""


class PoolStanding(ProtocolMessage):
    """The state of a pool: ``open``, ``closed`` or ``failed``; its step; why it failed."""

    state: Text
    step: Annotated[int, Ge(0)]
    entities: Annotated[tuple[EntityStanding, ...], MaxLen(10_000)]
    publisher: Text
    note: Text


class MoveMoney(ProtocolMessage):
    """Put money into the account of a buyer or a seller, or take it out, where `amount` is negative; minor units.

    `party` is its name or URN. The same `reference` moves money once, however often it is said.
    """

    party: Text
    amount: Annotated[int, Ge(-MOST_MOVED), Le(MOST_MOVED)]
    reference: Annotated[str, Len(1, 200)]


class AskAccount(ProtocolMessage):
    """Tell me the state of an account, and its lines after one: of a party by name or URN; by default, my own.

    An operator may ask for everybody's, and for the lines of all accounts, ``*``.
    """

    party: Text = ""
    after: Annotated[int, Ge(0)] = 0


class AccountLine(ProtocolMessage):
    """A line of the ledger: its number and that of its transaction, the account, the amount in minor units, and why."""

    number: Annotated[int, Ge(0)]
    transaction: Annotated[int, Ge(0)]
    account: Text
    amount: int
    memo: Text


class AccountPage(ProtocolMessage):
    """An account: what is free in it, what is held for open purchases, minor units, and a page of its lines."""

    account: Text
    free: int
    held: Annotated[int, Ge(0)]
    lines: Annotated[tuple[AccountLine, ...], MaxLen(LINES)]
