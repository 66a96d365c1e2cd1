"""Which node each party is."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path

from protocol.flower import FIRST_NODE_ID
from protocol.storage.files import write_private


class Roster:
    """Parties in the order of their enrolment, which gives them their node ids for good.

    A roster with a path is open: parties that attach with a good certificate are enrolled, and remembered
    over restarts. One without is closed: its parties are those given.

    Args:
        members: URNs (``urn:parley:<role>:<name>``), in order; the first one is node `FIRST_NODE_ID`. With the buyer
            before the sellers, as in simulations, outcomes compare.
        path: A JSON file with the members so far, which come first.

    Examples:
        >>> roster = Roster(["urn:parley:buyer:ann", "urn:parley:seller:bob"])
        >>> roster.node_id("urn:parley:seller:bob"), roster.node_id("urn:parley:seller:eve")
        (3, None)
    """

    def __init__(self, members: Iterable[str] = (), path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        remembered = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else []
        self._nodes = {urn: FIRST_NODE_ID + index for index, urn in enumerate(dict.fromkeys([*remembered, *members]))}
        if path is not None and len(self._nodes) > len(remembered):
            self._remember(path)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: int) -> bool:
        return FIRST_NODE_ID <= node_id < FIRST_NODE_ID + len(self._nodes)

    def node_id(self, urn: str) -> int | None:
        """Return a party's node, None for one that a closed roster does not name."""
        with self._lock:
            if urn not in self._nodes and self._path is not None:
                self._nodes[urn] = FIRST_NODE_ID + len(self._nodes)
                self._remember(self._path)
            return self._nodes.get(urn)

    def members(self) -> dict[int, str]:
        """Return the parties by their nodes."""
        with self._lock:
            return {node_id: urn for urn, node_id in self._nodes.items()}

    def _remember(self, path: Path) -> None:
        write_private(path, json.dumps(list(self._nodes), indent=1).encode())
