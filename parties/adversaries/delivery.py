"""Sellers that bid well and deliver badly."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from flwr.app import Context, Error, Message
from flwr.clientapp.typing import ClientAppCallable

from parties.adversaries.adversary import adversary
from parties.album import Pixels
from parties.purchase.seller import OpenBids, Seller
from protocol.crypto.sealing import Opening
from protocol.encoding.canonical import canonical, digest
from protocol.encoding.codec import RECORDS
from protocol.messages.purchase import DeliveryOrder, Order, Refusal, SignedOrder

Seconds = Annotated[float, Ge(0), Le(10**9)]

_SILENT = 900
"""Code of the error with which a cheat declines to answer."""


@adversary(
    "swapped-delivery",
    knowledge="nothing beyond its role",
    profit="payment without delivery of the picture, unless the buyer checks what arrives",
)
class SwappedDelivery(Seller):
    """Bids a picture that matches, and delivers another one (CrowdBuy, section II.C)."""

    def picture(self, image: int) -> Pixels:
        """Deliver noise of the right size."""
        wanted = self.album[image]
        return self.generator("swap", str(image)).integers(0, 256, wanted.shape, dtype=np.uint8)


@adversary(
    "junk-ciphertext",
    knowledge="nothing beyond its role",
    profit="payment for nothing, as sealed pictures look like noise until they are opened",
)
class JunkCiphertext(Seller):
    """Delivers, and signs for, random bytes of the right length."""

    def seal(self, opening: Opening, order: Order, release: bytes) -> bytes:
        """Return noise as long as the sealed picture."""
        return self.generator("junk", digest(order)).bytes(len(super().seal(opening, order, release)))


@adversary(
    "false-refusal",
    knowledge="nothing beyond its role",
    profit="none; it withdraws its bids at no cost, where refusals are believed",
)
class FalseRefusal(Seller):
    """Bids, wins, and refuses the order with a forged one as evidence."""

    def deliver(self, asked: DeliveryOrder) -> Refusal:
        """Sign the order itself, and present that as what the cloud sent."""
        order = asked.order.order
        bids = (open_bid.bid for open_bid in self.memory.recall(f"bids-{order.request_id.hex()}", OpenBids).bids)
        bid = next(bid for bid in bids if digest(bid) == order.bid)
        forged = SignedOrder(order=order, signature=self.identity.sign("order", canonical(order)))
        return Refusal(bid=bid, asked=asked.model_copy(update={"order": forged}))


@adversary(
    "dropping-out",
    role="seller",
    knowledge="nothing beyond its role",
    profit="none; the buyer misses pictures that others would have sold, at no cost without stakes",
)
def dropping_out(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Bids, wins, and never delivers."""
    if message.metadata.message_type == "query.deliver":
        return _silence(message, "gone")
    return call_next(message, context)


@adversary(
    "straggler",
    role="seller",
    knowledge="nothing beyond its role",
    profit="none; the buyer misses its pictures although they were sealed",
)
def straggler(
    message: Message,
    context: Context,
    call_next: ClientAppCallable,
    *,
    step: str = "deliver",
    seconds: Seconds = 86_400,
) -> Message:
    """Answers one step `seconds` seconds late.

    Nothing sleeps: its answer bears the later time, which the host goes by (`NodeHost`).
    """
    reply = call_next(message, context)
    if message.metadata.message_type == f"query.{step}":
        reply.metadata.created_at += seconds
    return reply


@adversary(
    "replay",
    role="seller",
    knowledge="nothing beyond its role",
    profit="several payments for one picture, where a receipt is not tied to an order",
)
def replay(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Answers every order with what it delivered on the first one."""
    if message.metadata.message_type != "query.deliver":
        return call_next(message, context)
    kept = [f"replayed:{record}" for record in RECORDS]
    reply = call_next(message, context)
    for name, record in zip(kept, RECORDS, strict=True):
        if name in context.state:
            reply.content[record] = context.state[name]
        else:
            context.state[name] = reply.content[record]
    return reply


def _silence(message: Message, reason: str) -> Message:
    return Message(Error(code=_SILENT, reason=reason), reply_to=message)
