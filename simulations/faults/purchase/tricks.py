"""Cheats of which a town alone shows the harm, as they are about certificates, or about what a cloud cannot read."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp.typing import ClientAppCallable

from parties.adversaries import Adversary, adversary, declared
from parties.purchase.buyer import Buyer
from parties.purchase.seller import Seller
from protocol.encoding.canonical import canonical
from protocol.encoding.codec import RECORDS
from protocol.messages.purchase import Invitation, SignedRequest

IMPOSTURE = "imposture"
_ARRAYS = RECORDS[2]
_CUT_OFF = b"\x93NUMPY\x01\x00\x1b\x00{'descr': '|u1', 'shape': ("
"""An array's header that ends before it is over; NumPy evaluates it, and raises a `TokenError`."""


@adversary(IMPOSTURE, knowledge="nothing beyond its role", profit="a deposit of another role, where that is believed")
class Impostor(Seller):
    """Says that it is a seller, with the certificate of a buyer."""


@adversary("malformed-header", role="seller", knowledge="nothing beyond its role", profit="none; nobody is heard")
def malformed_header(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Sends an array that ends within its header."""
    reply = call_next(message, context)
    if not reply.has_error() and message.metadata.message_type in ("query.bid", "query.deliver"):
        array = Array(dtype="uint8", shape=(1,), stype="numpy.ndarray", data=_CUT_OFF)
        reply.content[_ARRAYS] = ArrayRecord({"bids": array})
    return reply


@adversary("degenerate-sample", knowledge="nothing beyond its role", profit="none; its request is looked at for ever")
class DegenerateSample(Buyer):
    """Asks for images like one of a single pixel, which the model cannot read."""

    def request(self, invitation: Invitation) -> SignedRequest:
        """Sign for another sample."""
        honest = super().request(invitation).request
        request = honest.model_copy(update={"samples": (np.zeros((1, 1, 3), dtype=np.uint8),)})
        key = self._key(invitation.nonce)
        return SignedRequest(request=request, signature=key.sign("request", canonical(request)))


TRICKS: dict[str, Adversary] = declared(vars())
