"""The roster of earlier versions: a file in the state folder, whose parties are now in the ledger's database."""

import json
import re
import time
from pathlib import Path

from sqlalchemy import insert, select

from deploy.adoption import Adoption
from deploy.party import log
from protocol.errors import BadKit
from protocol.flower import FIRST_NODE_ID
from protocol.storage.ledger import Ledger
from protocol.storage.ledger.renaming import rename_accounts
from protocol.storage.tables import accounts, parties

FILE = "roster.json"
_URN = re.compile(r"urn:parley:[a-z]+:[a-z0-9-]+")
_NUMBERED = re.compile(r"(buyer|seller)-([0-9]+)")
"""How accounts were named."""


def take_over_roster(ledger: Ledger, state: Path, adoption: Adoption) -> None:
    """Enrol the parties of a roster file once, and name their accounts after them, in one transaction.

    Args:
        ledger: Where nobody is enrolled yet; else nothing is done.
        state: The cloud's state folder.
        adoption: Where accounts that are nobody's may be left alone.

    Raises:
        BadKit: When the file is missing or damaged, and somebody would lose an account.
    """
    path = state / FILE
    with ledger.database.transaction() as connection:
        if connection.execute(select(parties.c.node_id).limit(1)).first() is not None:
            return
        members = dict(enumerate(_read(path), FIRST_NODE_ID))
        renamed, nobodys = {}, []
        for name in connection.scalars(select(accounts.c.name)):
            if (numbered := _NUMBERED.fullmatch(name)) is None:
                continue
            urn = members.get(int(numbered[2]), "")
            if urn.startswith(f"urn:parley:{numbered[1]}:"):
                renamed[name] = urn
            else:
                nobodys.append(name)
        if nobodys:
            adoption.need(
                f"the ledger has accounts of an earlier version, and {path} does not say whose {nobodys[0]} is",
                "restore that file from a backup",
            )
        if members:
            now = time.time()
            rows = [{"node_id": node_id, "urn": urn, "enrolled_at": now} for node_id, urn in members.items()]
            connection.execute(insert(parties), rows)
        rename_accounts(connection, renamed)
    if members:
        log("parties enrolled from an earlier version", parties=len(members), accounts=len(renamed), left=len(nobodys))


def _read(path: Path) -> list[str]:
    try:
        urns = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadKit(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        urns = None
    known = [urn for urn in urns if isinstance(urn, str) and _URN.fullmatch(urn)] if isinstance(urns, list) else None
    if known is None or known != urns or len(set(known)) != len(known):
        raise BadKit(f"{path} is damaged: restore it from a backup")
    return known
