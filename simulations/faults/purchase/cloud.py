"""The cloud's machine, which sells pictures: ledger, vault, journal and broker."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DatabaseError

from deploy.cloud import LAST_ABORT
from parties.broker import Broker
from parties.purchase.cloud import Cloud
from parties.purchase.record import PurchaseRecord
from parties.purchase.statements import statement
from parties.purchase.workflow import played_by
from parties.workflow import OnStep, WorkflowFailed
from protocol.encoding.codec import encode
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.grids.grpc.frames import write_content
from protocol.journal import Interrupted, Journal, WorkflowRow, WorkflowState
from protocol.messages.base import Name, ProtocolMessage
from protocol.messages.purchase import Statement
from protocol.storage.database import Database, opening
from protocol.storage.files import disk_failure
from protocol.storage.ledger import Ledger, ScopeClosed
from protocol.storage.ledger.audit import audit
from protocol.storage.tables import CLOUD
from protocol.storage.vault import Vault
from simulations.faults.cloud import CloudMachine
from simulations.faults.schedule import Fault, Kind
from simulations.faults.virtual import Killed

if TYPE_CHECKING:
    from simulations.faults.purchase.parties import BuyerMachine
    from simulations.faults.purchase.town import PurchaseTown

PURCHASE = "purchase"


class Standing(ProtocolMessage):
    """How a purchase stands; once it has ended, with the buyer's statement."""

    state: Name
    statement: Statement | None = None


class BooksWrong(ProtocolError):
    """The audit at the start has found something; an operator has to restore a backup."""


class PurchaseCloud(CloudMachine):
    """The cloud's machine: ledger, vault, journal, broker.

    Args:
        cloud: Makes the cloud from its ledger and vault.
    """

    town: "PurchaseTown"

    def __init__(self, town: "PurchaseTown", cloud: Callable[[Ledger, Vault], Cloud]) -> None:
        super().__init__(town)
        self._cloud = cloud
        self._broker: Broker | None = None
        self._aborted: set[str] = set()
        self._books: dict[str, list[tuple[Any, ...]]] | None = None
        self.records: dict[str, PurchaseRecord] = {}

    def begin(self) -> None:
        """Open the books, listen, and go on with open purchases."""
        ledger = Ledger(self._opened_books())
        vault = Vault(self.disk.folder / "vault")
        cloud = self._opened = replace(self._cloud(ledger, vault), clock=self.clock)
        super().begin()
        assert self.grid is not None
        broker = Broker(
            Journal(ledger.database, vault),
            self.grid,
            {PURCHASE: self._watched(played_by(cloud, self.records.__setitem__))},
            self.clock,
            lambda: self.town.agenda.now,
            self.stopping,
            self.thread,
        )
        self.gathered(lambda: self._resume(broker))

    def _opened_books(self) -> Database:
        """Open and audit the books, as `deploy.books` does."""
        engine = self.disk.engine()
        with opening("sqlite://"):
            database = Interleaving(engine, self.town)
            with engine.connect() as connection, connection.begin():
                found = audit(connection)
        if wrong := found.sentences():
            raise BooksWrong(wrong[0])
        if self._books is not None and (before := self._books) != self.money():
            self.town.violated("books", f"the cloud starts on books that have changed: {changed(before, self.money())}")
        self._books = None
        return database

    def idle(self) -> bool:
        """Whether no purchase is open; if the disk cannot tell, the audit at the next start says so."""
        try:
            return not self.disk.rows("SELECT 1 FROM workflows WHERE state = 'open'")
        except sqlite3.DatabaseError:
            return True

    def money(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all that the books say of money."""
        return {table: self.disk.rows(f"SELECT * FROM {table}") for table in ("accounts", "entries", "escrows")}

    def harmed(self) -> None:
        """Remember the money, before a bit of the disk flips."""
        try:
            self._books = self.money()
        except sqlite3.DatabaseError:
            self._books = None  # it is rotten already, or there is none yet

    def set_back(self) -> None:
        """Expect what the money was no longer."""
        self._books = None

    def unbootable(self, error: Exception) -> None:
        """Leave it to the operator if the disk has changed, and else try again."""
        if Kind.ROT in self.lost and isinstance(error, ProtocolError):
            self.town.close_down(str(error))
        else:
            super().unbootable(error)

    def _resume(self, broker: Broker) -> None:
        try:
            broker.resume()
        except Killed:
            return
        except Exception as error:
            self.unbootable(error)
            return
        self._broker = broker

    def leave(self) -> None:
        """Break all links."""
        self._broker = None
        super().leave()

    def call(self, buyer: "BuyerMachine", wish: bytes) -> None:
        """Begin a purchase, or say how it stands."""
        if self._broker is None:
            return
        try:
            name = self._broker.open(PURCHASE, buyer.node, wish)
            row = self._broker.journal.workflow(name)
            said = encode(Standing(state=str(row.state), statement=self._statement(row)))
        except Killed:
            return
        except Exception as error:
            self._failed(error)
            return
        buyer.link.send("call", "down", b"".join(write_content(said)), buyer.told)

    def suffer(self, fault: Fault) -> None:
        """Let a fault take effect; its operator may end a purchase, too."""
        if fault.kind is Kind.ABORT:
            self.town.agenda.after(0.0, lambda: self._abort(fault))
        else:
            super().suffer(fault)

    def _abort(self, fault: Fault) -> None:
        """End one of the purchases that may still be ended, as `parley purchase abort` does."""
        if self._broker is None:
            return
        try:
            rows = [row for row in self._broker.journal.workflows(WorkflowState.OPEN) if row.step <= LAST_ABORT]
            if rows:
                self.town.strike(fault, self.name)
                name = rows[int(fault.amount * len(rows))].name
                self._aborted.add(name)
                self._broker.abort(name, "the operator ended it")
        except Killed:
            return
        except Exception as error:
            self._failed(error)

    def _statement(self, row: WorkflowRow) -> Statement | None:
        if row.state is not WorkflowState.ENDED:
            return None
        return statement(replace(self._opened, purchase=row.name), self._opened.accounts("buyer", row.opener))

    def _watched(self, play: Any) -> Any:
        """Note what a workflow raises that is no typed refusal."""

        def watch(row: WorkflowRow, exchange: Exchange, on_step: OnStep) -> None:
            try:
                play(row, exchange, on_step)
            except (WorkflowFailed, Interrupted):
                raise
            except Exception as error:
                if not (isinstance(error, ScopeClosed) and row.name in self._aborted):
                    self._failed(error)
                raise

        return watch

    def _failed(self, error: Exception) -> None:
        """Start again where the disk's database cannot be read; anything else that is not the disk's is our fault."""
        if Kind.ROT in self.lost:
            self.town.note("cloud", f"fails by its rotten disk: {type(error).__name__}")
            if isinstance(error, DatabaseError | UnicodeDecodeError):
                self.die(5.0)
        elif disk_failure(error) is None:
            self.town.violated("exception", f"cloud: {type(error).__name__}: {error}")


def changed(before: dict[str, list[tuple[Any, ...]]], after: dict[str, list[tuple[Any, ...]]]) -> str:
    """Return the first row that is not as it was."""
    for table, rows in before.items():
        for old, new in zip_longest(rows, after[table]):
            if old != new:
                return f"{table} has {new}, not {old}"
    return ""


class Interleaving(Database):
    """A database before whose transactions other tasks may run."""

    def __init__(self, engine: Any, town: "PurchaseTown") -> None:
        self._town = town
        super().__init__(engine, CLOUD, checked=True)

    def _exclusive(self, writes: bool) -> Any:
        task = self._town.agenda.task
        if task is not None and self._town.interleaves():
            task.pause(0.001)
        return super()._exclusive(writes)
