"""Runs anybody's Flower app on our grids, so that the same seed gives the same run."""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, cast

from flwr.app import ConfigRecord, Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from protocol.compute.ray_cluster import RayUnavailable
from protocol.errors import BadApp, GridUnavailable, RunFailed, UserError, last_sentence, nearest
from protocol.exchange import reason_of
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity, with_content
from protocol.flower_modules import AppModules
from protocol.flower_project import FlowerProject, UnknownKey, UnusableApp, load_project
from protocol.grids import LocalGrid, RayGrid
from protocol.grids.forwarding import ForwardingGrid
from protocol.grids.ray import WorkerFailed
from simulations.runs.entropy import noting_unseeded
from simulations.runs.seeding import reproducible

RUN_ID = 1

OpenGrid = Callable[[Sequence[ClientApp], int, UserConfig], AbstractContextManager[Grid]]
"""Opens a grid of one node per app, for a run of this id and configuration."""


class Exchanges(BaseModel):
    """What was asked of the nodes under one message type.

    Attributes:
        message_type: ``train``, ``evaluate``, ``query.<name>``, ...
        rounds: How many times nodes were asked.
        messages, failures: Messages sent, and nodes that failed to answer one.
    """

    model_config = ConfigDict(frozen=True)

    message_type: str
    rounds: int
    messages: int
    failures: int


class Failure(BaseModel):
    """A node that did not answer: a traceback, or one sentence that says why."""

    model_config = ConfigDict(frozen=True)

    partition: int
    message_type: str
    traceback: str

    @property
    def reason(self) -> str:
        """The last line of the traceback."""
        return last_sentence(self.traceback)


class FlowerRun(BaseModel):
    """A run of a Flower app. What it computed is where its ServerApp put it.

    Attributes:
        unseeded: Lines of the app that drew random numbers which do not follow from the seed.
    """

    model_config = ConfigDict(frozen=True)

    app: str
    nodes: int
    seed: int
    seconds: float
    exchanges: list[Exchanges]
    failures: list[Failure]
    unseeded: list[str] = []

    @property
    def messages(self) -> int:
        """Messages sent to nodes."""
        return sum(exchange.messages for exchange in self.exchanges)


def on_grid(kind: Literal["local", "ray"], workers: int = 2, address: str | None = None) -> OpenGrid:
    """Say where nodes run: in this process, or on Ray workers, of this machine or of the cluster at an address."""
    if kind == "local":
        return LocalGrid
    return lambda apps, run_id, run_config: RayGrid(apps, workers, address, run_id, run_config)


def run(directory: Path, open_grid: OpenGrid, nodes: int, overrides: Sequence[str] = (), seed: int = 7) -> FlowerRun:
    """Run a Flower app as ``flwr run`` does, on a grid of ours.

    1. the app is loaded from its directory, with its configuration and the overrides;
    2. each node holds the app's ClientApp and knows its ``partition-id`` and ``num-partitions``;
    3. the ServerApp drives the grid; replies come ordered by node id;
    4. generators are seeded, global ones of `random`, `numpy.random` and `torch` and those made without a seed: once
       for the ServerApp, and for each message of each node anew, so that the run does not depend on how nodes are
       spread over workers.

    Args:
        directory: The app: a ``pyproject.toml`` with ``[tool.flwr.app]``, and its code.
        overrides: As ``flwr run --run-config`` takes them.
        seed: The same one gives the same run.

    Raises:
        BadApp: When the app cannot be loaded, or has no such configuration.
        RunFailed: When its ServerApp raises, whose traceback goes to stderr, or waits for nodes that there are not.
    """
    with threadpool_limits(limits=1), reproducible(seed, "server"):
        project = _load(directory, overrides)
        apps = [Reproducible(project.client_app, seed, project.directory)] * nodes
        start = time.perf_counter()
        try:
            with open_grid(apps, RUN_ID, project.run_config) as grid:
                tally = TallyGrid(grid, project.modules)
                with noting_unseeded(project.directory, tally.note):
                    _serve(project, tally)
        except (RayUnavailable, WorkerFailed) as failed:
            raise GridUnavailable(str(failed)) from None
        return FlowerRun(
            app=project.name,
            nodes=nodes,
            seed=seed,
            seconds=time.perf_counter() - start,
            exchanges=tally.exchanges,
            failures=tally.failures,
            unseeded=list(tally.unseeded),
        )


def _load(directory: Path, overrides: Sequence[str]) -> FlowerProject:
    try:
        return load_project(directory, overrides)
    except UnknownKey as unknown:
        advice = nearest(unknown.key, unknown.keys) if unknown.keys else "it has none at all"
        raise BadApp(f"--run-config: {unknown}; {advice}") from None
    except UnusableApp as unusable:
        raise BadApp(str(unusable)) from None


def _serve(project: FlowerProject, grid: Grid) -> None:
    context = Context(
        run_id=RUN_ID, node_id=SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config=project.run_config
    )
    with task_identity(RUN_ID):
        try:
            with project.modules.inside():
                project.server_app(grid, context)
        except UserError:
            raise
        except Exception as error:
            traceback.print_exc()
            raise RunFailed(
                f"the ServerApp of {project.name} raised {last_sentence(traceback.format_exc())}"
            ) from error


class Reproducible(ClientApp):
    """A node's app whose random numbers follow from the seed, the node and how often it was called.

    The count travels in the node's state, where the app does not see it. Lines that draw from `os.urandom` are named
    in the reply, from which `TallyGrid` takes them.
    """

    _CALLS = "parley.calls"
    UNSEEDED = "parley.unseeded"

    def __init__(self, app: ClientApp, seed: int, directory: Path) -> None:
        super().__init__()
        self._app = app
        self._seed = seed
        self._directory = directory

    def __call__(self, message: Message, context: Context) -> Message:
        """Handle a message."""
        kept = context.state.pop(self._CALLS, None)
        calls = cast(int, kept["count"]) if isinstance(kept, ConfigRecord) else 0
        lines: dict[str, None] = {}
        with (
            reproducible(self._seed, "node", context.node_id, calls),
            noting_unseeded(self._directory, lambda line: lines.update({line: None})),
        ):
            reply = self._app(message, context)
        if isinstance(context.state, RecordDict):  # or the grid says what is wrong
            context.state[self._CALLS] = ConfigRecord({"count": calls + 1})
        if lines and isinstance(reply, Message) and reply.has_content():
            reply.content[self.UNSEEDED] = ConfigRecord({"lines": list(lines)})
        return reply


class TallyGrid(ForwardingGrid):
    """A grid that counts what is asked of nodes and keeps the tracebacks of those that raise.

    A ServerApp may use it from several threads, as Flower's older strategies do. It is told the last
    line of a node's traceback, and stopped when it waits for nodes that will never come.
    """

    PATIENCE = 10
    """Looks for nodes, and seconds, after which a ServerApp that asks them nothing is stopped."""

    def __init__(self, grid: Grid, modules: AppModules) -> None:
        super().__init__(grid)
        self._modules = modules
        self.failures: list[Failure] = []
        self.unseeded: dict[str, None] = {}
        self._messages: Counter[str] = Counter()
        self._rounds: dict[str, set[str]] = {}
        self._sends = 0
        self._lock = threading.RLock()
        self._looks = 0
        self._first_look = 0.0

    @property
    def exchanges(self) -> list[Exchanges]:
        """All that was asked, in the order in which it began."""
        failed = Counter(failure.message_type for failure in self.failures)
        return [
            Exchanges(message_type=kind, rounds=len(self._rounds[kind]), messages=messages, failures=failed[kind])
            for kind, messages in self._messages.items()
        ]

    def note(self, line: str) -> None:
        """Note a line of the app that no seed reaches."""
        self.unseeded[line] = None

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        with self._parley():
            found = list(super().get_node_ids())
        now = time.monotonic()
        self._first_look = self._first_look if self._looks else now
        self._looks += 1
        if self._looks > self.PATIENCE and now - self._first_look > self.PATIENCE:
            raise RunFailed(f"the app waits for more nodes than the {len(found)} there are: raise --nodes")
        return found

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        with self._parley():
            return super().push_messages(self._sent(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return replies that have come."""
        with self._parley():
            return [self._received(reply) for reply in super().pull_messages(message_ids)]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies."""
        with self._parley():
            sent = self._sent(messages)
            replies = [self._received(reply) for reply in super().send_and_receive(sent, timeout=timeout)]
            answered = {reply.metadata.reply_to_message_id for reply in replies}
            self.failures += [
                _failure(message.metadata.dst_node_id, message, f"no answer within {timeout:g} s")
                for message in sent
                if timeout is not None and message.metadata.message_id not in answered
            ]
            return replies

    @contextmanager
    def _parley(self) -> Iterator[None]:
        """Let Parley's code run, in one thread at a time."""
        with self._lock, self._modules.outside():
            yield

    def _sent(self, messages: Iterable[Message]) -> list[Message]:
        sent = list(messages)
        self._sends += 1
        self._looks = 0
        for message in sent:
            kind = message.metadata.message_type
            self._messages[kind] += 1
            self._rounds.setdefault(kind, set()).add(message.metadata.group_id or f"send {self._sends}")
        return sent

    def _received(self, reply: Message) -> Message:
        if not reply.has_error():
            noted = reply.content.pop(Reproducible.UNSEEDED, None)
            for line in cast(list[str], noted["lines"]) if isinstance(noted, ConfigRecord) else ():
                self.note(line)
            return reply
        failure = _failure(reply.metadata.src_node_id, reply, reason_of(reply.error))
        self.failures.append(failure)
        return with_content(reply.metadata, Error(code=reply.error.code, reason=failure.reason))


def _failure(node_id: int, message: Message, reason: str) -> Failure:
    return Failure(partition=node_id - FIRST_NODE_ID, message_type=message.metadata.message_type, traceback=reason)
