"""Buyers that cheat."""

import numpy as np
from flwr.app import Context, Error, Message
from flwr.clientapp.typing import ClientAppCallable

from parties.adversaries.adversary import adversary
from parties.album import Pixels
from parties.purchase.buyer import Buyer
from protocol.disputes.arbitration import Deal
from protocol.encoding.canonical import canonical
from protocol.messages.purchase import SignedConfirmation, VerificationCall


@adversary(
    "false-complaint",
    knowledge="nothing beyond its role",
    profit="refunds for images that it has opened, where complaints are believed",
)
class FalseComplaint(Buyer):
    """Complains about every good image, hoping to keep it and its money (CrowdBuy, section II.C)."""

    def judge(self, number: int, deal: Deal, blob: bytes, private_key: bytes, *, check_feature: bool) -> str:
        """Keep the image, and complain."""
        super().judge(number, deal, blob, private_key, check_feature=check_feature)
        return "this is not what was offered"


@adversary(
    "another-image",
    knowledge="nothing beyond its role",
    profit="refunds for images that it has opened, where the cloud believes the image that the buyer sends",
)
class AnotherImage(FalseComplaint):
    """Complains about every good image, and shows the cloud another one as the one it got (CrowdBuy, step 11)."""

    def evidence(self, number: int) -> Pixels:
        """Send noise: nothing ties what is sent to the ciphertext whose hash was stored."""
        return self.generator("evidence", str(number)).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@adversary(
    "wrong-key",
    knowledge="nothing beyond its role",
    profit="refunds for images that it has opened, where any image that does not open is the seller's fault",
)
class WrongKey(FalseComplaint):
    """Complains about every good image, and reveals a key that does not open it."""

    def verify(self, call: VerificationCall) -> SignedConfirmation:
        """Put another key into each complaint."""
        honest = super().verify(call).confirmation
        other = self.derive("another key", call.request_id)
        complaints = tuple(complaint.model_copy(update={"private_key": other}) for complaint in honest.complaints)
        confirmation = honest.model_copy(update={"complaints": complaints})
        signature = self.key_of(call.request_id).sign("confirmation", canonical(confirmation))
        return SignedConfirmation(confirmation=confirmation, signature=signature)


@adversary(
    "silence-after-delivery",
    role="buyer",
    knowledge="nothing beyond its role",
    profit="images without payment, where sellers are paid only on confirmation",
)
def silence_after_delivery(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Opens every image, and never confirms."""
    reply = call_next(message, context)
    if message.metadata.message_type == "query.verify":
        return Message(Error(code=900, reason="no answer"), reply_to=message)
    return reply
