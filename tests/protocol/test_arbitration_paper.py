"""The paper's arbitration: whom it convicts, and who beats it; the sound one beside it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import Play, small
from numpy.typing import NDArray
from test_arbitration import Case, case, picture

from parties.adversaries.buyers import AnotherImage
from parties.adversaries.delivery import SwappedDelivery
from protocol.disputes.arbitration import Fault, arbitrate_paper
from protocol.messages.purchase import Complaint, Privacy
from strategies.features.featurizer import Featurizer

BOTH = pytest.mark.parametrize("privacy", list(Privacy))


def verdict(disputed: Case, image: NDArray[np.uint8] | None) -> tuple[Fault, str]:
    complaint = Complaint(bid=bytes(32), reason="bad", private_key=disputed.key.private, image=image)
    ruled = arbitrate_paper(disputed.deal, disputed.blob, complaint, disputed.featurize)
    return ruled.fault, ruled.reason


@BOTH
class TestPaperRule:
    def test_the_offered_image_convicts_the_buyer(self, featurizer: Featurizer, privacy: Privacy) -> None:
        assert verdict(case(featurizer, privacy), picture(0))[0] is Fault.BUYER

    def test_a_swapped_image_convicts_the_seller(self, featurizer: Featurizer, privacy: Privacy) -> None:
        assert verdict(case(featurizer, privacy, delivered=picture(5)), picture(5))[0] is Fault.SELLER

    def test_no_image_convicts_the_buyer(self, featurizer: Featurizer, privacy: Privacy) -> None:
        assert verdict(case(featurizer, privacy), None) == (Fault.BUYER, "the buyer sent no image")

    def test_another_ciphertext_convicts_the_buyer(self, featurizer: Featurizer, privacy: Privacy) -> None:
        assert verdict(replace(case(featurizer, privacy), blob=b"x"), picture(5))[0] is Fault.BUYER

    def test_drift_within_the_tolerance_is_no_fault(self, featurizer: Featurizer, privacy: Privacy) -> None:
        tolerance = case(featurizer, privacy).deal.order.order.tolerance
        near = case(featurizer, privacy, moved=-tolerance)
        assert verdict(near, picture(0))[0] is Fault.BUYER
        far = case(featurizer, privacy, moved=30 * tolerance)
        assert verdict(far, picture(0))[0] is Fault.SELLER

    def test_a_buyer_that_shows_another_image_beats_it_but_not_the_sound_rule(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        good = case(featurizer, privacy)
        assert verdict(good, picture(5))[0] is Fault.SELLER
        assert good.verdict()[0] is Fault.BUYER

    def test_a_seller_that_delivers_another_image_with_the_feature_beats_it_but_not_the_sound_rule(
        self, featurizer: Featurizer, privacy: Privacy
    ) -> None:
        """All that a feature depends on is a picture of 64 x 64; the offered one may have been larger."""
        small_one = picture(0)
        padded = np.zeros((64, 128, 3), np.uint8)
        padded[:, 32:96] = small_one
        swapped = case(featurizer, privacy, delivered=padded)
        assert verdict(swapped, padded)[0] is Fault.BUYER
        assert swapped.verdict()[0] is Fault.SELLER


def test_a_signature_has_to_be_that_of_the_image_in_all_its_points(featurizer: Featurizer) -> None:
    """A bid with a feature some way off, whose signature has points in common with that of the true one."""
    bent, good = case(featurizer, moved=80), case(featurizer)
    pairs = zip(bent.deal.bid.bid.signature_points or (), good.deal.bid.bid.signature_points or (), strict=True)
    assert {one == other for one, other in pairs} == {True, False}
    assert verdict(bent, picture(0))[0] is Fault.SELLER


def test_another_image_gets_everything_for_nothing_under_the_papers_rule(play_purchase: Play) -> None:
    played = play_purchase(small(cloud={"arbitration": "paper"}), buyer=AnotherImage)
    kept = list(played.world.buyer.store.glob("*.png"))
    assert len(kept) == played.outcome.selected == played.outcome.complaints > 0
    assert played.outcome.paid_total == played.outcome.upheld == 0
    assert played.profit("buyer-2") > 0  # the honest sellers' stakes on top


def test_another_image_loses_under_the_sound_rule(play_purchase: Play) -> None:
    played = play_purchase(small(), buyer=AnotherImage)
    assert played.outcome.upheld == played.outcome.complaints == played.outcome.selected > 0
    assert played.outcome.paid_total > 0
    assert all(offer.complaint is not None and offer.complaint.image is None for offer in played.record.winners)


def test_an_honest_complaint_is_upheld_under_either(play_purchase: Play) -> None:
    for rule in ("paper", "sound"):
        played = play_purchase(small(cloud={"arbitration": rule}), sellers=SwappedDelivery)
        assert played.outcome.complaints == played.outcome.selected > 0
        assert played.outcome.paid_total == 0
