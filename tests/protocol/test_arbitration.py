"""Every way a dispute can go, with the real featurizer, seals and signatures."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from parties.purchase.checks import features_under
from protocol.crypto.commitments import commit_feature, commit_image
from protocol.crypto.sealing import DeliveryKey, Opening, new_delivery_key, open_sealed, seal
from protocol.disputes.arbitration import Deal, Fault, arbitrate, delivery_context, find_fault
from protocol.encoding.canonical import digest
from protocol.messages.purchase import (
    Bid,
    Order,
    Privacy,
    Receipt,
    SignedBid,
    SignedOrder,
    SignedReceipt,
    Terms,
)
from strategies.features.featurizer import Featurizer
from strategies.features.signatures import signature_table

RELEASE = bytes(range(32))
SALT = bytes(range(16))
SALTS = bytes(16), bytes([1] * 16)


def picture(seed: int, size: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@dataclass
class Case:
    """One deal: what was promised, what was delivered, and the means to judge it."""

    featurizer: Featurizer
    deal: Deal
    key: DeliveryKey
    blob: bytes

    def featurize(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        feature: NDArray[np.int64] = features_under(self.deal.terms, self.featurizer, [image])[0]
        return feature

    def verdict(self, private_key: bytes | None = None, blob: bytes | None = None) -> tuple[Fault, str]:
        key = self.key.private if private_key is None else private_key
        verdict = arbitrate(self.deal, self.blob if blob is None else blob, key, self.featurize)
        return verdict.fault, verdict.reason


def case(
    featurizer: Featurizer,
    privacy: Privacy = Privacy.LEVEL2,
    *,
    delivered: NDArray[np.uint8] | None = None,
    claimed: int | None = None,
    moved: int = 0,
    published: int | None = None,
    opened: int | None = None,
    junk: bytes | None = None,
) -> Case:
    """A deal over `picture(0)`; each argument makes one thing a lie, a feature of that number over and over.

    `moved` adds to every number of the true feature.
    """
    image = picture(0)
    calibration = featurizer.calibration
    terms = Terms(
        privacy=privacy,
        model_id=featurizer.model_id,
        radius=calibration.radius,
        reach=calibration.reach,
        signature_size=calibration.signature_size,
        tolerance=calibration.tolerance,
        suite="x25519",
        commission=0,
        stake=0,
        bond=0,
    )
    targets = features_under(terms, featurizer, [picture(9)])
    truth = tuple(features_under(terms, featurizer, [image])[0].tolist())
    committed = shown = inside = tuple(number + moved for number in truth)
    if claimed is not None:
        committed = shown = inside = (claimed,) * len(truth)
    if published is not None:
        shown = (published,) * len(truth)
    if opened is not None:
        inside = (opened,) * len(truth)
    points: list[list[int]] = []
    if privacy is Privacy.LEVEL2:
        points = signature_table(SALT, terms.reach, terms.signature_size).sign(np.array([shown]))[0].tolist()
    bid = Bid(
        request_id=bytes(32),
        buyer=bytes(32),
        pseudonym=bytes(32),
        image_commitment=commit_image(SALTS[0], image),
        feature_commitment=commit_feature(SALTS[1], committed, terms.model_id),
        feature=None if points else shown,
        signature_points=tuple((a, b) for a, b in points) or None,
        price=100,
        stake=0,
        expires_at=0,
    )
    key = new_delivery_key("x25519")
    signed_bid = SignedBid(bid=bid, signature=bytes(64))
    order = Order(
        request_id=bytes(32),
        bid=digest(signed_bid),
        suite="x25519",
        delivery_key=key.public,
        tolerance=terms.tolerance,
        deliver_by=0,
    )
    opening = Opening(SALTS[0], SALTS[1], inside, image if delivered is None else delivered)
    blob = junk if junk is not None else seal(opening, key.public, delivery_context(order, RELEASE), "x25519")
    receipt = Receipt(order=digest(order), blob=hashlib.sha256(blob).digest(), length=len(blob))
    deal = Deal(
        signed_bid,
        SignedOrder(order=order, signature=bytes(64)),
        SignedReceipt(receipt=receipt, signature=bytes(64)),
        terms,
        targets,
        SALT,
        RELEASE,
    )
    return Case(featurizer, deal, key, blob)


@pytest.mark.parametrize("privacy", list(Privacy))
class TestVerdicts:
    def test_a_good_image_convicts_the_buyer(self, featurizer: Featurizer, privacy: Privacy) -> None:
        assert case(featurizer, privacy).verdict() == (Fault.BUYER, "the image is the one that was offered")

    @pytest.mark.parametrize("key", [bytes(32), b"", b"short", bytes(33)])
    def test_a_wrong_key_convicts_the_buyer(self, featurizer: Featurizer, privacy: Privacy, key: bytes) -> None:
        fault, reason = case(featurizer, privacy, delivered=picture(5)).verdict(private_key=key)
        assert fault is Fault.BUYER
        assert "key" in reason

    def test_another_image_convicts_the_seller(self, featurizer: Featurizer, privacy: Privacy) -> None:
        fault, reason = case(featurizer, privacy, delivered=picture(5)).verdict()
        assert fault is Fault.SELLER
        assert "another image" in reason

    def test_one_changed_pixel_is_another_image(self, featurizer: Featurizer, privacy: Privacy) -> None:
        nearly = picture(0)
        nearly[3, 3, 0] ^= 1
        assert case(featurizer, privacy, delivered=nearly).verdict()[0] is Fault.SELLER

    def test_a_feature_that_is_not_the_images_convicts_the_seller(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        fault, reason = case(featurizer, privacy, claimed=20_000).verdict()
        assert (fault, reason) == (Fault.SELLER, "the image's feature is not the one that was bid with")

    def test_a_bid_with_another_feature_than_the_committed_one(self, featurizer: Featurizer, privacy: Privacy) -> None:
        fault, reason = case(featurizer, privacy, published=30_000).verdict()
        assert fault is Fault.SELLER
        assert "bid with" in reason

    def test_an_opening_with_another_feature_than_the_committed_one(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        fault, reason = case(featurizer, privacy, opened=1).verdict()
        assert fault is Fault.SELLER
        assert "committed" in reason

    @pytest.mark.parametrize("junk", [b"x", bytes(20_000), b"\xff" * 100])
    def test_junk_convicts_the_seller(self, featurizer: Featurizer, privacy: Privacy, junk: bytes) -> None:
        fault, reason = case(featurizer, privacy, junk=junk).verdict()
        assert fault is Fault.SELLER
        assert "does not open" in reason

    def test_a_blob_sealed_for_another_order_convicts_the_seller(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        good = case(featurizer, privacy)
        order = digest(good.deal.order.order)
        opening = open_sealed(good.blob, good.key.private, good.deal.context, "x25519", good.deal.dimensions)
        replayed = seal(opening, good.key.public, bytes(32), "x25519")
        receipt = Receipt(order=order, blob=hashlib.sha256(replayed).digest(), length=len(replayed))
        deal = replace(good.deal, receipt=SignedReceipt(receipt=receipt, signature=bytes(64)))
        assert replace(good, deal=deal, blob=replayed).verdict()[0] is Fault.SELLER

    def test_the_buyers_own_sample_sold_back_convicts_the_seller(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        good = case(featurizer, privacy)
        deal = replace(good.deal, targets=features_under(good.deal.terms, featurizer, [picture(0), picture(9)]))
        fault, reason = replace(good, deal=deal).verdict()
        assert fault is Fault.SELLER
        assert "own samples" in reason

    def test_a_feature_off_the_lattice_is_no_crash(self, featurizer: Featurizer, privacy: Privacy) -> None:
        """The seller committed to it, so that no other check answers first."""
        good, off = case(featurizer, privacy), (-5, 70_000)
        committed = commit_feature(SALTS[1], off, good.deal.terms.model_id)
        bid = good.deal.bid.bid.model_copy(update={"feature_commitment": committed})
        deal = replace(good.deal, bid=good.deal.bid.model_copy(update={"bid": bid}))
        fault = find_fault(deal, Opening(*SALTS, off, picture(0)), None)
        assert fault == "the feature that was bid with is not the one that was committed to"


def test_honest_drift_within_the_tolerance_is_no_fault(featurizer: Featurizer) -> None:
    good = case(featurizer)
    opening = open_sealed(good.blob, good.key.private, good.deal.context, "x25519")
    committed = np.array(opening.feature)
    tolerance = featurizer.calibration.tolerance
    assert find_fault(good.deal, opening, committed + tolerance) is None
    assert find_fault(good.deal, opening, committed + np.array([0, tolerance + 1])) is not None
