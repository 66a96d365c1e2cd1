"""All papers on one page: every claim, its verdict, and a link to the paper's own page."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import RunFailed
from simulations.reports.reproduction import (
    Cell,
    Claim,
    Interval,
    ReproductionReport,
    Row,
    write_reproduction,
)
from simulations.studies.reproductions import REPRODUCTIONS
from simulations.studies.reproductions.everything import run_all

VERDICTS = ("holds", "does not hold", "not shown")


def one(name: str, folder: Path, progress: Callable[[str, int, int], None]) -> ReproductionReport:
    progress("training", 1, 2)
    half = Interval(low=0.4, mean=0.5, high=0.6)
    report = ReproductionReport(
        name=name, title=f"Title of {name}", summary="It was done.", settings=["It was small."], columns=["ours"],
        rows=[
            Row(what=("with the paper's",), cells={"ours": Cell(paper=0.7, ours=half)}),
            Row(what=("without",), cells={"ours": Cell(paper=None, ours=half)}),
        ],
        claims=[Claim(text=f"{name} {verdict}", verdict=verdict, evidence="a - b") for verdict in VERDICTS],
        seeds=[1, 2], equipment="here", devices={"CPU": 1}, seconds=1.0, versions={},
    )  # fmt: skip
    folder.mkdir()
    write_reproduction(folder, report)
    return report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("all") / "out"
    run_all([1, 2], out, lambda what, done, total: None, one)
    return out


def test_every_claim_is_on_the_page_with_a_link_to_its_paper(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    for name in REPRODUCTIONS:
        assert all(f"{name} {verdict}" in page for verdict in VERDICTS)
    links = re.findall(r'href="([^"#]+)"', page)
    assert sorted(links) == sorted(f"{name}/report.html" for name in REPRODUCTIONS)
    assert all((folder / link).is_file() for link in links)
    assert page.count("with the paper&#39;s") == len(REPRODUCTIONS)
    n = len(REPRODUCTIONS)
    said = f"{n} reproductions, {3 * n} claims: {n} hold here, {n} do not, and {n} are not shown either way."
    assert said in page
    assert json.loads((folder / "index.json").read_text())["kind"] == "reproductions"


def test_the_page_is_accessible(folder: Path, faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(folder / "index.html") == []


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_all([1, 2], tmp_path / "out", lambda what, done, total: told.append((done, total)), one)
    assert [done for done, _ in told] == [100 * number + 50 for number in range(len(REPRODUCTIONS))]
    assert {total for _, total in told} == {100 * len(REPRODUCTIONS)}


def test_nothing_stays_when_one_fails(tmp_path: Path) -> None:
    def fails(name: str, folder: Path, progress: Callable[[str, int, int], None]) -> ReproductionReport:
        if name == "pric":
            raise RunFailed("no")
        return one(name, folder, progress)

    with pytest.raises(RunFailed):
        run_all([1, 2], tmp_path / "out", lambda what, done, total: None, fails)
    assert list(tmp_path.iterdir()) == []
