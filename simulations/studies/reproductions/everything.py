"""All reproductions one after the other, and one page of all their claims."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from parties.workflow import Progress
from simulations.reports.page import write_page
from simulations.reports.reproduction import Claim, ReproductionReport, Row, cell
from simulations.runs.output import whole_or_nothing
from simulations.studies.reproductions import REPRODUCTIONS

NOT_HERE = {
    "CrowdBuy": "Fig. 6, shares of noise sellers: `parley run purchase --set sweep={}`. Times on phones: told from the"
    " paper's, by `parley run purchase-phones`.",
    "Deep Poisoning": "at the paper's scale: `parley reproduce deep-poisoning --dataset imagenet --root FOLDER`.",
    "PRIC": "at the paper's scale: `parley reproduce pric --dataset celeba --root FOLDER`.",
    "Image Obfuscation": "Tables 2 and 3 among people: `parley survey make`. At full size: `parley reproduce"
    " obfuscation --dataset oxford_pets --root FOLDER`.",
    "Privacy Challenges": "a survey; what it describes is measured by `parley run publish` and `parley compare`.",
}
"""What of the five papers is not computed by this command, and how it can be."""


class Reproduced(BaseModel):
    """One paper.

    Attributes:
        page: Its own page, from this one's folder.
        compared: Rows with numbers of the paper's beside ours.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    page: str
    settings: list[str]
    columns: list[str]
    compared: list[Row]
    claims: list[Claim]
    seeds: int
    seconds: float


class Everything(BaseModel):
    """All of them."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["reproductions"] = "reproductions"
    schema_version: int = 1
    summary: str
    papers: list[Reproduced]
    not_here: dict[str, str]


def run_all(
    seeds: Sequence[int], out: Path, progress: Progress, run_one: Callable[[str, Path, Progress], ReproductionReport]
) -> Everything:
    """Reproduce every paper, each in a folder of its own, and write ``index.html`` and ``index.json``.

    Args:
        run_one: Runs one by its name, and writes its folder.

    Raises:
        OutputExists: When the folder is there.
        RunFailed: When a job failed.
    """
    with whole_or_nothing(out) as folder:
        papers = []
        for number, name in enumerate(REPRODUCTIONS):
            report = run_one(name, folder / name, _part(progress, name, number))
            papers.append(
                Reproduced(
                    name=name,
                    title=report.title,
                    page=f"{name}/report.html",
                    settings=report.settings,
                    columns=report.columns,
                    compared=[row for row in report.rows if any(each.paper is not None for each in row.cells.values())],
                    claims=report.claims,
                    seeds=len(seeds),
                    seconds=report.seconds,
                )
            )
        verdicts = [claim.verdict for paper in papers for claim in paper.claims]
        found = Everything(
            summary=(
                f"{len(papers)} reproductions, {len(verdicts)} claims: {verdicts.count('holds')} hold here, "
                f"{verdicts.count('does not hold')} do not, and {verdicts.count('not shown')} are not shown either way."
            ),
            papers=papers,
            not_here=NOT_HERE,
        )
        (folder / "index.json").write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_page(folder / "index.html", "studies/reproductions/everything.html", found, {"cell": cell})
    return found


def _part(progress: Progress, name: str, number: int) -> Progress:
    """Return what tells of one reproduction as a part of all, which take about as long."""

    def tell(what: str, done: int, total: int) -> None:
        share = done / total if total else 0.0
        progress(f"{name}: {what}", round(100 * (number + share)), 100 * len(REPRODUCTIONS))

    return tell
