"""Runs a party: alone with its state folder, attached to the cloud, its memory on disk."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from flwr.clientapp import ClientApp
from sqlalchemy.exc import SQLAlchemyError

from deploy.kit import REVOKED, Kit
from parties.party import Party
from parties.policy.guard import Guard
from parties.policy.ledger import Ledger
from parties.store import DiskFailed, PartyStore
from protocol.crypto.certificates import CertificateError, Revocations
from protocol.crypto.vouchers import Vouching
from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.errors import BadKit, Unreachable
from protocol.grids.grpc import Attachment, AttachRefused, CloudUnreachable, Secure, call
from protocol.messages.base import ProtocolMessage
from protocol.storage.database import DatabaseUnavailable, DatabaseVersion
from protocol.storage.files import disk_failure, private_folder, write_once

STORE, STORED = "party.sqlite", "party.made"
"""In the state folder of every party but the cloud: its memory, and the mark that there is one."""

_log = logging.getLogger("parley")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, source, event, and the given fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stdout() -> None:
    """Send everything of level INFO and above to stdout as JSON lines, from every library."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def log(event: str, **fields: object) -> None:
    """Log an event. Fields are names, numbers and states; never contents, keys or secrets."""
    _log.info(event, extra={"fields": fields})


M = TypeVar("M", bound=ProtocolMessage)


class Away(Unreachable):
    """The cloud does not answer, but may later."""


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Lock the state folder: no second process can be the same party.

    Raises:
        BadKit: When another process has it.
    """
    private_folder(state)
    lock = state / "lock"
    try:
        held = FileLock(lock).acquire(blocking=False)
    except Timeout:
        raise BadKit(f"another process of this party holds {lock}; stop it, or use another kit") from None
    with held:
        yield


def credentials(kit: Kit) -> Secure:
    """Return the party's credentials, the authority that it trusts, and which certificates it does not believe."""
    return Secure(kit.credentials, kit.ca, _revoked(kit))


def vouching(kit: Kit) -> Vouching:
    """Return how the party shows whose its keys are, and whose certificates it believes.

    Revoked ones it does not, if its kit has a list of them.
    """
    return Vouching(kit.credentials, kit.ca, _revoked(kit))


def _revoked(kit: Kit) -> Container[int]:
    path = kit.folder / REVOKED
    return Revocations(path) if path.exists() else frozenset()


def attachment(kit: Kit, app: ClientApp) -> Attachment:
    """Return the party's end of the wire."""
    return Attachment(str(kit.party.address), credentials(kit), app)


def ask_cloud(kit: Kit, method: str, question: ProtocolMessage, answer: type[M], timeout: float = 10.0) -> M:
    """Ask the cloud a question; see `protocol.messages.service`.

    Raises:
        Away: When it does not answer.
        Unreachable: When it refuses.
    """
    with user_errors():
        return decode(call(str(kit.party.address), credentials(kit), method, encode(question), timeout), answer)


def open_store(kit: Kit) -> PartyStore:
    """Open the party's memory, which has to be there if it was there before.

    Raises:
        BadKit: When it is missing: answers that the party has given would be given again, and not be the same.
        DatabaseUnavailable: When it cannot be opened, or is damaged.
    """
    path, mark = kit.state / STORE, kit.state / STORED
    if mark.exists() and not path.exists():
        raise BadKit(
            f"{path} is missing, the memory of this party: restore it from a backup, or delete {mark} as well and begin"
            " without what was promised in open purchases"
        )
    store = PartyStore(path)
    write_once(mark, b"")
    return store


def stay_attached(kit: Kit, party: Party) -> None:
    """Let a party answer the cloud until the process is stopped (SIGINT or SIGTERM).

    Raises:
        Unreachable: When the cloud cannot be reached for a long time, or refuses this party.
    """

    async def forever(app: ClientApp) -> None:
        attached = asyncio.create_task(attachment(kit, app).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, attached.cancel)
        with suppress(asyncio.CancelledError):
            await attached
        log("stopped", party=kit.identity.urn)

    party.vouching, policy = vouching(kit), kit.policy()
    with user_errors(), alone(kit.state), closing(open_store(kit)) as store:
        party.guard = Guard(party, policy, Ledger(store.database))
        asyncio.run(forever(store.app(party.client_app())))


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn errors of the network and the disk into errors for the user, each with one sentence."""
    try:
        yield
    except CloudUnreachable as error:
        raise Away(f"{error}; `parley doctor` finds the reason") from None
    except DiskFailed as error:
        raise BadKit(
            f"the state of this party cannot be written: {error}; fix this and start the party again"
        ) from None
    except (DatabaseUnavailable, DatabaseVersion) as error:
        raise BadKit(f"the state of this party cannot be used: {error}") from None
    except (AttachRefused, CertificateError, UnreadableMessage) as error:
        raise Unreachable(str(error)) from None
    except (OSError, SQLAlchemyError) as error:
        if (why := disk_failure(error)) is None:
            raise
        raise BadKit(f"the state of this party cannot be written: {why}; fix this and start the party again") from None
