"""The paper's arbitration (CrowdBuy, step 11), kept beside the sound one to show what it lets through.

The buyer sends the image it complains about and its ciphertext. "The cloud first compares the hash value of uploaded
image's ciphertext to the stored one, then generates its feature vector to compare it with that stored in F_s. Only if
the image passes the first comparison and fails the second one, the seller is dishonest." Encryption that hides anything
is randomised, so the cloud cannot encrypt the image again: nothing ties the image to the ciphertext that was compared.
A buyer that shows the cloud any other image gets its money back and keeps the one it bought.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.arbitration import Deal, Fault, Featurize, Verdict, matches_receipt
from protocol.messages.purchase import Complaint
from strategies.signatures import on_lattice, signature_table


def arbitrate_paper(deal: Deal, blob: bytes, complaint: Complaint, featurize: Featurize) -> Verdict:
    """Decide one complaint by the image that the buyer sends.

    Parameters
    ----------
    deal : Deal
        Bid, order and receipt; the caller has checked their signatures when they came in.
    blob : bytes
        The ciphertext, as the cloud stored it: the buyer can always show the right one.
    complaint : Complaint
        With the image that the buyer says it got.
    featurize : callable
        The featurizer of `deal.terms.model_id`.
    """
    if complaint.image is None or complaint.image.size == 0:
        return Verdict(Fault.BUYER, "the buyer sent no image")
    if not matches_receipt(blob, deal.receipt.receipt):
        return Verdict(Fault.BUYER, "the ciphertext is not the one that was stored")
    if _has_promised_feature(deal, featurize(complaint.image)):
        return Verdict(Fault.BUYER, "the image that the buyer sent has the feature that was bid with")
    return Verdict(Fault.SELLER, "the image that the buyer sent does not have the feature that was bid with")


def _has_promised_feature(deal: Deal, feature: NDArray[np.int64]) -> bool:
    """Whether the published feature, or a feature with the published signature, lies within the tolerance."""
    bid, tolerance = deal.bid.bid, deal.order.order.tolerance
    if bid.feature is not None:
        return bool(np.abs(feature - np.array(bid.feature)).max() <= tolerance)
    steps = np.arange(-tolerance, tolerance + 1)
    near = feature + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    table = signature_table(deal.salt, deal.terms.reach, deal.terms.signature_size)
    signatures = table.sign(near[on_lattice(near)])
    return bool((signatures == np.array(bid.signature_points)).all(axis=(1, 2)).any())
