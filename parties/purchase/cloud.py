"""The cloud: it brokers, keeps money and sealed images, and opens only disputed pictures."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from parties.purchase.auction import Auctioneer, by_the_rules
from parties.purchase.settlement import account
from protocol.crypto.signing import SigningKey, derive
from protocol.crypto.vouchers import Vouching
from protocol.disputes.arbitration import Deal, Featurize, Verdict, arbitrate, arbitrate_paper
from protocol.messages.base import Voucher
from protocol.messages.purchase import Complaint, Terms
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from strategies.features.featurizer import Featurizer
from strategies.mechanisms import SOUND_MECHANISMS, Mechanism

Arbiter = Callable[[Deal, bytes, Complaint, Featurize], Verdict]
"""Decides a complaint from the deal, the sealed blob, the complaint and the public model."""


def sound(deal: Deal, blob: bytes, complaint: Complaint, featurize: Featurize) -> Verdict:
    """Decide by the key that the buyer reveals (`arbitrate`)."""
    return arbitrate(deal, blob, complaint.private_key, featurize)


ARBITERS: Mapping[str, Arbiter] = {"sound": sound, "paper": arbitrate_paper}
"""The rules of arbitration by their names in the terms."""

ABSENCE = 60.0
"""Seconds for which the cloud waits for the bids of a seller that has left; winners have until their deadline."""
COURTESY, MOMENT = 5.0, 2.0
"""Seconds that the cloud waits for acknowledgements of notices, and for parties that have left."""
CHECKING, CHECKING_BYTE = 1.0, 1e-6
"""Seconds that the buyer has to check an image, and for each of its bytes, beside the cloud's patience."""


@dataclass(frozen=True)
class Cloud:
    """The cloud's terms, money and storage.

    It is trusted with money, never with a picture. Where there are no certificates it could name keys of its own as the
    buyer's and the sellers', and open everything (`parties.adversaries.substitution`).

    Attributes:
        secret: 32 bytes; its random draws derive from it.
        featurizer: The public model.
        ledger, vault: Where money and sealed images are kept.
        deposits: What each role brings when it joins, minor units.
        patience: Seconds that sellers have to bid and to deliver, and the buyer to pay and to confirm.
        clock: Unix time.
        arbiter: How complaints are decided.
        mechanisms: Those that a buyer may name; by default none that sellers can manipulate, or that would keep the
            cloud busy.
        auctioneer: Holds the auction. Only the cloud sees all bids, so no party can check it.
        purchase: The name of the present purchase, among several; their random draws differ.
        accounts: Names the account of a role and a node.
        vouching: Its certificate, where parties have some.
    """

    secret: bytes = field(repr=False)
    terms: Terms
    featurizer: Featurizer
    ledger: Ledger
    vault: Vault
    deposits: Mapping[str, int]
    patience: float = 3600.0
    clock: Callable[[], float] = time.time
    arbiter: Arbiter = sound
    mechanisms: Mapping[str, Mechanism] = field(default_factory=lambda: SOUND_MECHANISMS)
    auctioneer: Auctioneer = by_the_rules
    purchase: str = ""
    accounts: Callable[[str, int], str] = account
    vouching: Vouching | None = None

    def derive(self, *labels: str | bytes, length: int = 32) -> bytes:
        """Return secret bytes for one purpose, another for each purchase."""
        scope = ("purchase", self.purchase) if self.purchase else ()
        return derive(self.secret, *scope, *labels, length=length)

    def release(self, bid_id: bytes) -> bytes:
        """Return the secret that one image of this purchase is sealed under as well, 32 bytes."""
        return self.derive("release", bid_id)

    def voucher(self, public: bytes) -> Voucher | None:
        """Return what shows that a key, or a nonce, is the cloud's; None where there are no certificates."""
        return None if self.vouching is None else self.vouching.vouch(public)

    @property
    def identity(self) -> SigningKey:
        """The key under which it passes on orders."""
        return SigningKey.derive(self.secret, "identity")
