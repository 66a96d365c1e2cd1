"""What is said of calls that are refused: little, however many there are."""

import asyncio
import logging
from collections import Counter

import grpc

log = logging.getLogger("protocol.grids.grpc.service")

PERIOD = 60.0
"""Seconds for which the same refusal of the same caller is counted, and not logged again."""
STEP, LONGEST, HELD = 0.1, 10.0, 1_000
"""Seconds for which a refusal is held back of who was refused often: by how much longer each time, and at most; and how
many of one caller are held back at the same time."""
MOST_CALLERS = 10_000
"""Callers that are told apart."""


class Refusals:
    """Logs refused calls, one line for each caller, status and minute, and holds back who is refused often.

    Args:
        free: Refusals of one caller in a minute that are sent at once; for others it has to wait.

    Attributes:
        totals: Calls that were refused or broke off so far, by status.
    """

    def __init__(self, free: int) -> None:
        self.totals: Counter[str] = Counter()
        self._free = free
        self._counts: Counter[tuple[str, str]] = Counter()
        self._of: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    async def refuse(self, caller: str, address: str, code: grpc.StatusCode, text: str, traceback: bool) -> None:
        """Log a refusal, and wait if there are too many of this caller."""
        if caller not in self._of and len(self._of) >= MOST_CALLERS:
            caller = "others"
        if self.note(caller, code.name):
            where = f"{caller} at {address}"
            if traceback:
                log.exception("a call of %s failed", where)
            else:
                log.warning("refused %s: %s: %s", where, code.name, text)
        wait = min(LONGEST, STEP * (self._of[caller] - self._free))
        if wait > 0 and self._held[caller] < HELD:
            self._held[caller] += 1
            try:
                await asyncio.sleep(wait)
            finally:
                self._held[caller] -= 1

    def note(self, caller: str, what: str) -> bool:
        """Count what happened to a caller; True when it is the first of its kind in a while."""
        key = (caller, what)
        self._counts[key] += 1
        self.totals[what] += 1
        self._of[caller] += 1
        if self._counts[key] > 1:
            return False
        asyncio.get_running_loop().call_later(PERIOD, self._sum_up, key)
        return True

    def _sum_up(self, key: tuple[str, str]) -> None:
        caller, what = key
        count = self._counts.pop(key)
        self._of[caller] -= count
        if not self._of[caller]:
            del self._of[caller]
        if count > 1:
            log.warning("refused %s: %s: %d times more within %.0f s", caller, what, count - 1, PERIOD)
