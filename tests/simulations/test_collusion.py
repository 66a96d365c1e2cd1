"""What a cloud that colludes or meddles gains, and whether anybody notices."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import small

from parties.adversaries.substitution import KeySubstitution
from parties.party import Party
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import account
from parties.workflow import WorkflowFailed
from protocol.crypto.certificates import mint, mint_authority
from protocol.crypto.signing import SigningKey
from protocol.crypto.vouchers import Vouching
from protocol.disputes.refusal import convicts
from protocol.encoding.canonical import digest
from protocol.exchange import SILENT, Exchange, Failed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope
from protocol.messages.purchase import Bids, Invoice, Privacy, Refusal, VerificationCall
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.runs.runner import run
from simulations.runs.seeding import secret
from simulations.runs.views import View
from simulations.scenarios.files import load
from simulations.workflows.purchase.collusion import link
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.scoring import ScoredPurchase, score
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer

MATCHING = {"buyer": {"quality": "quantity"}, "sellers": {"noise": 0.0}}
CLOUD = SigningKey.derive(secret(3, "cloud"), "identity")
DEPOSIT = 2000

Meddled = Callable[..., tuple[ScoredPurchase, dict[bytes, int]]]


class Substitute:
    """Makes a key substitution around the exchange of a cloud."""

    made: KeySubstitution

    def __init__(
        self, identity: SigningKey = CLOUD, kind: type[KeySubstitution] = KeySubstitution, late: bool = False
    ) -> None:
        self.identity, self.kind, self.late = identity, kind, late

    def __call__(self, exchange: Exchange) -> KeySubstitution:
        self.made = self.kind(exchange, bytes(32), self.identity, Vault("memory://unused"), late=self.late)
        return self.made


def certify(cloud: Cloud, parties: Iterable[Party]) -> Cloud:
    """Give the cloud and all parties certificates of one authority."""
    authority = mint_authority()
    for number, party in enumerate(parties):
        party.vouching = Vouching(mint(authority, party.role, f"{party.role}{number}"), authority.certificate)
    return replace(cloud, vouching=Vouching(mint(authority, "cloud", "cloud", ["localhost"]), authority.certificate))


@pytest.fixture
def meddled(tmp_path: Path, featurizer: Featurizer) -> Meddled:
    def go(
        substitute: Substitute | None, certified: bool = False, **changes: object
    ) -> tuple[ScoredPurchase, dict[bytes, int]]:
        scenario = small(**changes)
        world = build(scenario, featurizer, tmp_path / f"bought-{substitute is None}")
        ledger = Ledger()
        cloud = make_cloud(scenario, featurizer, ledger, Vault(str(tmp_path / "vault")))
        if certified:
            cloud = certify(cloud, [world.buyer, *(held.party for held in world.sellers)])
        views = View(SERVER_NODE_ID, Bids), View(FIRST_NODE_ID, Invoice, VerificationCall)

        def observe(envelope: Envelope) -> None:
            for view in views:
                view.observe(envelope)

        record = play(world, cloud, observe, meddle=substitute or (lambda exchange: exchange))
        if isinstance(substitute, Substitute):
            substitute.made.reveal(record)
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
    substitution = Substitute()
    scored, _ = meddled(substitution, cloud={"privacy": privacy}, **MATCHING)
    assert substitution.made.opened == scored.outcome.delivered > 3
    assert not scored.record.failures
    assert not scored.record.rejected
    assert {offer.outcome for offer in scored.record.winners} == {Outcome.ACCEPTED}
    assert len(list(scored.world.buyer.store.glob("*.png"))) == scored.outcome.verified


def test_it_changes_nothing_that_anybody_could_see(meddled: Meddled) -> None:
    honest, _ = meddled(None)
    bought, _ = meddled(Substitute())
    assert honest.outcome.bids == bought.outcome.bids
    assert honest.outcome.paid_total == bought.outcome.paid_total
    assert len(sold(honest.record)) == len(sold(bought.record))
    assert honest.ledger.balances() == bought.ledger.balances()


class TestLateSubstitution:
    """The call named the buyer's key before anybody bid, and sellers hold the cloud to it."""

    def test_sellers_refuse_with_proof_and_keep_their_stakes(self, meddled: Meddled) -> None:
        substitution = Substitute(late=True)
        scored, _ = meddled(substitution)
        assert substitution.made.opened == 0
        assert {offer.outcome for offer in scored.record.winners} == {Outcome.UNDELIVERED}
        assert {step for step, _, _ in scored.record.failures} == {"deliver"}
        assert all("signed by the cloud and not by the buyer" in why for _, _, why in scored.record.failures)
        assert all(offer.asked and offer.refusal for offer in scored.record.winners)
        assert scored.outcome.penalties == scored.outcome.paid_total == 0 < scored.outcome.refunded_total
        names = [account("seller", offer.seller) for offer in scored.record.winners]
        assert {scored.ledger.balance(name) for name in names} == {DEPOSIT}

    def test_a_cloud_that_does_not_sign_what_it_passes_on_gets_nothing(self, meddled: Meddled) -> None:
        substitution = Substitute(SigningKey.derive(bytes(32), "another"), late=True)
        scored, _ = meddled(substitution)
        assert substitution.made.opened == 0
        assert all("does not come from the cloud" in why for _, _, why in scored.record.failures)
        assert not any(offer.refusal for offer in scored.record.winners)

    def test_a_cloud_that_hushes_it_up_takes_the_stakes_and_stays_convicted(self, meddled: Meddled) -> None:
        """Its ledger says what it wants; the proof is the seller's to show to anybody."""

        class HushesUp(KeySubstitution):
            proofs: ClassVar[list[Refusal]] = []

            def each(self, *asked: Any, **more: Any) -> Iterator[tuple[int, Any]]:
                for node_id, answer in super().each(*asked, **more):
                    if isinstance(answer, Refusal):
                        self.proofs.append(answer)
                        yield node_id, Failed(SILENT)
                    else:
                        yield node_id, answer

        scored, _ = meddled(Substitute(kind=HushesUp, late=True))
        assert scored.outcome.penalties > 0
        assert len(HushesUp.proofs) == 2 * scored.outcome.selected  # who is silent is asked once more
        assert all(convicts(proof, CLOUD.public) for proof in HushesUp.proofs)


def test_the_report_counts_what_collusion_costs(tmp_path: Path) -> None:
    report = run(small(collusion=["cloud-buyer", "key-substitution"]), tmp_path / "out")
    assert isinstance(report, PurchaseReport)
    learned = {(line.observer, line.what): line.detail for line in report.learned}
    delivered = report.outcome.delivered
    assert learned["cloud", "images"].startswith(f"{delivered} of the {delivered} that were delivered, opened")
    assert "0 steps refused, 0 complaints" in learned["cloud", "images"]
    assert f"each of the {delivered} images" in learned["cloud and buyer together", "who sold which image"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "opened by substituting keys of its own" in page
    assert "cloud and buyer together" in page


def test_an_honest_run_says_nothing_of_collusion(tmp_path: Path) -> None:
    report = run(small(), tmp_path / "out")
    assert isinstance(report, PurchaseReport)
    assert {line.observer for line in report.learned} == {"buyer", "cloud", "sellers"}


def test_the_links_are_made_of_views_alone(meddled: Meddled) -> None:
    """Under substituted keys, too: commitments are passed on as they are."""
    scored, found = meddled(Substitute())
    by_seller = sorted(offer.seller for offer in scored.record.winners)
    assert sorted(found.values()) == by_seller
    assert not {digest(offer.bid) for offer in scored.record.winners} & found.keys()


FEW = ["sellers.count=12", "buyer.samples.count=4", "sellers.album.images=3", "buyer.budget=8"]


@pytest.mark.parametrize("name", ["purchase-collusion", "purchase-paper-arbitration"])
def test_the_packaged_scenarios_show_what_they_say(tmp_path: Path, name: str) -> None:
    report = run(load(name, FEW), tmp_path / "out")
    assert isinstance(report, PurchaseReport)
    assert report.outcome.delivered > 0
    if name == "purchase-collusion":
        assert len(report.learned) > 5
        assert report.outcome.complaints == 0
    else:
        assert {dispute.fault for dispute in report.disputes} == {"seller"}
        assert report.outcome.paid_total == 0
        assert f"keeps {report.outcome.delivered} images unpaid" in report.summary
        truth = f"In truth {report.outcome.delivered} images were delivered as offered"
        page = (tmp_path / "out" / "report.html").read_text()
        assert truth in page
        assert f"received 0 paid images, {report.outcome.delivered} unpaid images" in page


def test_certificates_show_keys_of_the_clouds_own_from_the_start(meddled: Meddled) -> None:
    substitution = Substitute()
    scored, _ = meddled(substitution, certified=True, **MATCHING)
    assert (substitution.made.opened, scored.record.offers) == (0, [])
    reasons = {failure.sentence for failure in scored.record.failures if failure.step == "bid"}
    assert reasons == {"the signature is not by the holder of the certificate"}


def test_certificates_change_nothing_where_nobody_meddles(meddled: Meddled) -> None:
    plain, certified = (meddled(None, certified=each, **MATCHING)[0] for each in (False, True))
    assert (certified.outcome.bids, certified.outcome.paid_total) == (plain.outcome.bids, plain.outcome.paid_total)
    assert certified.record.failures == []


def test_a_cloud_whose_certificate_is_revoked_is_not_dealt_with(tmp_path: Path, featurizer: Featurizer) -> None:
    scenario = small(**MATCHING)
    world = build(scenario, featurizer, tmp_path / "bought")
    parties: list[Party] = [world.buyer, *(held.party for held in world.sellers)]
    cloud = certify(make_cloud(scenario, featurizer, Ledger(), Vault(str(tmp_path / "vault"))), parties)
    assert cloud.vouching is not None
    serial = cloud.vouching.credentials.identity.serial
    for party in parties:
        assert party.vouching is not None
        party.vouching = replace(party.vouching, revoked=frozenset([serial]))
    with pytest.raises(WorkflowFailed, match="the certificate of urn:parley:cloud:cloud is revoked"):
        play(world, cloud)
