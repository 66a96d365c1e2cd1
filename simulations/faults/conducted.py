"""Towns whose workflow keeps no journal: it ends with its cloud's machine, and the operator begins it again."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Error, RecordDict

from parties.party import Party
from parties.workflow import Workflow, WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.storage.files import disk_failure
from simulations.faults.cloud import CloudMachine
from simulations.faults.network import ABSENCE
from simulations.faults.parties import PartyMachine
from simulations.faults.schedule import Schedule
from simulations.faults.town import Town


@dataclass(frozen=True)
class Attempt:
    """A workflow that has ended with its cloud alive.

    Attributes:
        why: Why it failed, if it did: one sentence, or the name of what the host raised.
        host_failed: Whether it was the cloud's disk.
    """

    workflow: Workflow[Any]
    conversation: str
    why: str
    host_failed: bool


class Conductor(CloudMachine):
    """A cloud that leads one workflow without a journal: it ends with its machine, and the operator begins another.

    Args:
        make: Makes the workflow: from its exchange, and a name that no other one has.
        close: Called with a workflow that is over, however.

    Attributes:
        attempt: The one that has ended.
    """

    def __init__(
        self,
        town: Town,
        make: Callable[[Exchange, str], Workflow[Any]],
        close: Callable[[Any], None] = lambda workflow: None,
    ) -> None:
        super().__init__(town)
        self._make = make
        self._close = close
        self.attempt: Attempt | None = None

    def begin(self) -> None:
        """Listen, and begin a workflow unless one has ended."""
        super().begin()
        for link in self.links.values():
            link.longest = 0.0
        if self.attempt is None:
            self.gathered(lambda: self.thread(self._play, [f"attempt-{self.life}"], "workflow").start())

    def end(self) -> None:
        """Unwind what was under way: an operator who stops this cloud ends that, too."""
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.kill()

    def _play(self, name: str) -> None:
        assert self.grid is not None
        workflow = self._make(Exchange(self.grid, lambda: self.town.agenda.now, name), name)
        why, host_failed = "", False
        try:
            workflow.run()
        except WorkflowFailed as failed:
            why = str(failed)
        except Exception as error:
            why, host_failed = type(error).__name__, disk_failure(error) is not None
            if not host_failed:
                self.town.violated("exception", f"cloud: {why}: {error}")
        finally:
            self._close(workflow)
        self.attempt = Attempt(workflow, name, why, host_failed)
        self.town.note("cloud", f"ends {name}{f': {why}' if why else ''}")


class ConductedTown(Town):
    """A conductor and parties of one role.

    What must be true of every workflow:

    - it ends, or fails with one sentence;
    - whoever answered that it failed is recorded as a failure;
    - an honest party that lost nothing, and was never away for longer than the grid waits, is not, whatever others do.
    """

    RATE = 0.2

    cloud: Conductor

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        super().__init__(seed, folder, schedule, without)
        self.cloud = self.machines["cloud"] = Conductor(self, self.workflow, self.close_workflow)
        self._erred: set[tuple[int, int, str]] = set()

    @abstractmethod
    def workflow(self, exchange: Exchange, name: str) -> Workflow[Any]:
        """Make a workflow."""

    def close_workflow(self, workflow: Any) -> None:
        """Called when a workflow is over."""

    def populate(self, role: str, number: int, cheat: str | None, make: Callable[[str, str | None], Party]) -> None:
        """Let a party live here; `make` makes it from its name and what it plays."""
        node = FIRST_NODE_ID + number
        name = f"{role}-{node}"
        self.settle(PartyMachine(self, name, node, cheat, lambda: make(name, cheat)))

    def settled(self) -> bool:
        """Whether a workflow has ended."""
        return self.cloud.attempt is not None

    def saw(self, party: PartyMachine, kind: str, question: RecordDict, answer: RecordDict | Error) -> None:
        """Remember who said that it failed."""
        super().saw(party, kind, question, answer)
        if isinstance(answer, Error):
            self._erred.add((self.cloud.life, party.node, kind.removeprefix("query.")))

    def undisturbed(self, party: PartyMachine) -> bool:
        """Whether a party is honest, lost nothing, and was there all the time of the last attempt."""
        return party.honest and not party.lost and party.link.away < ABSENCE - 0.1

    def check(self) -> None:
        """Note every promise that was broken."""
        attempt = self.cloud.attempt
        if attempt is None:
            return
        if "\n" in attempt.why:
            self.violated("sentence", f"it fails with more than a sentence: {attempt.why!r}")
        record = attempt.workflow.record
        recorded = {(each.node_id, each.step) for each in record.failures}
        life = int(attempt.conversation.rpartition("-")[2])
        for party in self.parties.values():
            for each in record.failures:
                if each.node_id == party.node and self.undisturbed(party):
                    self.violated(party.role, f"honest {party.name} is recorded as failed: {each.line}")
        for _, node, step in sorted(each for each in self._erred if each[0] == life):
            if (node, step) not in recorded:
                self.violated("record", f"{self.parties[node].name} failed {step}, and nothing says so")
        if not attempt.why:
            self.check_result(attempt)

    @abstractmethod
    def check_result(self, attempt: Attempt) -> None:
        """Look at a workflow that has not failed."""

    def outcomes(self) -> Counter[str]:
        """Count what became of the workflow and of the parties."""
        attempt = self.cloud.attempt
        honest = [party for party in self.parties.values() if party.honest]
        ended = {} if attempt is None else {self.AIM if not attempt.why else f"{self.AIM}, failed": 1}
        return Counter(
            ended
            | {"attempts that ended with the machine": self.cloud.life - 1}
            | {"honest parties": len(honest), "honest parties undisturbed": sum(map(self.undisturbed, honest))}
        )
