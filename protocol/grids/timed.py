"""Any grid in virtual time: nodes that take their time, and links that lose, repeat and delay messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from protocol.encoding.codec import encoded_size
from protocol.flower import with_id
from protocol.grids.forwarding import ForwardingGrid

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Work = Callable[[int, Message, Message], float]
"""Seconds that the reference device takes over a step: the node's place, the question, the answer."""

_DRAWS = range(7)
_NO_QUESTION, _NO_ANSWER, _THERE, _QUESTION_TWICE, _ANSWER_TWICE, _QUESTION_DELAY, _ANSWER_DELAY = _DRAWS


class VirtualClock:
    """Virtual seconds; they pass when somebody waits, never by themselves."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(frozen=True)
class Nodes:
    """What the nodes of a grid and their links are like: arrays of shape (n,), in the order of node ids.

    Attributes:
        speed: How many times as fast as the reference device.
        uplink, downlink: Bytes per second.
        latency, delay: Seconds that each message takes beside its transfer: always, and on average on top of it
            (exponential, so that messages overtake each other).
        drop, duplicate: Probabilities that a message, a question or an answer, is lost, or arrives twice.
        availability: Probability that a node is there when a question comes.
        unable: Each (n,); steps, and the nodes that cannot do them.
    """

    speed: Floats
    uplink: Floats
    downlink: Floats
    latency: Floats
    delay: Floats
    drop: Floats
    duplicate: Floats
    availability: Floats
    unable: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def perfect(cls, count: int) -> "Nodes":
        """Return nodes that take no time, on links that lose nothing."""
        never, always, at_once = np.zeros(count), np.ones(count), np.full(count, np.inf)
        return cls(at_once, at_once, at_once, never, never, never, never, always)

    def and_strangers(self) -> "Nodes":
        """Return these nodes and, as the last one, a perfect one: it stands for all that the grid does not have."""
        values = {name: getattr(self, name) for name in vars(self) if name != "unable"}
        perfect = Nodes.perfect(1)
        joined = {name: np.append(array, getattr(perfect, name)) for name, array in values.items()}
        return Nodes(**joined, unable={step: np.append(who, False) for step, who in self.unable.items()})


class Fate(IntEnum):
    """What became of a question."""

    ANSWERED = 0
    LATE = 1
    LOST = 2
    ABSENT = 3
    UNABLE = 4


@dataclass(frozen=True)
class TimedExchange:
    """Questions that were sent together, and their answers; times in virtual seconds.

    Attributes:
        step: What was asked for (``bid`` of ``query.bid``).
        start, end: When the questions were sent, and when nobody waited for answers any more.
        nodes: (m,); whom they went to, node ids.
        arrived: (m,), when each answer came, infinite where none ever did.
        fates: (m,); what became of each, `Fate`.
    """

    step: str
    start: float
    end: float
    nodes: NDArray[np.int64]
    arrived: Floats
    fates: NDArray[np.int64]


@dataclass(frozen=True)
class _Flight:
    """Questions under way, and the answers that will come; see `TimedExchange`."""

    step: str
    start: float
    nodes: NDArray[np.int64]
    arrived: Floats
    fates: NDArray[np.int64]
    answers: Sequence[Message | None]

    def part(self, indices: Sequence[int]) -> "_Flight":
        """Return some of them."""
        answers = [self.answers[index] for index in indices]
        chosen = np.array(indices, dtype=np.int64)
        return _Flight(self.step, self.start, self.nodes[chosen], self.arrived[chosen], self.fates[chosen], answers)


class TimedGrid(ForwardingGrid):
    """Any grid, in the virtual time that its nodes and links would take. Nobody sleeps.

    A question and its answer take these steps:

    1. the question travels (latency, delay, its bytes over the downlink), unless it is lost or the node is not there;
    2. the node begins when it is free, and works for the declared seconds divided by its speed; a question that
       arrives twice is worked on twice, and the second answer is ignored;
    3. the answer travels (latency, delay, its bytes over the uplink), unless it is lost;
    4. who waits hears the answers in the order of their arrival until the timeout, and moves the clock to then, or to
       the last answer if all have come. Where no timeout was named, a message that will never come is given up.

    All chances are drawn from the seed, the node and the number of the message to it, so that they depend on no grid,
    no worker and no wall clock. The sender's own link and computation take no time.

    Args:
        nodes: One entry per node of the grid.
        work: The declared cost of a step.
        seed: For all chances, 0 to 2^64 - 1.
        give_up: Seconds after which a message that will never come is given up where no timeout was named.
        clock: Moved by this grid; to be read by whoever sets deadlines.

    Attributes:
        busy: (n + 1,) float64, seconds that each node has worked; the last entry is for nodes that the grid does not
            have.
        received, sent: (n + 1,) float64, bytes that each node has received and sent.
        exchanges: All that was said, in order.

    Raises:
        ValueError: When there is not one entry per node.
    """

    def __init__(self, grid: Grid, nodes: Nodes, work: Work, seed: int, give_up: float, clock: VirtualClock) -> None:
        super().__init__(grid)
        self._places = {node_id: place for place, node_id in enumerate(grid.get_node_ids())}
        count = len(self._places)
        if len(nodes.speed) != count:
            raise ValueError(f"the grid has {count} nodes, and {len(nodes.speed)} are described")
        self._nodes = nodes.and_strangers()
        self._work = work
        self._seed = seed
        self._give_up = give_up
        self._clock = clock
        self._free = np.zeros(count + 1)
        self._asked = np.zeros(count + 1, dtype=np.int64)
        self._flights: dict[str, tuple[_Flight, int]] = {}
        self._undelivered = 0
        self.busy = np.zeros(count + 1)
        self.received = np.zeros(count + 1)
        self.sent = np.zeros(count + 1)
        self.exchanges: list[TimedExchange] = []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages now; what comes of them is heard with `pull_messages`."""
        ids = []
        for batch in _one_each(messages):
            flight = self._travel(batch)
            for index, question in enumerate(batch):
                ids.append(question.metadata.message_id)
                self._flights[ids[-1]] = (flight, index)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Wait for the replies to these messages and return them, in the order of their arrival."""
        wanted: dict[int, tuple[_Flight, list[int]]] = {}
        for flight, index in (self._flights.pop(each) for each in message_ids if each in self._flights):
            wanted.setdefault(id(flight), (flight, []))[1].append(index)
        return [answer for flight, indices in wanted.values() for answer in self._wait(flight.part(indices), None)]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies that come before the timeout (virtual seconds), as they arrive."""
        flights = [self._travel(batch) for batch in _one_each(messages)]
        return [answer for flight in flights for answer in self._wait(flight, timeout)]

    def _travel(self, questions: Sequence[Message]) -> _Flight:
        """Take questions to different nodes there, and their answers back."""
        now, nodes = self._clock.now, self._nodes
        abouts = [question.metadata for question in questions]
        ids = np.array([about.dst_node_id for about in abouts], dtype=np.int64)
        steps = np.array([about.message_type.partition(".")[2] for about in abouts])
        places = np.array([self._places.get(node_id, -1) for node_id in ids.tolist()], dtype=np.int64)
        lots = _lots(self._seed, places, self._asked[places])
        self._asked[places] += 1

        drop, duplicate = nodes.drop[places], nodes.duplicate[places]
        absent = lots[_THERE] >= nodes.availability[places]
        unable = np.zeros(len(questions), dtype=bool)
        for step, who in nodes.unable.items():
            unable |= (steps == step) & who[places]
        reached = ~(absent | unable | (lots[_NO_QUESTION] < drop))
        twice = reached & (lots[_QUESTION_TWICE] < duplicate)

        answers: list[Message | None] = [None] * len(questions)
        going = np.flatnonzero(reached).tolist()
        for index, answer in zip(going, self._deliver([questions[index] for index in going]), strict=True):
            answers[index] = answer
        self._deliver([_copy(self._grid, questions[index]) for index in np.flatnonzero(twice).tolist()])
        for index in np.flatnonzero(~reached).tolist():
            self._undelivered += 1
            with_id(questions[index], f"undelivered-{self._undelivered}")
        replied = np.array([answer is not None for answer in answers])

        down, up = _sizes(questions), _sizes(answers)
        seconds = [
            0.0 if answer is None else self._work(place, question, answer)
            for place, question, answer in zip(places.tolist(), questions, answers, strict=True)
        ]
        working = np.array(seconds) / nodes.speed[places]
        delay, latency = nodes.delay[places], nodes.latency[places]
        there = now + latency + _exponential(lots[_QUESTION_DELAY], delay) + down / nodes.downlink[places]
        done = np.maximum(there, self._free[places]) + working
        back = done + latency + _exponential(lots[_ANSWER_DELAY], delay) + up / nodes.uplink[places]
        heard = replied & (lots[_NO_ANSWER] >= drop)

        self._free[places] = np.where(reached, done + twice * working, self._free[places])
        self.busy[places] += (1 + twice) * working
        self.received[places] += (reached.astype(int) + twice) * down
        self.sent[places] += (1 + twice + (lots[_ANSWER_TWICE] < duplicate)) * up
        fates = np.select([absent, unable, ~heard], [Fate.ABSENT, Fate.UNABLE, Fate.LOST], Fate.ANSWERED)
        return _Flight(str(steps[0]), now, ids, np.where(heard, back, np.inf), fates, answers)

    def _deliver(self, questions: Sequence[Message]) -> list[Message | None]:
        """Let the grid below carry questions; return the answer to each."""
        if not questions:
            return []
        answers = {each.metadata.reply_to_message_id: each for each in self._grid.send_and_receive(questions)}
        return [answers.get(question.metadata.message_id) for question in questions]

    def _wait(self, flight: _Flight, timeout: float | None) -> list[Message]:
        """Move the clock to the last answer or the timeout, and return the answers that have come by then."""
        coming = np.isfinite(flight.arrived)
        if timeout is not None:
            limit = flight.start + timeout
        else:
            patience = flight.start if coming.all() else flight.start + self._give_up
            limit = max(patience, float(flight.arrived[coming].max(initial=flight.start)))
        in_time = flight.arrived <= limit
        end = float(flight.arrived.max()) if in_time.all() else limit
        self._clock.now = max(self._clock.now, end)
        fates = np.where(coming & ~in_time, Fate.LATE, flight.fates)
        self.exchanges.append(TimedExchange(flight.step, flight.start, end, flight.nodes, flight.arrived, fates))
        order = [index for index in np.lexsort((flight.nodes, flight.arrived)).tolist() if in_time[index]]
        return [answer for index in order if (answer := flight.answers[index]) is not None]


def _one_each(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Sort messages by node; a node's second message goes with the next batch."""
    batches: list[dict[int, Message]] = []
    for message in messages:
        node_id = message.metadata.dst_node_id
        batch = next((each for each in batches if node_id not in each), None)
        if batch is None:
            batches.append(batch := {})
        batch[node_id] = message
    for batch in batches:
        yield [batch[node_id] for node_id in sorted(batch)]


def _copy(grid: Grid, message: Message) -> Message:
    """Return the same message as if sent once more."""
    about = message.metadata
    return grid.create_message(message.content, about.message_type, about.dst_node_id, about.group_id, about.ttl)


def _sizes(messages: Sequence[Message | None]) -> Floats:
    """Return the bytes of each, 0 for none; content that many messages share is measured once."""
    contents = [message.content if message is not None and message.has_content() else None for message in messages]
    known = {id(content): encoded_size(content) for content in contents if content is not None}
    return np.array([known.get(id(content), 0) for content in contents], dtype=np.float64)


def _exponential(lots: Floats, mean: Floats) -> Floats:
    """Return exponential delays of these means."""
    delays: Floats = -np.log1p(-lots) * mean
    return delays


def _lots(seed: int, places: Places, numbers: Places) -> Floats:
    """Draw numbers in [0, 1), of shape (draws, m), each from the seed, a node's place and a message's number alone.

    SplitMix64's finalizer (Steele, Lea, Flood, OOPSLA 2014), applied once per part of the key.
    """
    keys = np.full(len(places), seed, dtype=np.uint64)
    for part in (places, numbers):
        keys = _mixed(keys ^ _mixed(part.astype(np.uint64)))
    lots = _mixed(keys[None, :] ^ _mixed(np.arange(1, len(_DRAWS) + 1, dtype=np.uint64))[:, None])
    drawn: Floats = (lots >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        keys = keys + np.uint64(0x9E3779B97F4A7C15)
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return keys ^ (keys >> np.uint64(31))
