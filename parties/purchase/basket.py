"""What a buyer remembers of a purchase: the requests that it made, and the images that it ordered."""

from typing import Annotated

from annotated_types import Ge, MaxLen
from pydantic import Field

from protocol.messages.base import MAX_ITEMS, Digest, ProtocolMessage, Salt
from protocol.messages.purchase import Agents, SignedBid, SignedOrder, Terms

MOST_REQUESTS = 100
"""Requests that a buyer makes in one purchase: each is under other terms."""


class Wish(ProtocolMessage):
    """A request, by its hash, the terms under which this buyer made it, and what it may spend."""

    request_id: Digest
    terms: Terms
    nonce: Salt
    budget: Annotated[int, Ge(0)]
    agents: Annotated[Agents, Field(strict=False)] = Agents.IMAGES
    ceiling: Annotated[int, Ge(0)] | None = None


class Wishes(ProtocolMessage):
    """All requests of a purchase: a cloud that was restored from a backup may ask under other terms, and go back."""

    items: Annotated[tuple[Wish, ...], MaxLen(MOST_REQUESTS)] = ()


class Purchased(ProtocolMessage):
    """An image that was ordered, the one-time key that opens it, and the salt of the signatures in its invoice."""

    bid: SignedBid
    order: SignedOrder
    private_key: bytes
    salt: Salt


class Basket(ProtocolMessage):
    """All orders of a purchase; of several invoices, where the cloud was restored from a backup in between."""

    items: Annotated[tuple[Purchased, ...], MaxLen(MAX_ITEMS)] = ()

    @property
    def numbers(self) -> dict[bytes, int]:
        """The number of each bid's image, the same however often it is ordered."""
        bids = dict.fromkeys(item.order.order.bid for item in self.items)
        return {bid: number for number, bid in enumerate(bids)}
