"""The page of one run: who did what when, and which fault struck."""

from dataclasses import dataclass
from pathlib import Path

from simulations.faults.run import Result
from simulations.faults.schedule import MEANING, Kind
from simulations.reports.page import write_page


@dataclass(frozen=True)
class Mark:
    """Something on a lane.

    Attributes:
        place: Percent of the run's time.
        kind: ``fault``, ``violation`` or ``event``.
    """

    place: float
    kind: str
    text: str


@dataclass(frozen=True)
class Timeline:
    """What the page is about."""

    summary: str
    command: str
    digest: str
    promises: list[str]
    lanes: dict[str, list[Mark]]
    rows: list[tuple[str, str, str, str]]
    meanings: dict[str, str]


def write_timeline(path: Path, result: Result) -> None:
    """Write the page of a run whose events are known."""
    end = max((event.at for event in result.events), default=0.0) or 1.0
    who = ["cloud", *result.parties]
    lanes: dict[str, list[Mark]] = {name: [] for name in who}
    rows = []
    for event in result.events:
        kind = "violation" if event.who == "!" else "fault" if event.what.startswith("! ") else "event"
        text = event.what.removeprefix("! ")
        rows.append((f"{event.at:.2f}", "promise broken" if kind == "violation" else event.who, text, kind))
        for name in who if kind == "violation" else [event.who]:
            lanes[name].append(Mark(round(100 * event.at / end, 2), kind, f"{event.at:.2f} s: {text}"))
    struck = sorted({fault.kind for fault in result.replay.faults})
    broken = f"{len(result.violations)} promises broken" if len(result.violations) != 1 else "One promise broken"
    write_page(
        path,
        "faults/timeline.html",
        Timeline(
            f"{broken} by {len(result.replay.faults)} faults in {end:.0f} seconds of virtual time.",
            f"parley faults {result.workflow} --replay '{result.replay}'",
            result.digest,
            [f"{each.promise}: {each.text} (after {each.at:.2f} s)" for each in result.violations],
            lanes,
            rows,
            {str(kind): MEANING[Kind(kind)] for kind in struck},
        ),
    )
