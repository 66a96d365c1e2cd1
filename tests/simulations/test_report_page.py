"""What the page shows, read back from the file."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Play, Played, small
from PIL import Image

from parties.purchase.workflow import Purchase
from parties.workflow import unwatched
from protocol.flower import SERVER_NODE_ID
from protocol.messages.purchase import Bids
from simulations.reports.model import FailedStep
from simulations.reports.sheets import THUMBNAIL, thumbnail
from simulations.runs.session import Session
from simulations.workflows.purchase.attacks import learned
from simulations.workflows.purchase.report.compile import findings
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.report.money import flow_chart, movements, sellers_by_cheat
from simulations.workflows.purchase.report.page import write_purchase_page
from simulations.workflows.purchase.report.sequence import sequence
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.words import coins

SECTIONS = ("how", "messages", "plane", "pictures", "money", "disputes", "learned", "time", "words", "again")
VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Reads a page: its ids, its text by section, its addresses; notes elements that do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text: dict[str, str] = {}
        self.misnested: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(page)
        self.misnested += [tag for tag, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        section = found.get("id") if tag in ("section", "div", "p", "code") else None
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.addresses += [found[name] or "" for name in ("src", "href", "xlink:href") if name in found]
        if tag not in VOID:
            inherited = self._open[-1][1] if self._open else ""
            self._open.append((tag, section or inherited))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        elif tag not in ("p", "li", "tr", "td", "th"):
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        section = self._open[-1][1] if self._open else ""
        self.text[section] = f"{self.text.get(section, '')} {data}"


def told(played: Played, folder: Path, **changes: Any) -> PurchaseReport:
    """The report of a purchase that was played, with some of its parts changed."""
    folder.mkdir(exist_ok=True)
    with Session(played.scenario, folder, unwatched, len(Purchase.STEPS)) as session:
        view = session.view(SERVER_NODE_ID, Bids)
        with session.grid(played.world.apps, played.world.names):
            for envelope in played.envelopes:
                session.observe(envelope)
        report = session.report(
            PurchaseReport, played.record.failures, learned=learned(played, view), **findings(played)
        )
    timings = {"request": 0.25, "payout": 0.5, "total": 0.75}
    return report.model_copy(update={"timings": timings, **changes})


Write = Callable[..., tuple[str, PurchaseReport, Played]]


@pytest.fixture
def write(play_purchase: Play, tmp_path: Path) -> Write:
    """Play a scenario and write its page; parts of the world and of the report may be changed in between."""

    def page(
        scenario: PurchaseScenario, change: Callable[[Played], Played] = lambda played: played, **changes: Any
    ) -> tuple[str, PurchaseReport, Played]:
        played = change(play_purchase(scenario))
        report = told(played, tmp_path / "session", **changes)
        path = tmp_path / "report.html"
        write_purchase_page(path, report, played)
        return path.read_text(encoding="utf-8"), report, played

    return page


def images(page: str, section: str) -> list[bytes]:
    """The pictures of one section."""
    body = page[page.index(f'<section id="{section}"') :]
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', body[: body.index("</section>")])
    return [base64.b64decode(image) for image in found]


class TestPage:
    def test_it_is_whole_self_contained_and_small(self, write: Write) -> None:
        page, report, played = write(small(adversaries={"swapped-delivery": 0.4}))
        outline = Outline(page)
        assert outline.misnested == []
        assert len(outline.ids) == len(set(outline.ids))
        assert [name for name in outline.ids if name in SECTIONS] == list(SECTIONS)
        assert all(address.startswith(("data:image/", "#")) for address in outline.addresses)
        assert set(re.findall(r"https?://[^\"'\s<]+", page)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        assert set(re.findall(r"url\((?!#)[^)]*\)|@import", page)) == set()
        assert "script" not in outline.tags
        assert len(page) < 3_000_000
        assert str(played.world.buyer.store) not in page
        assert report.summary in outline.text["summary"]
        assert outline.text["digest"].strip() == report.outcome.digest

    @pytest.mark.parametrize("adversary", ["swapped-delivery", "false-complaint"])
    def test_it_is_accessible(
        self, write: Write, tmp_path: Path, faults_of: Callable[..., list[str]], adversary: str
    ) -> None:
        write(small(adversaries={adversary: 0.4}))
        assert faults_of(tmp_path / "report.html") == []

    def test_it_shows_the_pictures_that_were_wanted_bought_and_refused(self, write: Write) -> None:
        page, report, played = write(small(adversaries={"swapped-delivery": 0.4}))
        refused = report.outcome.selected - report.outcome.verified
        assert refused > 0
        shown = images(page, "pictures")
        assert len(shown) == len(played.world.samples) + report.outcome.verified + 2 * refused
        sample, last = (np.asarray(Image.open(io.BytesIO(image)), dtype=float) for image in (shown[0], shown[-1]))
        assert np.abs(sample - played.world.samples[0]).mean() < 12
        assert last.std() > 50  # the noise that a swapping seller delivers, beside what it offered

    def test_it_marks_what_was_not_asked_for(self, write: Write) -> None:
        def with_strangers(played: Played) -> Played:
            return replace(played, trades=[replace(trade, wanted=False) for trade in played.trades])

        page, report, _ = write(small(), with_strangers)
        assert page.count('<li class="wrong"') == report.outcome.verified > 0
        assert page.count(">✕</b></span>") == report.outcome.verified

    def test_it_does_not_pretend_to_know_what_pictures_show(self, write: Write) -> None:
        def unlabelled(played: Played) -> Played:
            return replace(
                played,
                world=replace(played.world, class_names=(), wanted=None),
                trades=[replace(trade, wanted=None) for trade in played.trades],
                outcome=played.outcome.model_copy(update={"precision": None, "recall": None}),
            )

        page, report, _ = write(small(), unlabelled)
        assert report.outcome.verified > 0
        assert "unknown" in Outline(page).text["figures"]
        assert "The images have no labels" in page
        assert 'class="wrong"' not in page

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"buyer": {"budget": 0.02}}, "too small"),
            ({"buyer": {"budget": 0.0}}, "too small"),
            ({"sellers": {"count": 1, "noise": 1.0, "album": {"images": 1}}}, "Nothing was bought"),
        ],
    )
    def test_nothing_bought_is_a_page_too(self, write: Write, changes: dict[str, Any], why: str) -> None:
        page, report, _ = write(small(**changes))
        outline = Outline(page)
        assert report.outcome.selected == 0
        assert why in outline.text["summary"]
        assert "Left out: steps 7, 8, 9, 10, 11" in outline.text["messages"]
        assert "Nothing was bought." in outline.text["pictures"]
        assert "kept its whole budget" in outline.text["money"]
        assert outline.misnested == []

    def test_level_1_has_no_second_view(self, write: Write) -> None:
        page, _, _ = write(small(cloud={"privacy": "level1"}))
        text = Outline(page).text["plane"]
        assert "the exact feature of each image" in text
        assert "close up" not in text

    def test_the_basic_mode_says_what_the_plane_leaves_out(self, write: Write) -> None:
        page, _, _ = write(small(cloud={"privacy": "basic"}, buyer={"quality": "matching"}))
        text = Outline(page).text
        assert Outline(page).misnested == []
        assert "the whole fc8 vector of each image" in text["plane"]
        assert "exactly: the whole fc8 vectors of 30 numbers" in text["learned"]
        assert "What the cloud sees, close up" not in page

    @pytest.mark.parametrize(
        ("privacy", "tolerance"), [("basic", "0.0391 in each number"), ("level2", "10 lattice units")]
    )
    def test_what_was_verified_comes_with_the_false_accept_rate(
        self, write: Write, privacy: str, tolerance: str
    ) -> None:
        page, report, played = write(small(cloud={"privacy": privacy}, buyer={"quality": "quantity"}))
        assert report.verification in Outline(page).text["disputes"]
        assert tolerance in report.verification
        rate = played.featurizer.calibration.false_accepts
        assert (f"{rate:.1e}" if privacy == "level2" else "none of those measured") in report.verification

    def test_verdicts_are_told_in_plain_words(self, write: Write) -> None:
        page, report, _ = write(small(adversaries={"false-complaint": 1.0}))
        assert report.outcome.upheld == report.outcome.complaints > 0
        outline = Outline(page)
        assert (
            "The complaint was unfounded: the seller received the payment and the buyer’s bond."
            in outline.text["disputes"]
        )
        assert "The buyer was the adversary" in outline.text["money"]

    def test_hundreds_of_disputes_are_counted_and_cut(self, write: Write) -> None:
        played = small(adversaries={"false-complaint": 1.0})
        _, report, _ = write(played)
        many = [report.disputes[0]] * 700
        page, _, _ = write(played, disputes=many)
        body = page[page.index('id="disputes"') : page.index('id="learned"')]
        assert "The first 200 of 700" in body
        assert body.count("<tr>") == 2 + 1 + 200

    def test_everything_that_others_wrote_is_escaped(self, write: Write) -> None:
        evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
        scenario = small(description=evil, adversaries={"false-complaint": 1.0})
        _, report, _ = write(scenario)
        dispute = report.disputes[0].model_copy(update={"complaint": evil, "reason": evil, "party": evil})
        party = report.parties[2].model_copy(update={"failures": [evil], "party": evil, "sold": 1, "balance": 10**6})
        failed = FailedStep(what=evil, parties=[evil], traceback=evil)

        def unkind(played: Played) -> Played:
            played.record.rejected.append((3, evil))
            names = tuple(f"{evil}{name}" for name in played.world.class_names)
            return replace(played, world=replace(played.world, class_names=names, wanted=frozenset(names[:1])))

        page, _, _ = write(
            scenario,
            unkind,
            notes=[evil],
            summary=evil,
            disputes=[dispute],
            parties=[*report.parties[:2], party],
            failed=[failed],
            learned=[report.learned[0].model_copy(update={"observer": evil, "what": evil, "detail": evil})],
            versions={evil: evil},
            timings={evil: 1.0, "total": 1.0},
        )
        assert "<script" not in page
        assert "<img src=x" not in page
        assert page.count("&lt;script&gt;") >= 12

    def test_the_same_report_gives_the_same_page(self, write: Write, tmp_path: Path) -> None:
        first, report, played = write(small())
        write_purchase_page(tmp_path / "again.html", report, played)
        assert (tmp_path / "again.html").read_text(encoding="utf-8") == first

    def test_a_crowd_of_offers_is_thinned_out_and_says_so(self, write: Write) -> None:
        def crowd(played: Played) -> Played:
            candidate = next(trade for trade in played.trades if trade.offer.candidate and not trade.offer.won)
            return replace(played, trades=[*played.trades, *[candidate] * 20_000])

        page, _, _ = write(small(cloud={"privacy": "level1"}), crowd)
        assert "1,000 of 20," in Outline(page).text["plane"]
        assert len(page) < 1_000_000


class TestSequence:
    def test_every_message_is_in_the_diagram_once(self, write: Write) -> None:
        _, report, played = write(small())
        arrows = [
            arrow for step in sequence(report) for row in step.rows for arrow in (row.buyer, row.sellers) if arrow
        ]
        assert sum(arrow.messages for arrow in arrows) == len(played.envelopes)
        assert sum(arrow.bytes for arrow in arrows) == sum(envelope.size for envelope in played.envelopes)

    def test_the_twelve_steps_are_reached_in_order(self, write: Write) -> None:
        _, report, _ = write(small())
        assert [step.number for step in sequence(report) if step.reached] == list(range(13))

    def test_a_message_it_does_not_know_is_shown_by_its_name(self, write: Write) -> None:
        _, report, _ = write(small())
        odd = report.traffic[-1].model_copy(update={"kind": "Riddle", "step": "riddle"})
        steps = sequence(report.model_copy(update={"traffic": [odd]}))
        (row,) = steps[-1].rows
        assert row.sellers is not None
        assert row.sellers.says == "Riddle"


class TestMoney:
    @pytest.mark.parametrize("adversary", ["swapped-delivery", "false-complaint"])
    def test_movements_explain_every_balance(self, write: Write, adversary: str) -> None:
        _, report, played = write(small(adversaries={adversary: 0.5}))
        gains = {"buyer": 0, "cloud": 0, "sellers": 0, "escrow": 0}
        for moved in movements(report, played.record):
            gains[moved.source] -= moved.amount
            gains[moved.target] += moved.amount
        accounts = {party.party: party.balance - party.deposit for party in report.parties}
        assert gains["escrow"] == 0
        assert gains["buyer"] == accounts.pop("buyer")
        assert gains["cloud"] == accounts.pop("cloud")
        assert gains["sellers"] == sum(accounts.values())

    def test_the_flow_chart_adds_up(self, write: Write) -> None:
        page, report, _ = write(small(adversaries={"swapped-delivery": 0.4}))
        chart = flow_chart(report)
        assert chart is not None
        ends = [node.amount for node in chart.nodes[2:]]
        assert sum(ends) == report.outcome.budget
        assert all(f">{coins(amount)}</text>" in page for amount in ends)

    def test_cheats_stand_beside_the_honest(self, write: Write) -> None:
        _, report, played = write(small(adversaries={"swapped-delivery": 0.5}))
        honest, cheats = sellers_by_cheat(report, played.world).values()
        assert honest.parties + cheats.parties == len(played.world.sellers)
        assert honest.profit >= 0 > cheats.profit
        assert cheats.sold == cheats.ahead == 0


class TestThumbnail:
    @pytest.mark.parametrize("shape", [(3000, 4000, 3), (64, 64, 3), (8, 8, 3), (1, 5000, 3), (200, 97, 3)])
    def test_any_picture_becomes_a_small_one(self, shape: tuple[int, int, int]) -> None:
        picture = np.full(shape, (200, 30, 90), dtype=np.uint8)
        kind, _, encoded = thumbnail(picture).partition(",")
        small_one = Image.open(io.BytesIO(base64.b64decode(encoded)))
        assert kind == "data:image/jpeg;base64"
        assert 40 < max(small_one.size) <= THUMBNAIL
        assert np.abs(np.asarray(small_one, dtype=int) - (200, 30, 90)).max() < 12
