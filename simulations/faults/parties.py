"""The machine of a party."""

import random
import time
from typing import TYPE_CHECKING, Any

from flwr.app import DEFAULT_TTL, Context, Error, Message, Metadata
from flwr.clientapp.typing import ClientAppCallable

from parties.party import Party
from parties.store import PARTY, PartyStore
from protocol.errors import ProtocolError
from protocol.exchange import reason_of
from protocol.flower import SERVER_NODE_ID, with_content
from protocol.grids.grpc.frames import read_content, write_content
from protocol.grids.guard import HostFailed
from protocol.grids.host import NodeHost
from protocol.storage.database import Database
from protocol.storage.files import disk_failure
from protocol.wire import parley_pb2 as wire
from simulations.faults.machine import Machine
from simulations.faults.network import Link
from simulations.faults.virtual import Killed

if TYPE_CHECKING:
    from simulations.faults.town import Town

_ARRAY = b"\x93NUMPY"


class PartyMachine(Machine):
    """A party's machine.

    Args:
        make: Makes the party.

    Attributes:
        node: The party's node.
        cheat: What it plays, if it is not honest: an adversary's name, or ``mutation`` of its answers' bytes.
    """

    link: Link

    def __init__(self, town: "Town", name: str, node: int, cheat: str | None, make: Any) -> None:
        super().__init__(town, name)
        self.node = node
        self.cheat = cheat
        self._make = make
        self._mutations = random.Random(f"{town.seed}/{name}/mutations")
        self._host: NodeHost | None = None

    @property
    def role(self) -> str:
        """The role that its certificate names."""
        return self.name.partition("-")[0]

    @property
    def urn(self) -> str:
        """The name in its certificate."""
        return f"urn:parley:{self.role}:{self.name}"

    @property
    def honest(self) -> bool:
        """Whether it plays no cheat."""
        return self.cheat is None

    def party(self) -> Party:
        """Make the party anew."""
        made: Party = self._make()
        return made

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
        except (Exception, HostFailed) as error:
            why = disk_failure(error)
            if why is None and isinstance(error, HostFailed) and self.lost:
                why = str(error)  # its disk is rotten
            if why is None:
                self.town.violated("exception", f"{self.name}: {type(error).__name__}: {error}")
                why = "it has failed"
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
    """Return an answer's bytes with something changed: a bit, some bytes, length, or an array's header or values."""
    damaged = bytearray(content)
    place = generator.randrange(len(damaged))
    header = content.find(_ARRAY)
    match generator.randrange(5 if header < 0 else 9):
        case 0:
            damaged[place] ^= 1 << generator.randrange(8)
        case 1:
            damaged[place : place + generator.randrange(1, 9)] = generator.randbytes(generator.randrange(9))
        case 2:
            del damaged[place:]
        case 3:
            damaged[place:place] = damaged[place : place + generator.randrange(1, 33)]
        case 4:
            start = place if header < 0 else header + generator.randrange(128, 256)
            run = slice(start, start + generator.randrange(8, 17))
            damaged[run] = b"\xff" * len(damaged[run])  # no number, or -1
        case _:
            place = header + generator.randrange(8, 80)
            damaged[place] = generator.choice(b"(){}[]'\",:\\\n\0<0 #")
    return bytes(damaged)


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
