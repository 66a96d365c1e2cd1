"""One run of a scenario: where its parties are, what is seen of their messages, and what all reports have in common."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from flwr.app import RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from parties.adversaries import Adversary
from parties.workflow import Failure, Progress, Workflow, unwatched
from protocol.compute.workshop import Workshop
from protocol.flower import task_identity
from protocol.grids import Envelope, LocalGrid, NumberedGrid, ObservedGrid
from protocol.messages.base import ProtocolMessage
from protocol.storage.vault import Vault
from simulations.reports.model import Flow, RunReport, failed_steps, refused_steps, versions
from simulations.runs.cells import CELLS, KeepingWorkshop
from simulations.runs.grids import OpenedGrid, grid_opener, worker_count
from simulations.runs.progress import Stopwatch
from simulations.runs.views import TrafficLog, View
from simulations.runs.workshops import open_workshop
from simulations.scenarios.adversaries import cheat_of_server
from simulations.scenarios.base import Scenario

TWIN = "twin"
"""The folder in which a run's honest twin is played, and how those begin in which one cheat is missing."""
RUN_ID = 1
"""Flower's number of the run; a session plays one."""

Report = TypeVar("Report", bound=RunReport)
OTHERS = ""
"""Of all that belongs to no method of its own: roll calls, and what all of them need."""


@dataclass
class Tally:
    """What was said and done, by role or by node.

    Attributes:
        sent, received, messages: By role: bytes, and messages sent and received.
        worked: Seconds of CPU by node; None where the grid does not measure them.
        answers: Messages that each party has sent, by its name.
    """

    sent: Counter[str]
    received: Counter[str]
    messages: Counter[str]
    worked: Mapping[int, float] | None
    answers: Counter[str]

    def since(self, before: "Tally") -> "Tally":
        """Return what came after an earlier one."""
        worked = None
        if self.worked is not None:
            earlier = before.worked or {}
            worked = {node: seconds - earlier.get(node, 0.0) for node, seconds in self.worked.items()}
        return Tally(
            self.sent - before.sent, self.received - before.received, self.messages - before.messages, worked,
            self.answers - before.answers,
        )  # fmt: skip

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together."""
        worked = None
        if self.worked is not None and other.worked is not None:
            worked = {
                node: self.worked.get(node, 0.0) + other.worked.get(node, 0.0)
                for node in {**self.worked, **other.worked}
            }
        return Tally(
            self.sent + other.sent, self.received + other.received, self.messages + other.messages, worked,
            self.answers + other.answers,
        )  # fmt: skip


W = TypeVar("W", bound=Workflow[Any])


class Session:
    """A run while it is played; what it keeps beside its report is gone when it ends.

    1. The world is built, and attackers say what they look at (`view`).
    2. Parties are put on the scenario's grid (`grid`); every message is logged in ``messages.jsonl`` and seen by views.
    3. The workflow is played, and the run's report written (`report`, `write`).

    Args:
        folder: Where the run is written.
        progress: Told of each step as it begins.
        steps: How many there will be, about.
    """

    def __init__(self, scenario: Scenario, folder: Path, progress: Progress, steps: int) -> None:
        self.scenario = scenario
        self.folder = folder
        self._scratch: list[Path] = []
        self.vault = Vault(self.scratch("vault"), lasting=False)
        self._clock = Stopwatch(progress, steps)
        self._messages = (folder / "messages.jsonl").open("w", encoding="utf-8")
        self._log = TrafficLog(self._messages)
        self._views: list[View] = []
        self._opened: OpenedGrid | None = None
        self._worked: Mapping[int, float] | None = None
        self._charged: tuple[str, Tally] | None = None
        self.charges: dict[str, Tally] = {}
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._messages.close()
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)

    def scratch(self, name: str) -> Path:
        """Return a new folder for what is not kept."""
        folder = (self.folder / name).resolve()
        folder.mkdir()
        self._scratch.append(folder)
        return folder

    def workshop(self) -> Workshop:
        """Return where the run's models are trained; what its jobs come to is kept with the run, and its twin's."""
        run = self.folder.parent if self.folder.name.partition("-")[0] == TWIN else self.folder
        return KeepingWorkshop(open_workshop(self.scenario), run / CELLS)

    def step(self, name: str) -> None:
        """Begin something that is not a step of the workflow."""
        self._clock.step(name)

    def on_step(self, number: int, name: str) -> None:
        """Begin a step of the workflow."""
        self._clock.step(name, number)

    def server(self, known: Mapping[str, Adversary], honest: type[W]) -> type[W]:
        """Return the workflow as the scenario's server drives it; where it cheats, the report says so.

        Args:
            known: The ways to cheat that the scenario chooses from.
            honest: The workflow of an honest server.
        """
        mixes = self.scenario.adversaries
        name = cheat_of_server(mixes, known, honest.role)
        if name is None:
            return honest
        does = known[name].summary
        self._notes.append(f"Adversary {name}, the {honest.role}: {does[:1].lower()}{does[1:]}")
        cheating: type[W] = known[name].cast(**mixes[name].settings)
        return cheating

    def twin(self, play: Callable[..., Report], adversaries: Mapping[str, Adversary]) -> dict[str, Report]:
        """Play the same world without those who cheat, and if wanted without each way to cheat, all others in place.

        Args:
            play: As the workflow is played.

        Returns:
            By what is missing: a cheat, or all of them; nothing where nobody cheats, or nobody wants to know.
        """
        if not (self.scenario.cheats and self.scenario.twin):
            return {}
        self.step("playing the honest twin")
        names = list(self.scenario.adversaries)
        missing = names[0] if len(names) == 1 else f"all {len(names)}"
        found = {missing: play(self.scenario.honest(), self.scratch(TWIN), unwatched, adversaries)}
        if self.scenario.twin == "each" and len(names) > 1:
            alone = self.scenario.model_copy(update={"twin": False, "expect": {}})
            for name in names:
                self.step(f"playing the twin without {name}")
                reformed = {**adversaries, name: adversaries[name].reformed()}
                found[name] = play(alone, self.scratch(f"{TWIN}-{name}"), unwatched, reformed)
        return found

    def view(self, observer: int | None, *kinds: type[ProtocolMessage]) -> View:
        """Keep the messages of some kinds that come to one party, or to any."""
        self._views.append(View(observer, *kinds))
        return self._views[-1]

    def observe(self, envelope: Envelope) -> None:
        """See one message."""
        self._log.observe(envelope)
        for view in self._views:
            view.observe(envelope)

    @contextmanager
    def grid(
        self,
        apps: Sequence[ClientApp],
        names: Mapping[int, str],
        *,
        here: Sequence[int] = (),
        gpus: bool = False,
        carry: Callable[[Grid], Grid] = lambda grid: grid,
        opened: NumberedGrid | None = None,
    ) -> Iterator[Grid]:
        """Put parties on the scenario's grid; all that it carries is seen.

        Args:
            apps: The parties, by node id.
            names: Every node as in ``messages.jsonl``: ``role`` or ``role-n``.
            here, gpus: See `grid_opener`.
            carry: Puts links around the grid.
            opened: Where the parties are already.
        """
        self._log.names = names
        with ExitStack() as stack:
            opening: AbstractContextManager[OpenedGrid] = (
                grid_opener(self.scenario, self.vault, here, gpus=gpus)(apps) if opened is None else nullcontext(opened)
            )
            self._opened = stack.enter_context(opening)
            stack.enter_context(task_identity(RUN_ID))
            yield ObservedGrid(carry(self._opened), self.observe)
            self.charge(OTHERS)
            self._worked = self._opened.worked() if isinstance(self._opened, LocalGrid) else None

    def charge(self, method: str) -> None:
        """Put down to a method what parties say and do from now on, until another one is named."""
        now = self.tally()
        if self._charged is not None:
            name, before = self._charged
            spent = now.since(before)
            self.charges[name] = self.charges[name] + spent if name in self.charges else spent
        self._charged = method, now

    def tally(self) -> Tally:
        """Return what parties have said and done so far."""
        sent, received, messages = Counter[str](), Counter[str](), Counter[str]()
        for flow in self.flows:
            sent[flow.source] += flow.bytes
            received[flow.target] += flow.bytes
            messages[flow.source] += flow.messages
            messages[flow.target] += flow.messages
        worked = self._worked
        if worked is None and isinstance(self._opened, LocalGrid):
            worked = dict(self._opened.worked())
        return Tally(sent, received, messages, worked, Counter(self._log.answers))

    def state(self, node_id: int) -> RecordDict:
        """Return what a party keeps; only the simulation sees it, while the grid is open."""
        assert self._opened is not None
        return self._opened.state(node_id)

    @property
    def flows(self) -> list[Flow]:
        """What has been said so far."""
        return self._log.flows

    @property
    def parties(self) -> dict[str, list[int]]:
        """Node ids of the parties of each role."""
        roles: dict[str, list[int]] = {}
        for node_id, name in self._log.names.items():
            roles.setdefault(name.partition("-")[0], []).append(node_id)
        return roles

    def name_of(self, node_id: int) -> str:
        """Return a node's name, as in ``messages.jsonl``."""
        return self._log.names[node_id]

    def report(self, kind: type[Report], failures: Iterable[Failure], *, notes: Sequence[str], **rest: Any) -> Report:
        """Return the run's report: what all have in common, and the `rest`."""
        self.step("writing the report")
        failures = list(failures)
        if self.scenario.cohort is None:  # else methods are compared person by person
            for part in {"leaks", "utility"} & rest.keys():
                rest[part] = [row.model_copy(update={"people": {}}) for row in rest[part]]
        return kind(
            scenario=self.scenario.model_dump(mode="json"),
            seed=self.scenario.seed,
            grid=self.scenario.grid,
            workers=worker_count(self.scenario),
            traffic=self.flows,
            timings=self._clock.timings(),
            failed=failed_steps(failures, self._log.names.__getitem__),
            refusals=refused_steps(failures),
            versions=versions(),
            notes=[*self._notes, *notes],
            **rest,
        )

    def write(self, report: RunReport, page: Callable[[Path], None]) -> None:
        """Write ``report.json``, and have ``report.html`` written."""
        (self.folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        page(self.folder / "report.html")
