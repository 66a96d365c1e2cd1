"""Ways of sharing, compared: methods, attacks, runs, and the page in a browser."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, chromium
from parley.comparing import Comparison as Result

from protocol.errors import BadInput, BadScenario
from simulations.reports.evaluation import Cost, Estimate, Leak
from simulations.studies.compare import compare, load_comparison
from simulations.studies.compare.choose import Question, choose
from simulations.studies.compare.methods import ALONE, METHODS, RAW, chosen
from simulations.studies.compare.plan import planned
from simulations.studies.compare.report import ComparisonReport
from simulations.studies.compare.table import CRITERIA, Attacks, nothing

COHORT = {"people": 20, "pictures": 2, "known": 2, "owners": 4, "public": 50, "fresh": 60, "side": 32}
TINY: dict[str, Any] = {
    "seeds": 1,
    "cohort": COHORT,
    "workflows": {
        "publish": {"settings": {"attacker.epochs": 2}},
        "pool": {
            "settings": {
                "training.pretraining": 3,
                "training.reconstruction": 3,
                "training.poisoning": 2,
                "training.refinement": 3,
                "attacks.steps": 2,
                "attacks.unseen": [],
                "attacks.pairs": [],
                "attacks.modules": [],
                "attacks.aligned": [],
                "attacks.attribute": False,
                "attacks.obfuscator": False,
                "attacks.losses": False,
                "attacks.attacked": 8,
            }
        },
    },
}
OWN = '''"""Grey pictures: a way of sharing of my own."""

from dataclasses import dataclass
from typing import ClassVar

from simulations.studies.compare.methods import Method
from strategies.dp_images import MECHANISMS, Plain


@dataclass(frozen=True)
class Grey(Plain):
    """Pictures without their colours."""

    description: ClassVar[str] = "images without their colours"

    def publish(self, pictures, stream):
        """Return the mean of the three channels."""
        return pictures.float().mean(1, keepdim=True).round().byte().expand(-1, 3, -1, -1).contiguous()


MECHANISMS["grey"] = Grey
METHODS = {
    "grey": Method("grey pictures", "publish", "grey", {"methods": {"grey": {"mechanism": "grey"}}}),
}
'''
WANTED = ["raw", "publish:pix-5"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("methods") / "my_method.py"
    path.write_text(OWN)
    return path


@pytest.fixture(scope="module")
def played(own: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ComparisonReport, Path]:
    folder = tmp_path_factory.mktemp("compare") / "out"
    return compare(load_comparison("quick", {**TINY, "methods": [*WANTED, str(own)]}), folder, 1), folder


class TestMethods:
    def test_a_workflow_stands_for_its_methods_and_the_ends_are_always_there(self) -> None:
        methods, files = chosen(["pool"])
        assert {RAW, ALONE} < methods.keys()
        assert {name.partition(":")[0] for name in methods} == {"raw", "own-data-only", "pool"}
        assert files == ()
        with pytest.raises(BadInput, match="there is no method 'poool'; did you mean pool"):
            chosen(["poool"])

    def test_all_methods_can_be_played_and_each_workflow_in_few_runs(self) -> None:
        for name in ("quick", "compare"):
            comparison = load_comparison(name)
            runs = planned(comparison, chosen(None)[0])
            assert {method for run in runs for method in run.methods} == METHODS.keys()
            assert len(runs) == 10 * comparison.seeds

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1", "declares no methods"),
            ("1 / 0", "cannot be imported: ZeroDivisionError"),
            (
                OWN.replace('"publish", "grey"', '"publsh", "grey"'),
                "there is no workflow 'publsh'; did you mean publish?",
            ),
            (OWN.replace('"grey": Method', '"raw": Method'), "declares a method 'raw', but there is one of this name"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "mine.py"
        path.write_text(text)
        with pytest.raises(BadInput, match=re.escape(message)):
            chosen([str(path)])

    def test_keys_that_are_wrong_are_named(self) -> None:
        with pytest.raises(BadScenario, match=r"there is no key cohort\.peple; did you mean people\?"):
            load_comparison("quick", {"cohort.peple": 3})
        with pytest.raises(BadScenario, match="there is no comparison 'quik'"):
            load_comparison("quik")


class TestAttacks:
    def leak(self, attack: str) -> Leak:
        one = Estimate(value=0.5, low=0.4, high=0.6, n=10)
        return Leak(
            method="a", observer="b", criterion="membership", what="c", attack=attack, knows="", victims=1, rate=one,
            baseline=one, risk=one,
        )  # fmt: skip

    def test_words_choose_and_leave_out(self) -> None:
        rows = [self.leak("unmixing"), self.leak("LiRA")]
        assert [Attacks(["lira"])(each) for each in rows] == [False, True]
        assert [Attacks(["-LiRA"])(each) for each in rows] == [True, False]
        assert all(Attacks(["all"])(each) for each in rows)
        with pytest.raises(BadInput, match="attacks: there is none with 'lirra' in its name"):
            Attacks(["lirra"]).check(rows)


class TestPlayed:
    def test_the_ends_are_the_ends(self, played: tuple[ComparisonReport, Path]) -> None:
        report, _ = played
        raw, alone = report.row(RAW), report.row(ALONE)
        assert raw.worth is not None
        assert raw.worth.retained is None or raw.worth.retained.value == 1
        for criterion in CRITERIA:
            nobody, everybody = alone.worst(criterion), raw.worst(criterion)
            assert nobody is not None
            assert nobody.risk is not None
            assert nobody.risk.value == 0
            for each in report.methods:
                worst = each.worst(criterion)
                if (
                    worst is not None
                    and worst.risk is not None
                    and everybody is not None
                    and everybody.risk is not None
                ):
                    assert everybody.risk.high >= worst.risk.value >= 0

    def test_a_method_of_my_own_joins(self, played: tuple[ComparisonReport, Path]) -> None:
        report, folder = played
        grey = report.row("grey")
        assert grey.worth is not None
        assert {each.criterion for each in grey.risks} >= {"linkability", "inference", "reconstruction"}
        assert len(OWN.splitlines()) <= 30
        shown = json.loads((folder / "runs" / "publish-1" / "report.json").read_text())
        assert "grey" in shown["methods"]

    def test_every_number_has_runs_and_a_count(self, played: tuple[ComparisonReport, Path]) -> None:
        report, folder = played
        names = {run.name for run in report.runs}
        for each in report.methods:
            for risk in each.risks:
                assert risk.by_design or (risk.runs and set(risk.runs) <= names and risk.rate.n)
            assert each.worth is None or (set(each.worth.runs) <= names and each.worth.accuracy.n)
            assert all(isinstance(cost, Cost) for cost in each.costs)
        for run in report.runs:
            assert (folder / run.page).is_file()

    def test_the_page_needs_nothing_else_and_its_links_lead_somewhere(
        self, played: tuple[ComparisonReport, Path]
    ) -> None:
        report, folder = played
        page = (folder / "compare.html").read_text()
        links = set(re.findall(r'href="([^"#]+)', page))
        assert links
        assert all((folder / link).is_file() for link in links)
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
        assert "@import" not in page
        assert all(each.title in page for each in report.methods)

    def test_the_page_is_accessible(
        self, played: tuple[ComparisonReport, Path], faults_of: Callable[..., list[str]]
    ) -> None:
        assert faults_of(played[1] / "compare.html") == []

    def test_numbers_are_there_for_other_programs(self, played: tuple[ComparisonReport, Path]) -> None:
        report, folder = played
        assert ComparisonReport.model_validate_json((folder / "compare.json").read_text()) == report
        with (folder / "compare.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        found = {(line["method"], line["measure"]): float(line["value"]) for line in lines}
        raw = report.row(RAW).worth
        assert raw is not None
        assert found["raw", "accuracy"] == raw.accuracy.value
        assert (folder / "compare.tex").read_text().count(r"\\") == len(report.methods) + 1
        assert Result(report, folder).to_frame().shape[0] == len(lines)

    def test_a_finished_one_is_resumed_without_playing_and_with_the_same_page(
        self, played: tuple[ComparisonReport, Path], own: Path
    ) -> None:
        report, folder = played
        page = (folder / "compare.html").read_bytes()
        again = compare(load_comparison("quick", {**TINY, "methods": [*WANTED, str(own)]}), folder, 1, resume=True)
        assert again == report
        assert (folder / "compare.html").read_bytes() == page

    def test_without_an_attacker_nothing_else_changes(
        self, played: tuple[ComparisonReport, Path], own: Path, tmp_path: Path
    ) -> None:
        report, folder = played
        shutil.copytree(folder, tmp_path / "copy")
        settings = {**TINY, "methods": [*WANTED, str(own)], "attacks": ["-restored, then named", "-reconstructor"]}
        less = compare(load_comparison("quick", settings), tmp_path / "copy", 1, resume=True)
        assert "restored, then named by a CNN of clean images" in less.left_out
        assert [run.digest for run in less.runs] == [run.digest for run in report.runs]
        for before, after in zip(report.methods, less.methods, strict=True):
            assert (before.worth, before.costs, before.promise) == (after.worth, after.costs, after.promise)
            assert [each for each in before.risks if each.criterion != "reconstruction"] == [
                each for each in after.risks if each.criterion != "reconstruction"
            ]
        assert not less.row(RAW).worst("reconstruction")

    @pytest.mark.slow
    def test_one_that_was_interrupted_goes_on_to_the_same_numbers(
        self, played: tuple[ComparisonReport, Path], own: Path, tmp_path: Path
    ) -> None:
        def stop(what: str, done: int, total: int) -> None:
            if what.startswith("1 of"):
                raise KeyboardInterrupt

        comparison = load_comparison("quick", {**TINY, "methods": [*WANTED, str(own)]})
        with pytest.raises(KeyboardInterrupt):
            compare(comparison, tmp_path / "out", 1, progress=stop)
        assert not (tmp_path / "out").exists()
        kept = list((tmp_path / ".out.cells").iterdir())
        assert len(kept) == 1
        assert compare(comparison, tmp_path / "out", 1, resume=True).digest == played[0].digest

    @pytest.mark.slow
    def test_two_workers_come_to_the_same_numbers(
        self, played: tuple[ComparisonReport, Path], own: Path, tmp_path: Path
    ) -> None:
        comparison = load_comparison("quick", {**TINY, "methods": [*WANTED, str(own)]})
        assert compare(comparison, tmp_path / "out", 2).digest == played[0].digest


QUESTIONS = (
    Question(),
    Question(owners=2, distrust=frozenset(("cloud", "public")), least=0.0, most=0.6),
    Question(distrust=frozenset(), least=0.0, most=0.0),
    Question(distrust=frozenset(("participants",)), least=0.3, most=1.0, proven=True),
)


TEXT = "x => x.textContent"


class TestInTheBrowser:
    """What the page's script does is what Python says."""

    def ask(self, tab: Tab, question: Question) -> tuple[list[str], list[str], str]:
        tab.value(f"""(() => {{
            const form = document.getElementById("question");
            form.owners.value = {question.owners};
            form.least.value = {100 * question.least};
            form.most.value = {100 * question.most};
            form.proven.checked = {str(question.proven).lower()};
            const distrust = {json.dumps(sorted(question.distrust))};
            form.distrust.forEach(each => each.checked = distrust.includes(each.value));
            form.dispatchEvent(new Event("input"));
        }})()""")
        said = [
            json.loads(
                tab.value(f"JSON.stringify([...document.querySelectorAll('#{part} li')].map(x => x.textContent))")
            )
            for part in ("remain", "against")
        ]
        return said[0], said[1], tab.value("document.getElementById('asked').textContent")

    def test_the_chooser_follows_the_same_rule(
        self, played: tuple[ComparisonReport, Path], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        report, folder = played
        with chromium(tmp_path_factory.mktemp("chooser")) as tab:
            tab.open(folder / "compare.html", 1280, 900)
            for question in QUESTIONS:
                answers = choose(question, report.methods)
                remain, against, asked = self.ask(tab, question)
                assert asked == f"For {question}:"
                expected = [
                    each.title + (f"; not known: {'; '.join(each.open)}" if each.open else "")
                    for each in answers
                    if not each.against
                ]
                assert remain == (expected or ["None."])
                others = [f"{each.title}: {'; '.join(each.against)}" for each in answers if each.against]
                assert against == (others or ["None."])

    def test_the_table_sorts_and_filters(
        self, played: tuple[ComparisonReport, Path], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        report, folder = played
        rows = "[...document.querySelectorAll('#table tbody tr')].filter(x => !x.hidden)"
        shown = f"JSON.stringify({rows}.map(x => x.cells[0].innerText.split('\\n').at(-1)))"
        with chromium(tmp_path_factory.mktemp("table")) as tab:
            tab.open(folder / "compare.html", 390, 900, mobile=True)
            assert json.loads(tab.value(shown)) == [row.name for row in report.methods]
            column = 2 + CRITERIA.index("linkability")
            tab.value(f"document.querySelectorAll('#table th button')[{column}].click()")
            worst = {row.name: row.worst("linkability") for row in report.methods}
            known = {
                name: each.risk.value for name, each in worst.items() if each is not None and each.risk is not None
            }
            order = json.loads(tab.value(shown))
            values = [known[name] for name in order[: len(known)]]
            assert values == sorted(values)
            tab.value("words.value = 'grey'; words.dispatchEvent(new Event('input'))")
            assert json.loads(tab.value(shown)) == ["grey"]
            assert tab.value("document.getElementById('shown').textContent") == f"1 of {len(report.methods)} methods"


def test_sharing_nothing_leaks_nothing() -> None:
    assert [each.risk.value for each in nothing() if each.risk is not None] == [0.0] * len(CRITERIA)
