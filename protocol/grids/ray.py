"""Thousands of parties: a few Ray actors that hold many each."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Error, Message, Metadata, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from protocol.compute.ray_cluster import connect
from protocol.encoding.codec import copy_records, encoded_size
from protocol.errors import ProtocolError
from protocol.flower import FIRST_NODE_ID, reply, with_content, with_id
from protocol.grids.base import APP_FAILED, CarryingGrid, given_up
from protocol.grids.host import NodeHost

MAX_BATCH = 256
MAX_BATCH_BYTES = 16_000_000
"""Most messages, and most bytes, in one call of a worker; a single message may be larger."""
SPARE = 30.0
"""Seconds that a worker has beside its nodes' timeouts."""
WINDOW = 2
"""Calls that a worker has at once: one that it works on, one that waits for it."""


class WorkerFailed(ProtocolError):
    """A worker could not be started, or what its parties kept is lost."""


@dataclass
class _Batch:
    """Messages for one worker; `deaths` counts the workers that died of them."""

    messages: list[Message]
    timeout: float | None = None
    deaths: int = 0
    answers: Any = None
    states: Any = None


@dataclass
class _Worker:
    """A Ray actor, what it was sent, what waits, and where to find what its nodes kept after their last answers."""

    apps: Mapping[int, ClientApp]
    actor: Any = None
    waiting: deque[_Batch] = field(default_factory=deque)
    sent: deque[_Batch] = field(default_factory=deque)
    kept: dict[int, Any] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        """Whether the next batch may be sent; one under suspicion goes alone, so that it cannot be confused."""
        suspected = any(batch.deaths for batch in (*self.sent, self.waiting[0]))
        return len(self.sent) < (1 if suspected else WINDOW)


class _Nodes:
    """What a Ray actor is: a `NodeHost` that returns what its nodes keep beside their answers."""

    def __init__(self, apps: Mapping[int, ClientApp], total: int, run_id: int, run_config: UserConfig) -> None:
        self._host = NodeHost(apps, total, run_id, run_config)

    def restore(self, nodes: Sequence[Sequence[int]], *states: Mapping[int, RecordDict]) -> None:
        """Put back what nodes kept: some nodes for each of the states."""
        for some, found in zip(nodes, states, strict=True):
            self._host.restore((node_id, found[node_id]) for node_id in some if node_id in found)

    def deliver(
        self, messages: Sequence[tuple[Metadata, RecordDict]], timeout: float | None
    ) -> tuple[list[RecordDict | Error], dict[int, RecordDict]]:
        """Let nodes answer; return the answers, and the states of those that keep anything."""
        answers = self._host.deliver([with_content(metadata, content) for metadata, content in messages], timeout)
        states = {metadata.dst_node_id: self._host.state(metadata.dst_node_id) for metadata, _ in messages}
        return answers, {node_id: state for node_id, state in states.items() if len(state)}


class RayGrid(CarryingGrid):
    """A Flower grid whose nodes live in a few Ray actors.

    Sending works in five steps:

    1. messages are ordered by node id and cut into batches, each for one worker, which holds the nodes of
       a contiguous range;
    2. a worker gets its next batch when it has fewer than `WINDOW`;
    3. it lets its nodes answer as `LocalGrid` does, and returns the answers beside what the nodes keep in
       their `Context.state`, which stays in Ray's object store;
    4. answers are there for `pull_messages` as they come;
    5. when a worker dies, another takes its place with what the nodes had kept after their last answers,
       and gets the unanswered batches again, so that no party that answered sees a message twice. A message that
       two workers have died of is answered with an `Error`.

    Nodes, ids, order and replies are those of a `LocalGrid`, whatever the number of workers. It moves
    pickles between the processes of one user; peers that do not trust each other belong on separate
    machines.

    Args:
        apps: One app per node; the same app may stand for many. Apps are pickled.
        workers: How many actors, each a process of one thread.
        address: A running Ray cluster (see `protocol.compute.ray_cluster.connect`); None starts Ray here, and `close`
            stops it.
        run_config: The run's configuration, which every app sees.
        here: Nodes that stay in this process, such as one that writes files.
        gpus: Whether workers share the cluster's GPUs, where it has any: for parties that train.

    Raises:
        RayUnavailable: When Ray is not installed, or there is no cluster at the address.
        WorkerFailed: When a worker cannot be started.
    """

    def __init__(
        self,
        apps: Sequence[ClientApp],
        workers: int = 2,
        address: str | None = None,
        run_id: int = 1,
        run_config: UserConfig | None = None,
        here: Iterable[int] = (),
        gpus: bool = False,
    ) -> None:
        super().__init__(run_id)
        self._nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + len(apps))
        self._settings = (len(apps), run_id, run_config or {})
        mine = {node_id: apps[node_id - FIRST_NODE_ID] for node_id in here}
        self._host = NodeHost(mine, *self._settings)
        others = [node_id for node_id in self._nodes if node_id not in mine]
        ends = [len(others) * number // workers for number in range(workers + 1)]
        shares = [others[start:end] for start, end in itertools.pairwise(ends) if start < end]
        self._workers = [_Worker({node_id: apps[node_id - FIRST_NODE_ID] for node_id in share}) for share in shares]
        self._home = {node_id: worker for worker in self._workers for node_id in worker.apps}
        self._reply_ids: dict[str, str] = {}
        self._replies: dict[str, Message] = {}
        self._sent = 0
        self._connection = ExitStack()
        try:
            self._ray = self._connection.enter_context(connect(workers, address))
            there = int(self._ray.cluster_resources().get("GPU", 0)) if gpus else 0
            self._gpus = min(1.0, there / max(1, len(self._workers)))
            self._start(self._workers)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the workers, and Ray where it was started here."""
        for worker in self._workers:
            if worker.actor is not None:
                self._ray.kill(worker.actor)
                worker.actor = None
        self._connection.close()

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes, ascending."""
        return list(self._nodes)

    def state(self, node_id: int) -> RecordDict:
        """Return what a node keeps between messages; what is changed in it stays here."""
        if node_id not in self._home:
            return self._host.state(node_id)
        kept = self._home[node_id].kept.get(node_id)
        state: RecordDict = RecordDict() if kept is None else self._ray.get(kept).get(node_id, RecordDict())
        return state

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, in the order of their nodes' ids; `pull_messages` has the replies as they come."""
        return self._push(messages, None)

    def _push(self, messages: Iterable[Message], timeout: float | None) -> list[str]:
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        ids = [str(self._sent + number) for number in range(1, 2 * len(ordered) + 1)]
        self._sent += len(ids)
        for message, message_id, reply_id in zip(ordered, ids, ids[len(ordered) :], strict=False):
            self._reply_ids[with_id(message, message_id).metadata.message_id] = reply_id
        local = []
        for home, batch in _batches(ordered, self._home):
            if home is None:
                local += batch
            else:
                home.waiting.append(_Batch(batch, timeout))
        for worker in self._workers:
            self._feed(worker)
        for message, answer in zip(local, self._host.deliver(local, timeout), strict=True):
            self._answer(message, answer)
        return ids[: len(ordered)]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages that are there and have not been pulled yet."""
        while self._collect(0.0):
            pass
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies, in the order of the nodes' ids; those late are never returned.

        Args:
            timeout: Seconds that each node has, as on a `LocalGrid`. A worker that a node keeps from interrupting it
                is ended, as if it had died.
        """
        ids = self._push(messages, timeout)
        missing = {message_id for message_id in ids if message_id in self._reply_ids}
        while missing:
            if not self._collect(None if timeout is None else self._patience(timeout)):
                for worker in self._workers:
                    if worker.sent:
                        self._replace(worker)
            missing = {message_id for message_id in missing if message_id in self._reply_ids}
        return self.pull_messages(ids)

    def _patience(self, timeout: float) -> float:
        """Return for how long a worker may be silent that interrupts each of its nodes after the timeout."""
        longest = max((len(worker.sent[0].messages) for worker in self._workers if worker.sent), default=0)
        return timeout * longest + SPARE

    def _answer(self, message: Message, answer: RecordDict | Error) -> None:
        """Accept an answer, unless its question was given up."""
        reply_id = self._reply_ids.pop(message.metadata.message_id, None)
        if reply_id is not None and not given_up(answer):
            self._replies[message.metadata.message_id] = with_id(reply(message, answer), reply_id)

    def _start(self, workers: Sequence[_Worker]) -> None:
        """Start actors, and wait for them."""
        nodes = self._ray.remote(_Nodes)
        if self._gpus:
            nodes = nodes.options(num_cpus=0, num_gpus=self._gpus)  # or it would hold a CPU as long as it lives
        restored = []
        for worker in workers:
            worker.actor = nodes.remote(worker.apps, *self._settings)
            kept: dict[Any, list[int]] = {}
            for node_id, states in worker.kept.items():
                kept.setdefault(states, []).append(node_id)
            restored.append(worker.actor.restore.remote(list(kept.values()), *kept))
        try:
            self._ray.get(restored)
        except self._ray.exceptions.RayError as error:
            raise WorkerFailed(f"a Ray worker could not be started: {str(error).strip()}") from None

    def _feed(self, worker: _Worker) -> None:
        """Send a worker what it has room for."""
        while worker.waiting and worker.has_room:
            batch = worker.waiting.popleft()
            contents: dict[int, RecordDict] = {}
            for message in batch.messages:
                if id(message.content) not in contents:
                    contents[id(message.content)] = copy_records(message.content)
            letters = [(message.metadata, contents[id(message.content)]) for message in batch.messages]
            batch.answers, batch.states = worker.actor.deliver.options(num_returns=2).remote(letters, batch.timeout)
            worker.sent.append(batch)

    def _collect(self, timeout: float | None) -> bool:
        """Accept what workers have answered, waiting for the first; returns whether there was anything."""
        heads = {worker.sent[0].answers: worker for worker in self._workers if worker.sent}
        if not heads:
            return False
        ready, _ = self._ray.wait(list(heads), timeout=timeout)
        for answers in ready:
            self._receive(heads[answers])
        return bool(ready)

    def _receive(self, worker: _Worker) -> None:
        """Accept the answers to a worker's first batch, or replace the worker if it has died."""
        batch = worker.sent[0]
        try:
            answers: Sequence[RecordDict | Error] = self._ray.get(batch.answers)
        except self._ray.exceptions.RayActorError:
            self._replace(worker)
            return
        except self._ray.exceptions.RayError as error:
            answers = [Error(APP_FAILED, str(error))] * len(batch.messages)
        worker.sent.popleft()
        for message, answer in zip(batch.messages, answers, strict=True):
            worker.kept[message.metadata.dst_node_id] = batch.states
            self._answer(message, answer)
        self._feed(worker)

    def _replace(self, worker: _Worker) -> None:
        """Restart a worker and send again what was not answered; a batch that killed two is halved."""
        guilty, *others = worker.sent
        worker.sent.clear()
        self._ray.kill(worker.actor)
        self._start([worker])
        guilty.deaths += 1
        again = [guilty]
        if guilty.deaths > 1 and len(guilty.messages) > 1:
            half = len(guilty.messages) // 2
            again = [_Batch(part, guilty.timeout, 1) for part in (guilty.messages[:half], guilty.messages[half:])]
        elif guilty.deaths > 1:
            reason = f"{guilty.deaths} worker processes died while this node answered"
            self._answer(guilty.messages[0], Error(APP_FAILED, reason))
            again = []
        worker.waiting.extendleft(reversed([*again, *others]))
        self._feed(worker)


def _batches(
    messages: Sequence[Message], home: Mapping[int, _Worker]
) -> Iterator[tuple[_Worker | None, list[Message]]]:
    """Cut messages, in the order of their nodes, into what one worker, or this process, gets at once."""
    worker: _Worker | None = None
    batch: list[Message] = []
    size = 0
    sizes: dict[int, int] = {}
    for message in messages:
        content = message.content
        if id(content) not in sizes:
            sizes[id(content)] = encoded_size(content)
        its_home, its_size = home.get(message.metadata.dst_node_id), sizes[id(content)]
        if batch and (its_home is not worker or len(batch) == MAX_BATCH or size + its_size > MAX_BATCH_BYTES):
            yield worker, batch
            batch, size = [], 0
        worker = its_home
        batch.append(message)
        size += its_size
    if batch:
        yield worker, batch
