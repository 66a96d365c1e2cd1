"""Which node each party is."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import delete, func, insert, select

from protocol.errors import ProtocolError
from protocol.flower import FIRST_NODE_ID
from protocol.messages.base import LedgerHead
from protocol.storage.database import Database
from protocol.storage.tables import heads, parties


class Roster:
    """The parties that may attach, in an order that gives them their node ids for good.

    Args:
        members: URNs (``urn:parley:<role>:<name>``), in order; the first one is node `FIRST_NODE_ID`. With the buyer
            before the sellers, as in simulations, outcomes compare.

    Examples:
        >>> roster = Roster(["urn:parley:buyer:ann", "urn:parley:seller:bob"])
        >>> roster.node_id("urn:parley:seller:bob"), roster.node_id("urn:parley:seller:eve")
        (3, None)
    """

    def __init__(self, members: Iterable[str] = ()) -> None:
        self._urns = dict(enumerate(dict.fromkeys(members), FIRST_NODE_ID))
        self._nodes = {urn: node_id for node_id, urn in self._urns.items()}

    def __len__(self) -> int:
        return len(self._urns)

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._urns

    def known(self, urn: str) -> int | None:
        """Return the node of a party that the roster names."""
        return self._nodes.get(urn)

    def node_id(self, urn: str) -> int | None:
        """Return a party's node, None for one that the roster does not name."""
        return self.known(urn)

    def members(self) -> dict[int, str]:
        """Return the parties by their nodes."""
        return self._urns.copy()


class EnrolledRoster(Roster):
    """An open roster in the cloud's database: who attaches with a good certificate is enrolled, for good.

    Args:
        database: Where the parties are; its ledger has their accounts.
        clock: Unix time.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._database = database
        self._clock = clock
        self._turn = threading.Lock()
        for row in database.read(select(parties).order_by(parties.c.node_id)):
            self._add(row.urn, row.node_id)

    def node_id(self, urn: str) -> int:
        """Return a party's node; a party without one gets the next, in the transaction that enrols it."""
        with self._turn:
            if urn not in self._nodes:
                self._add(urn, self._enrol(urn))
            return self._nodes[urn]

    def account(self, role: str, node_id: int) -> str:
        """Name the account of a party: by its URN, which is its own whatever becomes of node ids.

        Raises:
            ProtocolError: When this party has no such role.
        """
        urn = self._urns.get(node_id, "")
        if not urn.startswith(f"urn:parley:{role}:"):
            raise ProtocolError(f"node {node_id} has no account as a {role}: its certificate names {urn or 'nobody'}")
        return urn

    def heads(self) -> dict[int, LedgerHead]:
        """Return the latest head of each party's privacy ledger, by node id."""
        return {
            row.node_id: LedgerHead(count=row.reached, head=bytes(row.head), signature=bytes(row.signature))
            for row in self._database.read(select(heads))
        }

    def keep_heads(self, told: Mapping[int, LedgerHead]) -> None:
        """Remember heads; an older one than is remembered is left out."""
        before = self.heads()
        newer = {
            node_id: each
            for node_id, each in told.items()
            if node_id in self and (node_id not in before or each.count > before[node_id].count)
        }
        if newer:
            with self._database.transaction() as connection:
                connection.execute(delete(heads).where(heads.c.node_id.in_(newer)))
                rows = [
                    {"node_id": node_id, "reached": each.count, "head": each.head, "signature": each.signature}
                    for node_id, each in newer.items()
                ]
                connection.execute(insert(heads), rows)

    def _add(self, urn: str, node_id: int) -> None:
        self._urns[node_id] = urn
        self._nodes[urn] = node_id

    def _enrol(self, urn: str) -> int:
        with self._database.transaction() as connection:
            last: int | None = connection.scalar(select(func.max(parties.c.node_id)))
            node_id = FIRST_NODE_ID if last is None else last + 1
            connection.execute(insert(parties), [{"node_id": node_id, "urn": urn, "enrolled_at": self._clock()}])
        return node_id
