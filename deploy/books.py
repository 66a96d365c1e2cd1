"""The cloud's books as it starts: that they are whole, its own, and nobody else's at the moment."""

import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from deploy.adoption import Adoption, end_all
from deploy.kit import SECRET, CloudFile, Kit
from deploy.ledger_memory import LedgerMemory
from deploy.party import log
from deploy.roster_file import take_over_roster
from protocol.crypto.signing import derive
from protocol.errors import BadKit, ProtocolError
from protocol.journal import Journal, WorkflowState
from protocol.storage.database import DatabaseDamaged, check_file, database_url, looking_into, opening, without_secrets
from protocol.storage.lease import Lease, LeaseHeld, LeaseLost
from protocol.storage.ledger import Audit, Ledger, audit
from protocol.storage.tables import CLOUD, books, workflows
from protocol.storage.vault import Vault

FILE = "cloud.sqlite"
"""The ledger in the state folder, where no other database is named."""
_log = logging.getLogger("parley")
_OPEN = select(func.count()).select_from(workflows).where(workflows.c.state == WorkflowState.OPEN)


def ledger_of(kit: Kit, url: str | None = None) -> str | Path:
    """Return where the ledger is: as given, or as ``party.yaml`` says, or in the state folder."""
    assert isinstance(kit.party, CloudFile)
    return url or kit.party.ledger or kit.state / FILE


def open_books(
    kit: Kit,
    url: str | Path,
    vault: Vault,
    stack: ExitStack,
    *,
    adopt: bool = False,
    on_lost: Callable[[LeaseLost], None] = lambda lost: None,
) -> Ledger:
    """Open the ledger for this cloud alone.

    1. The ledger that this cloud had before is there, and its file is whole.
    2. No other cloud holds it. From here on this one does, until the stack is closed.
    3. The books are in order, line by line, and no older than this cloud has left them.
    4. They are of this cloud's secret, as long as anything is open.

    Args:
        kit: The cloud's.
        url: Where the ledger is.
        vault: The cloud's.
        stack: Closes it.
        adopt: Take a ledger that is new, older or another cloud's, and end what is open there. It changes nothing where
            all is as this cloud left it.
        on_lost: Called when another cloud has taken the ledger over.

    Raises:
        BadKit: With one sentence on what is wrong and what to do.
    """
    memory, adoption = LedgerMemory(kit.state), Adoption(adopt)
    try:
        with looking_into(url) as connection:
            _check_there(kit, url, connection, memory.last.ledger, adoption)
        with opening(url):
            ledger = stack.enter_context(closing(Ledger(url, checked=True)))
    except DatabaseDamaged as error:
        raise BadKit(str(error)) from None
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
            known = memory.last.head if memory.last.ledger == ledger.id() else None
            found = audit(connection, known)
            _check_audit(found, adoption)
            log("the ledger is in order", ledger=found.ledger, lines=found.lines, pending=found.pending)
    take_over_roster(ledger, kit.state, adoption)
    is_known = _check_secret(kit, ledger, adoption)
    if adoption.reasons:
        end_all(ledger, Journal(ledger.database, vault))
    if not is_known:
        with ledger.database.transaction() as writing:
            writing.execute(update(books).values(secret=_hashed(kit.secret())))
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


def _check_there(kit: Kit, url: str | Path, connection: Connection | None, remembered: str, adoption: Adoption) -> None:
    """Compare what is there with what this cloud had before, before anything is made or changed."""
    version = None if connection is None else CLOUD.found(connection)
    right = "restore it from a backup, or name the right database with --ledger"
    if connection is None or version is None:
        if remembered or (kit.state / SECRET).exists():
            adoption.need(f"this cloud has had a ledger, and there is none at {_shown(url)}", right)
    elif version < CLOUD.version:
        if version > 2 and (running := connection.scalar(_OPEN)):
            adoption.need(
                f"{running} purchases of an earlier version are open", "finish them with that version of Parley"
            )
    elif remembered and (found := connection.scalar(select(books.c.ledger))) != remembered:
        adoption.need(f"the ledger at {_shown(url)} is {found}, and this cloud's is {remembered}", right)


def _check_audit(found: Audit, adoption: Adoption) -> None:
    if found.findings:
        more = f" and {len(found.findings) - 1} more" if len(found.findings) > 1 else ""
        raise BadKit(
            f"the ledger is not in order: {found.findings[0]}{more}; `parley audit ledger` shows everything, and a"
            " backup has to be restored"
        )
    if found.older:
        adoption.need("the ledger is an older copy: it lacks what this cloud wrote last", "restore the newest one")
    if found.stranded:
        adoption.need(
            f"{len(found.stranded)} escrows belong to no open purchase, {found.stranded[0]} the first",
            "restore a backup",
        )


def _check_secret(kit: Kit, ledger: Ledger, adoption: Adoption) -> bool:
    """Whether the books are of this cloud's secret; those of another one are fine while nothing is open."""
    (known,) = ledger.database.read(select(books.c.secret))
    (running,) = ledger.database.read(_OPEN)
    path = kit.state / SECRET
    if known.secret is None or (path.exists() and bytes(known.secret) == _hashed(kit.secret())):
        return known.secret is not None
    if running[0]:
        adoption.need(
            f"{running[0]} purchases are open in the ledger under another secret than {path}",
            "restore that file from a backup",
        )
    _log.warning("the ledger was another state folder's; it goes on, with all parties and accounts that are in it")
    return False


def _hashed(secret: bytes) -> bytes:
    return derive(secret, "the secret of a ledger's cloud")


def _shown(url: str | Path) -> str:
    return without_secrets(database_url(url))
