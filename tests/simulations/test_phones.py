"""A purchase on phones: what they spend, who misses a deadline, and what lost and repeated messages cost."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from conftest import Play, small
from flwr.serverapp import Grid
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.purchase.offer import Outcome
from parties.workflow import WorkflowFailed
from protocol.errors import BadScenario
from protocol.flower import FIRST_NODE_ID
from protocol.grids import Envelope, Fate, LocalGrid, Nodes, TimedGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.data.phone_models import PHONES
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.purchase.phones import MESSAGE, SEALING, Phones, deal
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.report.phones import PhonesAccount, phones_account, usage
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import ScoredPurchase, score
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer

FIRST_SELLER = FIRST_NODE_ID + 1
MIXED = {"paper": 0.5, "slow": 0.25, "fast": 0.25}


@dataclass(frozen=True)
class OnPhones(ScoredPurchase):
    """A purchase that was played on phones."""

    phones: Phones
    envelopes: list[Envelope]

    @property
    def account(self) -> PhonesAccount:
        account = phones_account(self.phones, self)
        assert account is not None
        return account

    def gain(self, role: str, node_id: int) -> int:
        """What a party has more than it brought."""
        entries = [entry for entry in self.ledger.entries() if entry.account == f"{role}-{node_id}"]
        return self.ledger.balance(f"{role}-{node_id}") - sum(e.amount for e in entries if e.memo == "deposit")


PlayOnPhones = Callable[..., OnPhones]


@pytest.fixture(scope="module")
def on_phones(featurizer: Featurizer) -> PlayOnPhones:
    def play_it(scenario: PurchaseScenario, carry: Callable[[Phones, Grid], Grid] = Phones.around) -> OnPhones:
        with TemporaryDirectory() as name:
            folder, ledger = Path(name), Ledger()
            world = build(scenario, featurizer, folder / "bought")
            phones = Phones(scenario, world)
            cloud = phones.tell_time(make_cloud(scenario, featurizer, ledger, Vault(str(folder / "vault"))))
            envelopes: list[Envelope] = []
            record = play(world, cloud, envelopes.append, carry=lambda grid: carry(phones, grid))
            scored = score(scenario, featurizer, world, record, ledger)
            return OnPhones(**vars(scored), phones=phones, envelopes=envelopes)

    return play_it


def lossy(seed: int = 3, patience: float = 60.0, **link: float) -> PurchaseScenario:
    return small(seed=seed, phones={"mix": MIXED, "patience": patience, "link": link})


def test_papers_phones_on_perfect_links_change_nothing(on_phones: PlayOnPhones, play_purchase: Play) -> None:
    assert on_phones(small()).outcome == play_purchase(small()).outcome


def test_a_phone_spends_what_the_paper_measured(on_phones: PlayOnPhones) -> None:
    """1 s for fc8, 0.405 s for two numbers, 58 ms for a signature, on the paper's phone, at 4 watts."""
    played = on_phones(small(sellers={"count": 4, "album": {"images": 3}}))
    bids = Counter(offer.seller for offer in played.record.offers)
    won = Counter(offer.seller for offer in played.record.winners)
    used, paper = usage(played.phones), PHONES["paper"]
    for place, seconds in enumerate(played.phones.grid.busy[1:5].tolist()):
        node_id = FIRST_SELLER + place
        messages = 2 + (2 if bids[node_id] else 0) + won[node_id]
        expected = (3 + 6) * 1.405 + bids[node_id] * (0.058 + 0.002) + won[node_id] * SEALING + messages * MESSAGE
        assert seconds == pytest.approx(expected)
        down = sum(e.size for e in played.envelopes if e.target == node_id)
        up = sum(e.size for e in played.envelopes if e.source == node_id)
        assert used.bytes[place] == down + up
        moving = 8 * (down / 13e6 + up / 6e6)
        assert used.seconds[place] == pytest.approx(expected + moving)
        air = 8 * (438.39e-9 * up + 51.97e-9 * down) + 1.28804 * moving
        assert used.joules[place] == pytest.approx(4 * expected + air)
    assert paper.speed == 1.0


def test_the_same_seed_gives_the_same_purchase_whatever_the_batches(
    on_phones: PlayOnPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = lossy(drop=0.1, duplicate=0.2, delay=1.0)
    one = on_phones(scenario)
    monkeypatch.setattr(LocalGrid, "BATCH", 3)
    other = on_phones(scenario)
    assert one.outcome == other.outcome
    assert one.account == other.account
    assert on_phones(lossy(seed=4, drop=0.1, duplicate=0.2, delay=1.0)).outcome.digest != one.outcome.digest


def test_repeated_and_reordered_messages_change_nothing(on_phones: PlayOnPhones) -> None:
    plain, unruly = on_phones(lossy(patience=1e5)), on_phones(lossy(patience=1e5, duplicate=1.0, delay=20.0))
    first = next(exchange for exchange in unruly.phones.grid.exchanges if exchange.step == "bid")
    answered = [e.source for e in unruly.envelopes if e.step == "bid" and e.source >= FIRST_SELLER]
    assert sorted(answered) == sorted(first.nodes.tolist())
    assert answered != sorted(answered)
    same = {"digest"}
    assert plain.outcome.model_dump(exclude=same) == unruly.outcome.model_dump(exclude=same)
    assert plain.ledger.balances() == unruly.ledger.balances()


def test_a_straggler_misses_the_deadline_and_loses_nothing(on_phones: PlayOnPhones) -> None:
    played = on_phones(small(phones={"mix": {"paper": 0.5, "slow": 0.5}, "patience": 30}))
    bidders = {offer.seller for offer in played.record.offers}
    (bid,) = (exchange for exchange in played.phones.grid.exchanges if exchange.step == "bid")
    late = set(bid.nodes[bid.fates == Fate.LATE].tolist())
    assert late
    assert {played.phones.names[node_id - FIRST_SELLER] for node_id in late} == {"slow"}
    assert played.outcome.verified > 0
    assert not bidders & late
    assert all(played.gain("seller", node_id) == 0 for node_id in late)
    (line,) = (step for step in played.account.steps if step.step == "bid")
    assert (line.late, line.end - line.start) == (len(late), pytest.approx(30, abs=1))
    assert played.account.stragglers[0].party in {f"seller-{node_id}" for node_id in late}
    assert not played.account.stragglers[0].in_time


def test_deliveries_that_come_too_late_are_refunded_and_cost_honest_sellers_their_stakes(
    on_phones: PlayOnPhones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulations.workflows.purchase.phones.SEALING", 1e6)
    played = on_phones(small())
    asked = [offer for offer in played.record.winners if offer.asked]
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNDELIVERED}
    stakes = sum(offer.bid.bid.stake for offer in asked)
    assert played.gain("buyer", FIRST_NODE_ID) == stakes == played.account.lost_stakes_total > 0
    assert played.account.lost_stakes == len(asked)


def test_one_phone_that_stays_away_does_not_stop_the_others(on_phones: PlayOnPhones) -> None:
    """Waves share the time, and a second chance comes after all of them."""
    victim: list[int] = []

    def carry(phones: Phones, grid: Grid) -> Grid:
        away = np.array([node_id == victim[0] for node_id in grid.get_node_ids()])
        nodes = Nodes.perfect(len(away))
        phones._grid = TimedGrid(
            grid, Nodes(**{**vars(nodes), "unable": {"deliver": away}}), lambda *_: 1.0, 3, 10.0, phones.clock
        )
        return phones._grid

    wanted = on_phones(small())
    victim.append(wanted.record.winners[0].seller)
    played = on_phones(small(), carry)
    lost = [offer for offer in played.record.winners if offer.seller == victim[0]]
    assert all(offer.asked and offer.outcome is Outcome.UNDELIVERED for offer in lost)
    others = [offer for offer in played.record.winners if offer.seller != victim[0]]
    assert others
    assert {offer.outcome for offer in others} == {Outcome.ACCEPTED}
    orders = Counter(e.target for e in played.envelopes if e.kind == "DeliveryOrder")
    assert orders[victim[0]] == 2 * len(lost)
    assert sum(orders.values()) == len(others) + 2 * len(lost)


def test_a_lost_delivery_gets_a_second_chance(on_phones: PlayOnPhones) -> None:
    played = on_phones(lossy(drop=0.2, patience=1000))
    orders = Counter(e.target for e in played.envelopes if e.kind == "DeliveryOrder")
    asked = [offer for offer in played.record.winners if offer.asked]
    assert sum(orders.values()) > len(asked)
    assert sum(offer.receipt is not None for offer in asked) > 0.64 * len(asked)
    assert played.phones.clock() >= 1000


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    drop=st.sampled_from((0.0, 0.05, 0.3)),
    duplicate=st.sampled_from((0.0, 0.5, 1.0)),
    delay=st.sampled_from((0.0, 5.0, 60.0)),
    patience=st.sampled_from((5.0, 40.0, 1000.0)),
)
def test_no_link_breaks_the_money(on_phones: PlayOnPhones, seed: int, **link: Any) -> None:
    """The ledger sums to zero, nothing stays in escrow, and nobody is paid twice."""
    world = {"count": 6, "album": {"images": 3}}
    patience = link.pop("patience")
    scenario = small(seed=seed, sellers=world, phones={"mix": MIXED, "patience": patience, "link": link})
    try:
        played = on_phones(scenario)
    except WorkflowFailed:
        pytest.fail("the buyer's link loses nothing")
    assert sum(entry.amount for entry in played.ledger.entries()) == 0
    assert not [escrow for escrow in played.ledger.escrows() if escrow.state == "pending"]
    due: Counter[int] = Counter()
    lost = 0
    for offer in played.record.offers:
        due[offer.seller] += offer.payment if offer.paid else 0
        due[offer.seller] -= offer.bid.bid.stake if offer.forfeited else 0
        lost += offer.bid.bid.stake if offer.forfeited else 0
    assert all(played.gain("seller", seller) == due[seller] for seller in played.record.sellers)
    paid = sum(offer.payment + offer.commission for offer in played.record.winners if offer.paid)
    assert played.gain("buyer", FIRST_NODE_ID) == lost - paid
    if not link["drop"]:
        assert not any(fate == Fate.LOST for e in played.phones.grid.exchanges for fate in e.fates)


def test_a_phone_that_the_network_does_not_fit_into_never_bids(on_phones: PlayOnPhones) -> None:
    played = on_phones(small(phones={"mix": {"paper": 0.5, "old": 0.5}, "patience": 1000}))
    old = {FIRST_SELLER + place for place, name in enumerate(played.phones.names) if name == "old"}
    assert len(old) == 6
    assert not old & {offer.seller for offer in played.record.offers}
    assert played.account.unable + played.account.absent >= 6


def test_deadlines_are_the_scenarios(on_phones: PlayOnPhones) -> None:
    played = on_phones(small(phones={"patience": 5}))
    assert played.outcome.bids == 0
    assert played.account.late == 12
    assert played.phones.clock() == pytest.approx(5, abs=2)


def test_models_are_dealt_in_their_shares() -> None:
    names = deal({"slow": 0.255, "fast": 0.745}, 1000, np.random.default_rng(0))
    assert Counter(names) == {"slow": 255, "fast": 745}
    assert len(deal({"slow": 1 / 3, "fast": 1 / 3, "mid": 1 / 3}, 7, np.random.default_rng(0))) == 7
    assert names[:300].count("slow") == pytest.approx(76, abs=30)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("phones.mix={papr: 1.0}", "there is no phone 'papr'; did you mean paper?"),
        ("phones.mix={paper: 0.5}", "the shares of phones add up to 0.5, not to 1"),
        ("phones.link.drop=2", "phones.link.drop: input should be less than or equal to 1"),
        ("phones.patience=0", "phones.patience: input should be greater than or equal to 1"),
        ("phones.link.drp=0.1", "did you mean drop?"),
    ],
)
def test_a_mistake_in_the_scenario_is_a_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(BadScenario, match=sentence.replace("?", r"\?")):
        load("purchase", [setting])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_purchase_on_every_grid(tmp_path: Path) -> None:
    scenario = lossy(drop=0.1, duplicate=0.2, delay=1.0)
    local = run(scenario, tmp_path / "local")
    ray = run(scenario.model_copy(update={"grid": "ray", "workers": 2}), tmp_path / "ray")
    assert isinstance(local, PurchaseReport)
    assert isinstance(ray, PurchaseReport)
    assert local.outcome == ray.outcome
    assert local.phones == ray.phones


@pytest.mark.parametrize("link", [{"drop": 1.0}, {"duplicate": 1.0}])
def test_a_run_in_which_nobody_is_heard_has_a_report_too(tmp_path: Path, link: dict[str, float]) -> None:
    report = run(small(phones={"patience": 1.0, "link": link}), tmp_path / "out")
    assert isinstance(report, PurchaseReport)
    assert report.outcome.bids == 0
    assert '<section id="phones">' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_the_report_says_what_it_takes_on_phones(tmp_path: Path) -> None:
    scenario = small(
        phones={"mix": MIXED, "patience": 40, "link": {"drop": 0.1}},
        expect={"phones.answered": "< phones.asked", "phones.spent.joules.median": "> 0"},
    )
    report = run(scenario, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="phones">') :]
    section = section[: section.index("</section>")]
    assert section.count("<svg") == 2
    for name in MIXED:
        assert f"<td>{name}</td>" in section
    assert isinstance(report, PurchaseReport)
    assert report.phones is not None
    assert report.phones.stragglers[0].party in section
