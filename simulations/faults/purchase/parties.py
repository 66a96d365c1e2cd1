"""The machines of buyers and sellers."""

from typing import TYPE_CHECKING, Any

from parties.party import Memory
from parties.purchase.buyer import Buyer
from protocol.encoding.codec import decode
from protocol.grids.grpc.frames import read_content
from protocol.journal import WorkflowState
from protocol.messages.purchase import Statement, VerificationCall
from protocol.storage.files import disk_failure
from protocol.wire import parley_pb2 as wire
from simulations.faults.parties import PartyMachine
from simulations.faults.purchase.cloud import Standing
from simulations.faults.virtual import Killed

if TYPE_CHECKING:
    from simulations.faults.purchase.town import PurchaseTown

POLL = 20.0
"""Seconds between two questions of a buyer for the state of its purchase."""
WISH = b"wish"


class SellerMachine(PartyMachine):
    """A seller's machine, or that of who says so."""


class BuyerMachine(PartyMachine):
    """A buyer's machine: it asks for one purchase, and afterwards whether that is over.

    Attributes:
        over: The state in which the purchase ended, once the buyer knows it.
    """

    town: "PurchaseTown"

    def __init__(self, town: "PurchaseTown", name: str, node: int, cheat: str | None, make: Any, starts: float) -> None:
        super().__init__(town, name, node, cheat, lambda: make(self.disk.folder / "bought"))
        self.over: WorkflowState | None = None
        self._starts = starts
        self._asked = 0
        self._checked: dict[bytes, float] = {}
        self._busy = 0.0

    @property
    def purchase(self) -> str:
        """The name of its purchase."""
        return f"{self.node}-{WISH.hex()}"

    def begin(self) -> None:
        """Attach, and ask."""
        super().begin()
        self._asked += 1
        asked = self._asked
        self.town.agenda.after(max(0.1, self._starts - self.town.agenda.now), lambda: self._ask(asked))

    def answer(self, frame: bytes) -> None:
        """Answer a question; to check pictures takes its time, once, and one question after the other."""
        question = wire.Question()
        question.ParseFromString(frame)
        agenda = self.town.agenda
        if question.type == "query.verify":
            images = len(decode(read_content(question.content), VerificationCall).releases)
            asked = question.group.encode() + question.content
            if asked not in self._checked:
                self._busy = max(self._busy, agenda.now) + images * self.town.looking
                self._checked[asked] = self._busy
            checked = self._checked[asked]
            if agenda.now < checked:
                agenda.after(checked - agenda.now, lambda: self.answer(frame))
                return
        super().answer(frame)

    def _ask(self, asked: int) -> None:
        if not self.alive or self.over is not None or asked != self._asked:
            return
        self.link.send("call", "up", WISH, lambda frame: self.town.cloud.call(self, frame))
        self.town.agenda.after(POLL, lambda: self._ask(asked))

    def told(self, frame: bytes) -> None:
        """Hear the state of the purchase."""
        standing = decode(read_content(frame), Standing)
        state = WorkflowState(standing.state)
        if not self.alive or state is WorkflowState.OPEN or self.over is not None:
            return
        try:
            if standing.statement is not None:
                self._settle(standing.statement)
        except Killed:
            return
        except Exception as error:
            if disk_failure(error) is None and not self.lost:
                self.town.violated("exception", f"{self.name}: {type(error).__name__}: {error}")
            if disk_failure(error) is not None:
                self.die(5.0)
                return
        self.over = state

    def _settle(self, statement: Statement) -> None:
        """Open what was paid for, if the purchase ended without this buyer."""
        buyer = self.made
        assert isinstance(buyer, Buyer)
        buyer.memory = Memory(self.store.state(self.purchase))
        buyer.open_rest(statement.releases)
