"""The cloud's machine, which sells pictures: ledger, vault, journal and broker."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
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
from protocol.grids.grpc import EnrolledRoster
from protocol.grids.grpc.frames import write_content
from protocol.journal import Interrupted, Journal, JournalMismatch, WorkflowRow, WorkflowState
from protocol.messages.base import Name, ProtocolMessage
from protocol.messages.purchase import Statement
from protocol.storage.database import Database, opening
from protocol.storage.files import disk_failure
from protocol.storage.lease import Lease, LeaseLost
from protocol.storage.ledger import EscrowResolved, Ledger, ScopeClosed
from protocol.storage.ledger.audit import audit
from protocol.storage.tables import CLOUD
from protocol.storage.vault import Vault
from simulations.faults.cloud import CloudMachine, Stopping
from simulations.faults.network import Link
from simulations.faults.schedule import Fault, Kind
from simulations.faults.virtual import Killed

if TYPE_CHECKING:
    from simulations.faults.purchase.parties import BuyerMachine
    from simulations.faults.purchase.town import PurchaseTown

PURCHASE = "purchase"
_ABORTED = (ScopeClosed, EscrowResolved, JournalMismatch)
"""What a purchase meets that was aborted meanwhile: its escrows and its blobs are gone."""


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
        self._older: list[Stopping] = []
        self.records: dict[str, PurchaseRecord] = {}

    def begin(self) -> None:
        """Open the books, listen, and go on with open purchases."""
        ledger = Ledger(self._opened_books())
        Lease(ledger.database, self.name, self.name, thread=Idle)
        vault = Vault(self.disk.folder / "vault")
        self._roster = roster = EnrolledRoster(ledger.database, self.clock)
        for urn in () if self.life else self.town.enrolled:
            roster.node_id(urn)
        parties = self.town.parties.values()
        self.links = {node: party.link for party in parties if (node := roster.known(party.urn)) is not None}
        accounts = partial(account, roster)
        cloud = self._opened = replace(self._cloud(ledger, vault), clock=self.clock, accounts=accounts)
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

    def admit(self, link: Link) -> None:
        """Know a party by its certificate."""
        self.links[self._roster.node_id(link.party.urn)] = link

    def leave(self) -> None:
        """Break all links."""
        self._broker = None
        super().leave()

    def call(self, buyer: "BuyerMachine", wish: bytes) -> None:
        """Begin a purchase, or say how it stands."""
        if self._broker is None:
            return
        try:
            name = self._broker.open(PURCHASE, self._roster.node_id(buyer.urn), wish)
            row = self._broker.journal.workflow(name)
            said = encode(Standing(state=str(row.state), statement=self._statement(row)))
        except Killed:
            return
        except Exception as error:
            self._failed(error)
            return
        buyer.link.send("call", "down", b"".join(write_content(said)), buyer.told)

    def suffer(self, fault: Fault) -> None:
        """Let a fault take effect; its operator may do something, too."""
        match fault.kind:
            case Kind.ABORT:
                self.town.agenda.after(0.0, lambda: self._abort(fault))
            case Kind.EDIT:
                self.town.strike(fault, self.name)
                self.town.edit(fault.amount)
                self.town.agenda.after(0.0, self.stop)
            case Kind.TWIN:
                self.town.agenda.after(0.0, lambda: self._start_twin(fault))
            case _:
                super().suffer(fault)

    def _start_twin(self, fault: Fault) -> None:
        """Start the program once more on the same disk; the one that runs goes on, and reaches nobody."""
        if self.alive and self.stopping is not None:
            self.town.strike(fault, self.name)
            self._older.append(self.stopping)
            self.leave()
            self.boot()

    def end(self) -> None:
        """Stop or unwind the programs that were cut off, too."""
        for stopping in self._older:
            stopping.set()
        self._older.clear()
        super().end()

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
        """Note what a workflow raises that is no typed refusal; an aborted one goes on until it wants to write."""

        def watch(row: WorkflowRow, exchange: Exchange, on_step: OnStep) -> None:
            try:
                play(row, exchange, on_step)
            except (WorkflowFailed, Interrupted, LeaseLost):
                raise
            except Exception as error:
                if not (isinstance(error, _ABORTED) and row.name in self._aborted):
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


def account(roster: EnrolledRoster, role: str, node: int) -> str:
    """Name the account of a party by its certificate."""
    return roster.account(role, node).rpartition(":")[2]


class Idle(threading.Thread):
    """Renews no lease: who is started again takes it over at once, however old it is."""

    def start(self) -> None:
        """Do nothing."""


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
