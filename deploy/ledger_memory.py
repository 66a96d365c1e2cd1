"""What the cloud's state folder remembers of its ledger, so that no other one is taken for it."""

import json
import logging
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from protocol.errors import BadKit
from protocol.storage.files import write_private
from protocol.storage.ledger import Head, Ledger

FILE = "ledger.json"
_log = logging.getLogger("parley")


@dataclass(frozen=True)
class Memory:
    """The memory of a ledger.

    Attributes:
        holder: The cloud's name as holder of leases, drawn once.
        ledger: The ledger's id; empty for a cloud that has had none.
        head: A line that the ledger had a few seconds before the cloud stopped.
    """

    holder: str
    ledger: str = ""
    head: Head = field(default_factory=Head)


class LedgerMemory:
    """The memory of a ledger in a state folder.

    Attributes:
        last: As it was last read or written.

    Raises:
        BadKit: When the file cannot be read, or is damaged.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        try:
            kept = json.loads(self._path.read_bytes())
            head = Head(int(kept["line"]), bytes.fromhex(kept["hash"]))
            self.last = Memory(str(kept["holder"]), str(kept["ledger"]), head)
        except FileNotFoundError:
            self.last = Memory(secrets.token_hex(16))
        except OSError as error:
            raise BadKit(f"{self._path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, LookupError):
            raise BadKit(f"{self._path} is damaged: restore it from a backup, or delete it") from None

    def write(self, ledger: Ledger) -> None:
        """Remember a ledger as it is now; raises OSError when the disk is full."""
        now = replace(self.last, ledger=ledger.id(), head=ledger.head())
        if now != self.last:
            kept = {"holder": now.holder, "ledger": now.ledger, "line": now.head.line, "hash": now.head.hash.hex()}
            write_private(self._path, json.dumps(kept, indent=1).encode())
            self.last = now

    def refresh(self, ledger: Ledger) -> None:
        """Remember a ledger as it is now, if that is possible at the moment."""
        try:
            self.write(ledger)
        except (OSError, SQLAlchemyError) as error:
            _log.warning("the state folder cannot remember the ledger: %s", str(error).partition("\n")[0])
