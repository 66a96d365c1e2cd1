"""Where the evidence in a dispute comes from, and what happens if nobody can examine it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Play, small
from money import check_money
from test_checks import BLOB, REFERENCE, delivery, offer

from parties.adversaries.buyers import FalseComplaint
from parties.purchase.disputes import checking_time, evidence
from parties.purchase.offer import Offer, Outcome
from protocol.messages.purchase import Shown
from protocol.storage.vault import Vault


@pytest.fixture
def disputed() -> Offer:
    return replace(offer(), receipt=delivery().receipt, blob=REFERENCE.digest.hex())


def test_the_time_to_check_grows_with_images_and_bytes(disputed: Offer) -> None:
    large = replace(disputed, receipt=delivery(length=75_000_000).receipt)
    undelivered = replace(disputed, receipt=None)
    assert checking_time([disputed] * 3) == pytest.approx(3 * (1 + 6e-6))
    assert checking_time([large, undelivered]) == pytest.approx(76.0)


def test_what_the_vault_has_is_the_evidence(tmp_path: Path, disputed: Offer) -> None:
    vault = Vault(tmp_path)
    vault.put([BLOB], 100)
    assert evidence(disputed, vault, None) == BLOB


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_it_has_lost_or_damaged_the_buyer_shows(
    tmp_path: Path, disputed: Offer, damaged: bool, streamed: bool
) -> None:
    """Over a grid that streams, what it shows is in the vault again, and the message refers to it."""
    vault = Vault(tmp_path)
    if damaged:
        (tmp_path / REFERENCE.digest.hex()).write_bytes(b"rotten")

    if streamed:
        vault.put([BLOB], 100)
    assert evidence(disputed, vault, Shown(blob=REFERENCE if streamed else BLOB)) == BLOB


@pytest.mark.parametrize("shown", [None, Shown(blob=b"sealeD"), Shown(blob=REFERENCE)])
def test_what_nobody_has_is_no_evidence(tmp_path: Path, disputed: Offer, shown: Shown | None) -> None:
    assert evidence(disputed, Vault(tmp_path), shown) is None


def test_an_image_that_cannot_be_examined_is_nobodys_fault(play_purchase: Play) -> None:
    def fails(*arguments: Any) -> Any:
        raise MemoryError("too large for this machine")

    played = play_purchase(small(), buyer=FalseComplaint, change_cloud=lambda cloud: replace(cloud, arbiter=fails))
    check_money(played)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.LOST}
    assert played.outcome.penalties == played.outcome.paid_total == 0
