"""Step 11: the evidence in a dispute, and its decision."""

import logging
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from parties.purchase.checks import features_under
from parties.purchase.cloud import CHECKING, CHECKING_BYTE, Cloud
from parties.purchase.offer import Offer
from parties.purchase.record import PurchaseRecord
from protocol.disputes.arbitration import Deal, Fault, Verdict, matches_receipt
from protocol.messages.purchase import MAX_BLOB, Shown
from protocol.storage.vault import BlobDamaged, BlobMissing, Vault

_UNEXAMINED = Verdict(Fault.NOBODY, "the image could not be examined")
_log = logging.getLogger(__name__)


def checking_time(offers: Iterable[Offer]) -> float:
    """Return the seconds that it may take to fetch, open and check these sealed images."""
    return sum(CHECKING + CHECKING_BYTE * offer.receipt.receipt.length for offer in offers if offer.receipt)


def decided(offer: Offer, lost: bool, shown: Shown | None, cloud: Cloud, record: PurchaseRecord) -> str:
    """Decide a complaint, and write the verdict down; nothing where the image stands accepted, as nobody shows it.

    Args:
        lost: Whether the vault has lost the image, so that the buyer was asked to show it.
    """
    blob = evidence(offer, cloud.vault, shown)
    if blob is None:
        return "" if lost else _written(_UNEXAMINED)
    return _written(decide(offer, blob, cloud, record))


def _written(verdict: Verdict) -> str:
    return f"{verdict.fault} {verdict.reason}"


def read_verdict(said: str) -> Verdict | None:
    """Read what `decided` has written."""
    fault, _, reason = said.partition(" ")
    return Verdict(Fault(fault), reason) if said else None


def evidence(offer: Offer, vault: Vault, shown: Shown | None) -> bytes | None:
    """Return a disputed sealed image: the vault's or, where that has lost it, the buyer's.

    Returns:
        The bytes that the seller signed for; None if nobody has them, and then the image stands accepted: a seller does
        not lose by what the cloud has lost.
    """
    assert offer.blob is not None
    assert offer.receipt is not None
    with suppress(BlobMissing, BlobDamaged):
        return vault.read(offer.blob, MAX_BLOB)
    if shown is None or not matches_receipt(shown.blob, offer.receipt.receipt):
        return None
    with suppress(BlobMissing, BlobDamaged):
        return shown.blob if isinstance(shown.blob, bytes) else vault.read(offer.blob, MAX_BLOB)
    return None


def decide(offer: Offer, blob: bytes, cloud: Cloud, record: PurchaseRecord) -> Verdict:
    """Decide a complaint under the rule of the terms; an image that cannot be examined is nobody's fault."""
    assert record.call is not None
    assert offer.receipt is not None
    assert offer.complaint is not None

    def featurize(image: NDArray[np.uint8]) -> NDArray[np.int64]:
        feature: NDArray[np.int64] = features_under(cloud.terms, cloud.featurizer, [image])[0]
        return feature

    release = cloud.release(offer.bid_id)
    deal = Deal(offer.bid, offer.placed, offer.receipt, cloud.terms, record.targets, record.call.salt, release)
    try:
        return cloud.arbiter(deal, blob, offer.complaint, featurize)
    except Exception:
        _log.exception("a disputed image cannot be examined")
        return _UNEXAMINED
