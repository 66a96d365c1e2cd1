"""What parties ask of a running cloud on their own account, beside the workflows that it drives.

===============  ==================  =====================  ================================
method           asked by            the party says         the cloud answers
===============  ==================  =====================  ================================
``health``       everybody           `AskHealth`            `Health`
``purchase``     buyers              `BeginPurchase`        `PurchaseStanding`
``status``       operators           `AskStatus`            `Status`
===============  ==================  =====================  ================================
"""

from typing import Annotated

from annotated_types import Ge, Len, MaxLen

from protocol.messages.base import ProtocolMessage

HEALTH, PURCHASE, STATUS = "health", "purchase", "status"
MOST = 20_000
"""Parties or purchases that a status lists, at most."""

Text = Annotated[str, MaxLen(1000)]
Wish = Annotated[bytes, Len(1, 32)]


class AskHealth(ProtocolMessage):
    """A party asks whether the cloud is there and lets it in."""


class Health(ProtocolMessage):
    """The cloud's clock (Unix seconds) and release of Parley."""

    time: float
    release: Text


class BeginPurchase(ProtocolMessage):
    """Begin a purchase for me that I call this; asked again, say how it stands."""

    wish: Wish


class PurchaseStanding(ProtocolMessage):
    """How a purchase stands: ``open``, ``settled`` or ``failed``; the step it has come to; why it failed."""

    name: Text
    buyer: Text
    state: Text
    step: Annotated[int, Ge(0)]
    begun_at: float
    note: Text


class AskStatus(ProtocolMessage):
    """An operator asks how things stand."""


class PartyStanding(ProtocolMessage):
    """A party that has ever attached, and the money on its account, minor units; None: it has not traded yet."""

    urn: Text
    node_id: Annotated[int, Ge(0)]
    attached: bool
    balance: int | None = None


class Status(ProtocolMessage):
    """Everybody, all purchases, and the money in escrow and earned by the cloud, minor units."""

    time: float
    release: Text
    parties: Annotated[tuple[PartyStanding, ...], MaxLen(MOST)]
    purchases: Annotated[tuple[PurchaseStanding, ...], MaxLen(MOST)]
    escrow: Annotated[int, Ge(0)]
    earned: int
