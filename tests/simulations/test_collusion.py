"""What a cloud that colludes or meddles gains, and whether anybody notices."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import small

from parties.offer import Outcome
from parties.record import PurchaseRecord
from protocol.canonical import digest
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope
from protocol.ledger import Ledger
from protocol.messages.purchase import Bids, Invoice, Privacy, VerificationCall
from protocol.vault import Vault
from simulations.collusion import KeySubstitution, link
from simulations.play import make_cloud, play
from simulations.report import Report
from simulations.runner import run
from simulations.scenario_files import load
from simulations.scoring import ScoredPurchase, score
from simulations.traffic import View
from simulations.world import build
from strategies.featurizer import Featurizer

Meddled = Callable[..., tuple[ScoredPurchase, dict[bytes, int]]]


@pytest.fixture
def meddled(tmp_path: Path, featurizer: Featurizer) -> Meddled:
    def go(substitution: KeySubstitution | None, **changes: object) -> tuple[ScoredPurchase, dict[bytes, int]]:
        scenario = small(**changes)
        world = build(scenario, featurizer, tmp_path / f"bought-{substitution is None}")
        ledger = Ledger()
        cloud = make_cloud(scenario, featurizer, ledger, Vault(str(tmp_path / "vault")))
        views = View(SERVER_NODE_ID, Bids), View(FIRST_NODE_ID, Invoice, VerificationCall)

        def observe(envelope: Envelope) -> None:
            for view in views:
                view.observe(envelope)

        around = substitution.around if substitution else lambda grid: grid
        record = play(world, cloud, observe, meddle=around)
        if substitution:
            substitution.reveal(record)
        return score(scenario, featurizer, world, record, ledger), link(*views)

    return go


def sold(record: PurchaseRecord) -> dict[bytes, tuple[int, int]]:
    """Payment and seller of what was bought, by the commitment to the picture, which nobody changes."""
    return {
        offer.bid.bid.feature_commitment: (offer.seller, offer.bid.bid.price) for offer in record.winners if offer.paid
    }


def test_cloud_and_buyer_together_know_who_sold_what(meddled: Meddled) -> None:
    scored, found = meddled(None)
    assert found == {offer.bid_id: offer.seller for offer in scored.record.winners}
    assert len(found) > 3


@pytest.mark.parametrize("privacy", list(Privacy))
def test_a_cloud_that_names_its_own_keys_opens_everything_and_nobody_notices(
    meddled: Meddled, privacy: Privacy
) -> None:
    substitution = KeySubstitution(bytes(32))
    scored, _ = meddled(substitution, cloud={"privacy": privacy}, buyer={"quality": "matching"})
    assert substitution.opened == scored.outcome.delivered > 3
    assert not scored.record.failures
    assert not scored.record.rejected
    assert {offer.outcome for offer in scored.record.winners} == {Outcome.ACCEPTED}
    assert len(list(scored.world.buyer.store.glob("*.png"))) == scored.outcome.verified


def test_it_changes_nothing_that_anybody_could_see(meddled: Meddled) -> None:
    honest, _ = meddled(None)
    bought, _ = meddled(KeySubstitution(bytes(32)))
    assert honest.outcome.bids == bought.outcome.bids
    assert honest.outcome.paid_total == bought.outcome.paid_total
    assert len(sold(honest.record)) == len(sold(bought.record))
    assert honest.ledger.balances() == bought.ledger.balances()


def test_keys_that_change_after_the_bids_are_refused_by_sellers(meddled: Meddled) -> None:
    """The call named the buyer's key before anybody bid, and sellers hold the cloud to it."""
    substitution = KeySubstitution(bytes(32), late=True)
    scored, _ = meddled(substitution)
    assert substitution.opened == 0
    assert {offer.outcome for offer in scored.record.winners} == {Outcome.UNDELIVERED}
    assert {step for step, _, _ in scored.record.failures} == {"deliver"}
    assert all("not signed by the buyer" in why for _, _, why in scored.record.failures)


def test_the_report_counts_what_collusion_costs(tmp_path: Path) -> None:
    report = run(small(collusion=["cloud-buyer", "key-substitution"]), tmp_path / "out")
    assert isinstance(report, Report)
    learned = {(line.observer, line.what): line.detail for line in report.learned}
    delivered = report.outcome.delivered
    assert learned["cloud", "pictures"].startswith(f"{delivered} of the {delivered} that were delivered, opened")
    assert "0 steps refused, 0 complaints" in learned["cloud", "pictures"]
    assert f"each of the {delivered} pictures" in learned["cloud and buyer together", "who sold which picture"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "opened by naming keys of its own" in page
    assert "cloud and buyer together" in page


def test_an_honest_run_says_nothing_of_collusion(tmp_path: Path) -> None:
    report = run(small(), tmp_path / "out")
    assert isinstance(report, Report)
    assert {line.observer for line in report.learned} == {"buyer", "cloud", "sellers"}


def test_the_links_are_made_of_views_alone(meddled: Meddled) -> None:
    """Under substituted keys, too: commitments are passed on as they are."""
    scored, found = meddled(KeySubstitution(bytes(32)))
    by_seller = sorted(offer.seller for offer in scored.record.winners)
    assert sorted(found.values()) == by_seller
    assert not {digest(offer.bid) for offer in scored.record.winners} & found.keys()


FEW = ["sellers.count=12", "buyer.samples.count=4", "sellers.album.images=3", "buyer.budget=8"]


@pytest.mark.parametrize("name", ["purchase-collusion", "purchase-paper-arbitration"])
def test_the_packaged_scenarios_show_what_they_say(tmp_path: Path, name: str) -> None:
    report = run(load(name, FEW), tmp_path / "out")
    assert isinstance(report, Report)
    assert report.outcome.delivered > 0
    if name == "purchase-collusion":
        assert len(report.learned) > 5
        assert report.outcome.complaints == 0
    else:
        assert {dispute.fault for dispute in report.disputes} == {"seller"}
        assert report.outcome.paid_total == 0
        truth = f"In truth {report.outcome.delivered} pictures came just as they were offered"
        assert truth in (tmp_path / "out" / "report.html").read_text()
