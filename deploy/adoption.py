"""Taking over a ledger that is not the one this cloud had, or not as it left it."""

import logging
import secrets

from protocol.errors import BadKit
from protocol.journal import Journal, WorkflowState
from protocol.storage.ledger import EscrowState, Ledger, Posting

_log = logging.getLogger("parley")


class Adoption:
    """Whether an operator allows it, and why it was needed.

    Args:
        allowed: Whether the cloud was started with ``--adopt``.

    Attributes:
        reasons: What is not as this cloud left it; nothing, and nothing is taken over.
    """

    def __init__(self, allowed: bool) -> None:
        self._allowed = allowed
        self.reasons: list[str] = []

    def need(self, why: str, remedy: str) -> None:
        """Note what is not as this cloud left it; raises `BadKit`, with what to do instead, if that is not allowed."""
        if not self._allowed:
            raise BadKit(f"{why}: {remedy}, or end what is open and go on: `parley cloud --adopt`")
        _log.warning("the ledger is adopted: %s", why)
        self.reasons.append(why)


def end_all(ledger: Ledger, journal: Journal) -> None:
    """End what is open in a ledger as failed, and give back all that is held."""
    running = journal.workflows(WorkflowState.OPEN)
    for row in running:
        journal.end(row.name, WorkflowState.FAILED, "its cloud was replaced")
    held = [row.escrow_id for row in ledger.escrows() if row.state is EscrowState.PENDING]

    def give_back(posting: Posting) -> bytes:
        posting.void(held)
        return b""

    ledger.once(f"adopted/{secrets.token_hex(16)}", b"", give_back)
    _log.warning("%d workflows were ended, and %d escrows of none given back", len(running), len(held))
