"""The cloud's books as it starts: that they are whole, its own, and nobody else's at the moment."""

import logging
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from deploy.kit import SECRET, CloudFile, Kit
from deploy.ledger_memory import LedgerMemory
from deploy.party import log
from deploy.roster_file import take_over_roster
from protocol.crypto.signing import derive
from protocol.errors import BadKit, ProtocolError
from protocol.journal import Journal, WorkflowState
from protocol.storage.database import DatabaseDamaged, check_file, database_url, looking_into, opening, without_secrets
from protocol.storage.lease import Lease, LeaseHeld, LeaseLost
from protocol.storage.ledger import Audit, EscrowState, Ledger, Posting, audit
from protocol.storage.tables import CLOUD, books, workflows

FILE = "cloud.sqlite"
"""The ledger in the state folder, where no other database is named."""
_log = logging.getLogger("parley")
ADOPT = "go on without it: `parley cloud --adopt`"
_OPEN = select(func.count()).select_from(workflows).where(workflows.c.state == WorkflowState.OPEN)


def ledger_of(kit: Kit, url: str | None = None) -> str | Path:
    """Return where the ledger is: as given, or as ``party.yaml`` says, or in the state folder."""
    assert isinstance(kit.party, CloudFile)
    return url or kit.party.ledger or kit.state / FILE


def open_books(
    kit: Kit, url: str | Path, stack: ExitStack, *, adopt: bool, on_lost: Callable[[LeaseLost], None]
) -> Ledger:
    """Open the ledger for this cloud alone.

    1. The ledger that this cloud had before is there, and its file is whole.
    2. No other cloud holds it. From here on this one does, until the stack is closed.
    3. The books are in order, line by line, and no older than this cloud has left them.
    4. They are of this cloud's secret, as long as anything is open.

    Args:
        kit: The cloud's.
        url: Where the ledger is.
        stack: Closes it.
        adopt: Take a ledger that is new, older or another cloud's; what is open there has to be ended (`end_all`).
        on_lost: Called when another cloud has taken the ledger over.

    Raises:
        BadKit: With one sentence on what is wrong and what to do.
    """
    memory = LedgerMemory(kit.state)
    try:
        with looking_into(url) as connection:
            _check_there(kit, url, connection, memory.last.ledger, adopt)
        with opening(url):
            ledger = stack.enter_context(closing(Ledger(url, checked=True)))
    except DatabaseDamaged as error:
        raise BadKit(f"{error}; restore the ledger from a backup") from None
    except ProtocolError as error:
        raise BadKit(f"the ledger cannot be opened: {error}") from None
    remember = partial(memory.refresh, ledger)
    try:
        place = f"{socket.gethostname()}, process {os.getpid()}"
        stack.enter_context(closing(Lease(ledger.database, memory.last.holder, place, on_lost, remember)))
    except LeaseHeld as error:
        raise BadKit(str(error)) from None
    with looking_into(url) as connection:
        if connection is not None:
            _check_audit(audit(connection, None if adopt else memory.last.head), adopt)
    take_over_roster(ledger, kit.state, adopt)
    _claim(kit, ledger, adopt)
    memory.write(ledger)
    stack.callback(remember)
    return ledger


def audit_ledger(url: str | Path, state: Path | None = None) -> Audit:
    """Audit a ledger, reading only, also while its cloud runs.

    Args:
        url: Where it is.
        state: The state folder of its cloud, which remembers the ledger's end.

    Raises:
        BadKit: When there is no ledger, or one of another version.
        DatabaseUnavailable, DatabaseDamaged: When it cannot be read.
    """
    memory = None if state is None else LedgerMemory(state).last
    with looking_into(url) as connection:
        version = None if connection is None else CLOUD.found(connection)
        if connection is None or version is None:
            raise BadKit(f"there is no ledger at {_shown(url)}")
        check_file(connection)
        if version < CLOUD.version:
            raise BadKit(
                f"the ledger at {_shown(url)} has version {version}, not {CLOUD.version}; starting its cloud updates it"
            )
        is_ours = memory is not None and memory.ledger == connection.scalar(select(books.c.ledger))
        return audit(connection, memory.head if memory is not None and is_ours else None)


def end_all(ledger: Ledger, journal: Journal) -> None:
    """End what is open in a ledger that was adopted, and give back all that is held."""
    running = journal.workflows(WorkflowState.OPEN)
    for row in running:
        journal.end(row.name, WorkflowState.FAILED, "its cloud was replaced")
    held = [row.escrow_id for row in ledger.escrows() if row.state is EscrowState.PENDING]

    def give_back(posting: Posting) -> bytes:
        posting.void(held)
        return b""

    ledger.once(f"adopted/{secrets.token_hex(16)}", b"", give_back)
    log("ledger adopted", ended=len(running), given_back=len(held))


def _check_there(kit: Kit, url: str | Path, connection: Connection | None, remembered: str, adopt: bool) -> None:
    """Compare what is there with what this cloud had before, before anything is made or changed."""
    version = None if connection is None else CLOUD.found(connection)
    if adopt:
        return
    if connection is None or version is None:
        if remembered or (kit.state / SECRET).exists():
            raise BadKit(
                f"this cloud has had a ledger, and there is none at {_shown(url)}: restore it from a backup, name its"
                f" database with --ledger, or {ADOPT}"
            )
        return
    if version < CLOUD.version:
        if version > 2 and (running := connection.scalar(_OPEN)):
            raise BadKit(
                f"{running} purchases of an earlier version are open: finish them with that version of Parley, or end"
                " them: `parley cloud --adopt`"
            )
        return
    found = connection.scalar(select(books.c.ledger))
    if remembered and found != remembered:
        raise BadKit(
            f"the ledger at {_shown(url)} is {found}, and this cloud's is {remembered}: name the right database with"
            f" --ledger, or {ADOPT}"
        )


def _check_audit(found: Audit, adopt: bool) -> None:
    if found.findings:
        more = f" and {len(found.findings) - 1} more" if len(found.findings) > 1 else ""
        raise BadKit(
            f"the ledger is not in order: {found.findings[0]}{more}; `parley audit ledger` shows everything, and a"
            " backup has to be restored"
        )
    if adopt:
        return
    if found.older:
        raise BadKit(
            "the ledger is an older copy: it lacks what this cloud has written last; restore the newest one, or"
            f" {ADOPT}"
        )
    if found.stranded:
        raise BadKit(
            f"{len(found.stranded)} escrows belong to no open purchase, {found.stranded[0]} the first: give them back"
            " by `parley cloud --adopt`"
        )


def _claim(kit: Kit, ledger: Ledger, adopt: bool) -> None:
    """Note whose books these are; an unknown secret goes on with them only when nothing is open under another."""
    (known,) = ledger.database.read(select(books.c.secret))
    (running,) = ledger.database.read(_OPEN)
    strange = known.secret is not None and (
        not (kit.state / SECRET).exists() or bytes(known.secret) != _hashed(kit.secret())
    )
    if strange and running[0] and not adopt:
        raise BadKit(
            f"{running[0]} purchases are open in the ledger under another secret than {kit.state / SECRET}: restore"
            " that file from a backup, or end them: `parley cloud --adopt`"
        )
    if strange:
        _log.warning("the ledger was another state folder's; it goes on, with all parties and accounts that are in it")
    secret = _hashed(kit.secret())
    if known.secret is None or strange:
        with ledger.database.transaction() as connection:
            connection.execute(update(books).values(secret=secret))


def _hashed(secret: bytes) -> bytes:
    return derive(secret, "the secret of a ledger's cloud")


def _shown(url: str | Path) -> str:
    return without_secrets(database_url(url))
