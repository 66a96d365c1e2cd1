"""A small town whose cloud and parties keep all they have in one folder, and may die at any point."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from conftest import small
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Connection, Engine, event

from parties.adversaries.delivery import SwappedDelivery
from parties.album import Album
from parties.broker import Broker
from parties.featurizers import load_featurizer
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.record import PurchaseRecord
from parties.purchase.seller import Seller
from parties.purchase.workflow import played_by
from parties.store import PartyStore
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.journal import Journal, WorkflowState
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.runs.seeding import secret
from simulations.workflows.purchase.play import make_cloud
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import build

BUYER = FIRST_NODE_ID
WISH = b"wish"
NOON = 1_000_000.0
SCENARIO = small(
    seed=39,
    buyer={"samples": {"count": 3}, "mechanism": "descending-clock"},
    sellers={"count": 2, "noise": 0, "album": {"images": 2}},
)
"""Three bids: one of the cheating first seller is refunded, one of the second is accepted, one declined."""


class Crash(BaseException):
    """The process dies here."""


class Points:
    """Counts the points at which a process may die, and dies at one of them for good."""

    def __init__(self, fatal: int | None = None) -> None:
        self.passed: Counter[str] = Counter()
        self.fatal = fatal

    def __call__(self, kind: str) -> None:
        self.passed[kind] += 1
        if self.fatal is not None and self.passed.total() >= self.fatal:
            raise Crash(f"at point {self.fatal}")


@contextmanager
def watched(point: Callable[[str], None]) -> Iterator[None]:
    """Visit each point: before each commit of a database, each change of the vault, each file of the buyer."""

    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("parley_writes"):
            point("commit")

    patches: list[tuple[Any, str]] = [
        (LocalFileSystem, "open"),
        (LocalFileSystem, "mv"),
        (LocalFileSystem, "rm_file"),
        (Path, "replace"),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name in patches]

    def visiting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def visit(*args: Any, **kwargs: Any) -> Any:
            point(name)
            return original(*args, **kwargs)

        return visit

    event.listen(Engine, "commit", commit)
    for owner, name, original in originals:
        setattr(owner, name, visiting(name, original))
    try:
        yield
    finally:
        event.remove(Engine, "commit", commit)
        for owner, name, original in originals:
            setattr(owner, name, original)


class MortalApp(ClientApp):
    """May die before it hears a message, and after it has answered."""

    def __init__(self, app: ClientApp, point: Callable[[str], None]) -> None:
        super().__init__()
        self._app, self._point = app, point

    def __call__(self, message: Message, context: Context) -> Message:
        step = message.metadata.message_type.partition(".")[2]
        self._point(f"question {step}")
        reply = self._app(message, context)
        self._point(f"answer {step}")
        return reply


@dataclass(frozen=True)
class Outcome:
    """All that must not depend on when somebody died."""

    purchases: list[tuple[str, int, str, int]]
    entries: list[tuple[str, int, str]]
    escrows: list[tuple[str, str]]
    balances: dict[str, int]
    bought: dict[str, str]
    vault: list[str]


class Quick:
    """The small featurizer, which remembers the features of every picture it has seen."""

    def __init__(self) -> None:
        self._featurizer = load_featurizer("small")
        self._seen: dict[bytes, Any] = {}

    def features(self, images: Iterable[Any]) -> Any:
        rows = [self._feature(np.asarray(image)) for image in images]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def _feature(self, image: Any) -> Any:
        key = repr(image.shape).encode() + image.tobytes()
        if key not in self._seen:
            self._seen[key] = self._featurizer.features([image])[0]
        return self._seen[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._featurizer, name)


@cache
def quick() -> Any:
    return Quick()


@cache
def _parties(scenario: str) -> tuple[Buyer, list[Seller]]:
    world = build(PurchaseScenario.model_validate_json(scenario), quick(), Path("nowhere"))
    return world.buyer, [held.party for held in world.sellers]


class Town:
    """The cloud, a buyer or several, and sellers, all of them made anew each time from the folder alone."""

    scenario = SCENARIO

    def __init__(self, root: Path, url: str | None = None, buyers: int = 1) -> None:
        self.root = root
        self.url = url or f"sqlite:///{root / 'cloud.db'}"
        self.buyers = buyers
        self.first_seller: type[Seller] = SwappedDelivery
        self.clock: Callable[[], float] = lambda: NOON
        self.change_cloud: Callable[[Cloud], Cloud] = lambda cloud: cloud
        root.mkdir(parents=True, exist_ok=True)

    def album(self, album: Album) -> Album:
        """What a seller holds."""
        return album

    def parties(self) -> list[Buyer | Seller]:
        """Everybody, by node."""
        buyer, sellers = _parties(self.scenario.model_dump_json())
        buyers = [
            Buyer(
                secret(self.scenario.seed, "buyer", index),
                buyer.samples,
                buyer.budget,
                buyer.quality,
                buyer.featurizer,
                self.bought(index),
                mechanism=buyer.mechanism,
            )
            for index in range(self.buyers)
        ]
        roles = {FIRST_NODE_ID + self.buyers: self.first_seller}
        return [
            *buyers,
            *(
                roles.get(node, Seller)(s.secret, self.album(s.album), s.costs, s.featurizer)
                for node, s in enumerate(sellers, FIRST_NODE_ID + self.buyers)
            ),
        ]

    def bought(self, index: int = 0) -> Path:
        return self.root / f"bought-{index}"

    def cloud(self) -> Cloud:
        cloud = make_cloud(self.scenario, quick(), Ledger(self.url), Vault(str(self.root / "vault")))
        return self.change_cloud(replace(cloud, clock=self.clock))

    @contextmanager
    def grid(self, point: Callable[[str], None] = lambda kind: None) -> Iterator[Grid]:
        with ExitStack() as stack:
            apps: list[ClientApp] = []
            for node, party in enumerate(self.parties(), FIRST_NODE_ID):
                store = stack.enter_context(closing(PartyStore(self.root / f"party-{node}.db")))
                apps.append(MortalApp(store.app(party.client_app()), point))
            yield LocalGrid(apps)

    @contextmanager
    def alive(
        self,
        point: Callable[[str], None] = lambda kind: None,
        grid: Grid | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Iterator[tuple[Broker, list[PurchaseRecord]]]:
        """Bring everybody to life; when the block ends, or somebody dies, all that is not in the folder is gone."""
        records: list[PurchaseRecord] = []
        with ExitStack() as stack:
            grid = grid or stack.enter_context(self.grid(point))
            cloud = self.cloud()
            stack.callback(cloud.ledger.close)
            play = played_by(cloud, lambda name, record: records.append(record))
            journal = Journal(cloud.ledger.database, cloud.vault)
            yield Broker(journal, grid, {"purchase": play}, cloud.clock, monotonic), records

    def play(self, point: Callable[[str], None] = lambda kind: None) -> list[PurchaseRecord]:
        """Play one purchase, in this thread, as far as it has not been played before; returns its record if it ends.

        It takes no time, so that its deadlines, and the names of its bids, are the same however often it is played.
        """
        with watched(point), self.alive(point, monotonic=lambda: 0.0) as (broker, records):
            broker.journal.tidy(before=float("inf"))
            name = f"{BUYER}-{WISH.hex()}"
            broker.journal.begin(name, "purchase", BUYER, self.clock())
            if broker.journal.workflow(name).state is WorkflowState.OPEN:
                broker.play(name)
            return records

    def outcome(self) -> Outcome:
        with closing(Ledger(self.url)) as ledger:
            journal = Journal(ledger.database, self.cloud().vault)
            return Outcome(
                purchases=[(row.name, row.opener, str(row.state), row.step) for row in journal.workflows()],
                entries=sorted((entry.account, entry.amount, entry.memo) for entry in ledger.entries()),
                escrows=sorted((escrow.escrow_id, str(escrow.state)) for escrow in ledger.escrows()),
                balances=ledger.balances(),
                bought={
                    f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in sorted(self.root.glob("bought-*/**/*.png"))
                },
                vault=sorted(path.name for path in (self.root / "vault").iterdir()),
            )
