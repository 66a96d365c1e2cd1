"""The network under the cloud's grid: links on which frames are lost, repeated, late, or damaged."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from flwr.app import Error, Message

from protocol.encoding.codec import UnreadableMessage
from protocol.flower import with_id
from protocol.grids.base import UNREADABLE, CarryingGrid
from protocol.grids.grpc.frames import read_content, write_content
from protocol.wire import parley_pb2 as wire
from simulations.faults.schedule import Kind
from simulations.faults.virtual import Task

if TYPE_CHECKING:
    from simulations.faults.cloud import CloudMachine
    from simulations.faults.parties import PartyMachine
    from simulations.faults.town import Town

LATENCY, RECONNECT = (0.005, 0.05), (0.2, 3.0)
DELAY, OVERTAKEN, PARTITION = (1.0, 20.0), (0.2, 4.0), (1.0, 25.0)
"""Seconds, at least and at most."""
ABSENCE = 3.0
"""Seconds after which a party that has left counts as away."""
LOOK = 1.0
"""Seconds between two looks at who is away."""


def within(bounds: tuple[float, float], amount: float) -> float:
    """Return what lies between two bounds, at an amount of 0 to 1."""
    low, high = bounds
    return low + amount * (high - low)


class Link:
    """The connection between a party and the cloud.

    As over TLS, frames arrive in order and whole, or the connection breaks; then the party attaches again, and the
    cloud sends again what is not answered. Faults break that as far as a network can.

    Attributes:
        trouble: Seconds for which frames could not pass.
        longest: Seconds of the longest time away that has ended.
    """

    def __init__(self, town: "Town", party: "PartyMachine", cloud: "CloudMachine") -> None:
        self.town, self.party, self.cloud = town, party, cloud
        self.connected = False
        self.left = -math.inf
        self.trouble = 0.0
        self.longest = 0.0
        self._random = random.Random(f"{town.seed}/{party.name}/link")
        self._down_until = 0.0
        self._epoch = 0
        self._last = {"down": 0.0, "up": 0.0}

    @property
    def left_at(self) -> float:
        """When it left, or the cloud began to listen without it."""
        return max(self.left, self.cloud.began)

    @property
    def away(self) -> float:
        """Seconds of the longest time that the party was away, from the cloud's last start on."""
        return self.longest if self.connected else max(self.longest, self.town.agenda.now - self.left_at)

    def connect(self) -> None:
        """Attach, or try again later."""
        if self.connected or not self.party.alive:
            return
        if self.cloud.grid is None or self.town.agenda.now < self._down_until:
            self.town.agenda.after(within(RECONNECT, self._random.random()), self.connect)
            return
        self.connected = True
        self.longest = max(self.longest, self.town.agenda.now - self.left_at)
        self.town.note(self.party.name, "attaches")
        self.cloud.admit(self)
        self.cloud.grid.attached(self)

    def disconnect(self) -> None:
        """Break: what is under way is lost."""
        self._epoch += 1
        self._last = dict.fromkeys(self._last, self.town.agenda.now)
        if self.connected:
            self.connected = False
            self.left = self.town.agenda.now
            pause = within(RECONNECT, self._random.random())
            self.trouble += pause
            self.town.agenda.after(pause, self.connect)

    def send(self, kind: str, way: str, frame: bytes, deliver: Callable[[bytes], None]) -> None:
        """Send a frame, and call with it what it is for when it arrives.

        Args:
            kind: ``question``, ``answer`` or ``call``; a place for faults.
            way: ``up`` to the cloud, ``down`` to the party.
        """
        if not self.connected:
            return None
        self.town.carries(self, way, frame)
        agenda = self.town.agenda
        seconds, copies, overtaken = within(LATENCY, self._random.random()), 1, False
        fault = self.town.schedule.at(f"{self.party.name}/{kind}")
        if fault is not None:
            match fault.kind:
                case Kind.DROP:
                    self.town.strike(fault, self.party.name)
                    return self.disconnect()
                case Kind.FLIP:
                    self.town.strike(fault, self.party.name)
                    self.town.fuzz(way, flipped(frame, fault.amount))
                    return self.disconnect()
                case Kind.PARTITION:
                    self.town.strike(fault, self.party.name)
                    down = within(PARTITION, fault.amount)
                    self.trouble += down
                    self._down_until = agenda.now + down
                    return self.disconnect()
                case Kind.DUPLICATE:
                    self.town.strike(fault, self.party.name)
                    copies = 2
                case Kind.DELAY:
                    self.town.strike(fault, self.party.name)
                    seconds += within(DELAY, fault.amount)
                    self.trouble += seconds
                case Kind.REORDER:
                    self.town.strike(fault, self.party.name)
                    seconds, overtaken = seconds + within(OVERTAKEN, fault.amount), True
                    self.trouble += seconds
                case _:
                    (self.party if fault.amount < 0.5 else self.cloud).suffer(fault)
                    if not self.connected:
                        return None
        arrival = agenda.now + seconds
        if not overtaken:
            arrival = self._last[way] = max(self._last[way], arrival)
        epoch = self._epoch
        for _ in range(copies):
            agenda.after(arrival - agenda.now, lambda: deliver(frame) if self._epoch == epoch else None)
        return None


def flipped(frame: bytes, amount: float) -> bytes:
    """Return a frame with one bit flipped."""
    damaged = bytearray(frame)
    bit = int(amount * 8 * len(frame))
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@dataclass
class _Open:
    """A question that is not answered yet."""

    message: Message
    frame: bytes
    task: Task | None
    until: float
    answer: wire.Answer | None = None


class SimulatedGrid(CarryingGrid):
    """The cloud's grid: questions go along the links of attached parties, and again when these attach again.

    It lives as long as the cloud's program does. See `GrpcGrid`, which it stands for.
    """

    def __init__(self, town: "Town", links: dict[int, Link], life: int) -> None:
        super().__init__(run_id=1)
        self._town, self._links, self._life = town, links, life
        self._numbers = count(1)
        self._open: dict[str, _Open] = {}

    def close(self) -> None:
        """Release nothing."""

    def get_node_ids(self) -> Iterable[int]:
        """Return who is attached, or has just left, ascending."""
        if self._cut_off:
            return []
        now = self._town.agenda.now
        return sorted(node for node, link in self._links.items() if link.connected or now - link.left < ABSENCE)

    def roles(self) -> dict[int, str]:
        """Return the role that each node's certificate names."""
        return {node: link.party.role for node, link in self._links.items()}

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, in the order of their nodes' ids."""
        now = self._town.agenda.now
        self._open = {key: each for key, each in self._open.items() if each.until > now}
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        for message in ordered:
            about = message.metadata
            with_id(message, f"{self._life}-{next(self._numbers)}")
            content = b"".join(write_content(message.content))
            question = wire.Question(
                id=about.message_id, type=about.message_type, group=about.group_id, run_id=about.run_id, content=content
            )
            asked = _Open(message, question.SerializeToString(), self._town.agenda.task, now + about.ttl)
            self._open[about.message_id] = asked
            if about.dst_node_id in self._links:
                self._ask(self._links[about.dst_node_id], asked)
        return [message.metadata.message_id for message in ordered]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages that have not been pulled yet, in the order of their questions."""
        answered = [key for key, each in self._open.items() if each.answer is not None and key in set(message_ids)]
        return [self._reply(self._open.pop(key)) for key in answered]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Sequence[Message]:
        """Send messages, and return the replies that came in time, from parties that were not away for long."""
        agenda = self._town.agenda
        message_ids = list(self.push_messages(messages))
        end = math.inf if timeout is None else agenda.now + timeout
        while waiting := [each for each in map(self._open.get, message_ids) if each and each.answer is None]:
            until = min(end, max(self._awaited_until(each) for each in waiting))
            if agenda.now >= until:
                break
            assert agenda.task is not None
            agenda.task.pause(min(until - agenda.now, LOOK))
        replies = list(self.pull_messages(message_ids))
        for each in message_ids:
            self._open.pop(each, None)
        return replies

    def _awaited_until(self, asked: _Open) -> float:
        link = self._links[asked.message.metadata.dst_node_id]
        return asked.until if link.connected else min(asked.until, link.left_at + ABSENCE)

    def attached(self, link: Link) -> None:
        """Send again what is open."""
        for asked in list(self._open.values()):
            if self._links.get(asked.message.metadata.dst_node_id) is link and asked.answer is None:
                self._ask(link, asked)

    def hear(self, frame: bytes) -> None:
        """Take a party's answer; of several to one question the first one counts."""
        answer = wire.Answer()
        answer.ParseFromString(frame)
        asked = self._open.get(answer.question)
        if asked is not None and asked.answer is None:
            asked.answer = answer
            if asked.task is not None:
                self._town.agenda.after(0.0, asked.task.waker())

    @property
    def _cut_off(self) -> bool:
        """Whether the links are of a cloud that was started after this one."""
        return self._town.cloud.grid is not self

    def _ask(self, link: Link, asked: _Open) -> None:
        if not self._cut_off:
            link.send("question", "down", asked.frame, link.party.answer)

    def _reply(self, asked: _Open) -> Message:
        answer = asked.answer
        assert answer is not None
        try:
            if answer.HasField("failure"):
                return Message(Error(code=answer.failure.code, reason=answer.failure.reason), reply_to=asked.message)
            return Message(read_content(answer.content), reply_to=asked.message)
        except UnreadableMessage as error:
            return Message(Error(code=UNREADABLE, reason=str(error)), reply_to=asked.message)
