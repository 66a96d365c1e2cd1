"""The machines of buyers and sellers."""

import random
import time
from typing import TYPE_CHECKING, Any

from flwr.app import DEFAULT_TTL, Context, Error, Message, Metadata
from flwr.clientapp.typing import ClientAppCallable

from parties.party import Memory, Party
from parties.purchase.buyer import Buyer
from parties.store import PARTY, PartyStore
from protocol.encoding.codec import decode
from protocol.errors import ProtocolError
from protocol.exchange import reason_of
from protocol.flower import SERVER_NODE_ID, with_content
from protocol.grids.grpc.frames import read_content, write_content
from protocol.grids.host import NodeHost
from protocol.journal import WorkflowState
from protocol.messages.purchase import Statement
from protocol.storage.database import Database
from protocol.storage.files import disk_failure
from protocol.wire import parley_pb2 as wire
from simulations.faults.cloud import Standing
from simulations.faults.machine import Machine
from simulations.faults.network import Link
from simulations.faults.virtual import Killed

if TYPE_CHECKING:
    from simulations.faults.town import Town

POLL = 20.0
"""Seconds between two questions of a buyer for the state of its purchase."""
WISH = b"wish"
_ARRAY = b"\x93NUMPY"


class PartyMachine(Machine):
    """A party's machine.

    Attributes:
        node: The party's node.
        cheat: What it plays, if it is not honest: an adversary's name, or ``mutation`` of its answers' bytes.
    """

    link: Link
    role: str

    def __init__(self, town: "Town", name: str, node: int, cheat: str | None) -> None:
        super().__init__(town, name)
        self.node = node
        self.cheat = cheat
        self._mutations = random.Random(f"{town.seed}/{name}/mutations")
        self._host: NodeHost | None = None

    @property
    def honest(self) -> bool:
        """Whether it plays no cheat."""
        return self.cheat is None

    def party(self) -> Party:
        """Make the party anew."""
        raise NotImplementedError

    def begin(self) -> None:
        """Open the store, and attach."""
        self.store = PartyStore(Database(self.disk.engine(), PARTY), self.clock)
        self.made = self.party()
        app = self.store.app(self.made.client_app([self._watch]))
        self._host = NodeHost({self.node: app}, 1, 1, {})
        self.link.connect()

    def leave(self) -> None:
        """Break the link."""
        self.link.disconnect()

    def answer(self, frame: bytes) -> None:
        """Answer a question."""
        if not self.alive or self._host is None:
            return
        question = wire.Question()
        question.ParseFromString(frame)
        try:
            answer = self._answer(self._host, question)
        except Killed:
            return
        except BaseException as error:
            if (why := disk_failure(error)) is None:
                self.town.violated("exception", f"{self.name}: {type(error).__name__}: {error}")
                raise
            self.town.note(self.name, f"leaves: {why}")
            self.die(5.0)
            return
        self.link.send("answer", "up", answer, self.town.cloud.hear)

    def _answer(self, host: NodeHost, question: wire.Question) -> bytes:
        message = with_content(_metadata(question, self.node), read_content(question.content))
        (reply,) = host.deliver([message])
        self.town.saw(self, question.type, message.content, reply)
        if isinstance(reply, Error):
            reason = reason_of(reply).splitlines()[-1]
            self.town.note(self.name, f"fails {question.type}: {reason}")
            failure = wire.Failure(code=reply.code, reason=reason)
            return bytes(wire.Answer(question=question.id, failure=failure).SerializeToString())
        content = b"".join(write_content(reply))
        if self.cheat == "mutation" and self._mutations.random() < 0.4:
            content = mutated(content, self._mutations)
        return bytes(wire.Answer(question=question.id, content=content).SerializeToString())

    def _watch(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Note what an honest party raises that is no typed refusal."""
        try:
            return call_next(message, context)
        except Exception as error:
            typed = isinstance(error, ProtocolError) or disk_failure(error) is not None
            if self.honest and not typed and not self.lost:
                self.town.violated("exception", f"{self.name}: {type(error).__name__}: {error}")
            raise


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Return an answer's bytes with something changed: a bit, some bytes, its length, or the header of an array."""
    damaged = bytearray(content)
    place = generator.randrange(len(damaged))
    header = content.find(_ARRAY)
    match generator.randrange(4 if header < 0 else 8):
        case 0:
            damaged[place] ^= 1 << generator.randrange(8)
        case 1:
            damaged[place : place + generator.randrange(1, 9)] = generator.randbytes(generator.randrange(9))
        case 2:
            del damaged[place:]
        case 3:
            damaged[place:place] = damaged[place : place + generator.randrange(1, 33)]
        case _:
            place = header + generator.randrange(8, 80)
            damaged[place] = generator.choice(b"(){}[]'\",:\\\n\0<0 #")
    return bytes(damaged)


class SellerMachine(PartyMachine):
    """A seller's machine: `make` makes the seller."""

    role = "seller"

    def __init__(self, town: "Town", name: str, node: int, cheat: str | None, make: Any) -> None:
        super().__init__(town, name, node, cheat)
        self._make = make

    def party(self) -> Party:
        """Make the seller anew."""
        made: Party = self._make()
        return made


class BuyerMachine(PartyMachine):
    """A buyer's machine: it asks for one purchase, and afterwards whether that is over.

    Attributes:
        over: The state in which the purchase ended, once the buyer knows it.
    """

    role = "buyer"

    def __init__(self, town: "Town", name: str, node: int, cheat: str | None, make: Any, starts: float) -> None:
        super().__init__(town, name, node, cheat)
        self._make = make
        self.over: WorkflowState | None = None
        self._starts = starts
        self._asked = 0

    @property
    def purchase(self) -> str:
        """The name of its purchase."""
        return f"{self.node}-{WISH.hex()}"

    def party(self) -> Party:
        """Make the buyer anew."""
        made: Party = self._make(self.disk.folder / "bought")
        return made

    def begin(self) -> None:
        """Attach, and ask."""
        super().begin()
        self._asked += 1
        asked = self._asked
        self.town.agenda.after(max(0.1, self._starts - self.town.agenda.now), lambda: self._ask(asked))

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


def _metadata(question: wire.Question, node: int) -> Metadata:
    return Metadata(
        run_id=question.run_id,
        message_id=question.id,
        src_node_id=SERVER_NODE_ID,
        dst_node_id=node,
        reply_to_message_id="",
        group_id=question.group,
        created_at=time.time(),
        ttl=DEFAULT_TTL,
        message_type=question.type,
    )
