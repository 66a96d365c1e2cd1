"""What one certificate may take of the cloud at once, and how the certificates share the rest."""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from protocol.grids.grpc.admission import Refused


@dataclass(frozen=True)
class Allowance:
    """What each certificate may have of one kind of call.

    Attributes:
        each: Calls that run at once.
        waiting: Calls that wait for those; one more is refused.
        rate, burst: Calls per second in the long run, and at once before that; what is more is held back, not refused.
        all: Calls of all certificates that run at once.
    """

    each: int
    waiting: int
    rate: float
    burst: int
    all: int


@dataclass(frozen=True)
class Quotas:
    """The quotas of a cloud.

    Attributes:
        transfers, calls, arrivals: Blobs that move, requests to the cloud, and parties that attach.
        refused: Calls of one caller that are refused at once within a minute; further ones have to wait for it.
        vault: Bytes in the vault, of all parties together.
        party: Bytes in the vault of one party: on their way, in answers, and kept from these by workflows.
    """

    transfers: Allowance = Allowance(each=2, waiting=30, rate=200.0, burst=200, all=32)
    calls: Allowance = Allowance(each=2, waiting=14, rate=20.0, burst=40, all=8)
    arrivals: Allowance = Allowance(each=1, waiting=1, rate=2.0, burst=20, all=1_000)
    refused: int = 10
    vault: int = 50_000_000_000
    party: int = 10_000_000_000


class Turns:
    """Lets calls take turns, inside one event loop.

    1. A certificate that has more calls than its allowance is refused: it may try again later.
    2. One that calls too often is held back.
    3. A free place goes to the certificate that has the fewest, so that one with many calls waits for itself.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._here: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._free = allowance.all
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns, self._served = 0, dict[str, int]()
        self._due: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, urn: str) -> AsyncIterator[None]:
        """Wait for a party's turn, and have it inside the block.

        Raises:
            Refused: When the party has too many calls already.
        """
        allowed = self._allowance
        if self._here[urn] >= allowed.each + allowed.waiting:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{urn} has {self._here[urn]} such calls under way, the most that one party may have; try again later",
            )
        self._here[urn] += 1
        try:
            await self._pace(urn)
            await self._take(urn)
            try:
                yield
            finally:
                self._running[urn] -= 1
                self._free += 1
                self._give()
        finally:
            self._here[urn] -= 1
            if not self._here[urn]:
                del self._here[urn], self._running[urn]
                self._served.pop(urn, None)

    async def _pace(self, urn: str) -> None:
        """Wait until a party may call again."""
        now, step = asyncio.get_running_loop().time(), 1 / self._allowance.rate
        due = self._due[urn] = max(self._due.pop(urn, now), now) + step
        while self._due and next(iter(self._due.values())) <= now:  # the longest unchanged first
            del self._due[next(iter(self._due))]
        if (wait := due - now - self._allowance.burst * step) > 0:
            await asyncio.sleep(wait)

    async def _take(self, urn: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(urn, deque()).append(place)
        self._give()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                if place in (places := self._waiting.get(urn, deque())):
                    places.remove(place)
                if not places:
                    self._waiting.pop(urn, None)
            else:
                self._running[urn] -= 1
                self._free += 1
                self._give()
            raise

    def _give(self) -> None:
        """Give free places to those who wait: to who has the fewest, and of these to who was served longest ago."""
        while self._free:
            urn = min(self._waiting, key=lambda each: (self._running[each], self._served.get(each, 0)), default=None)
            if urn is None or self._running[urn] >= self._allowance.each:
                return
            place = self._waiting[urn].popleft()
            if not self._waiting[urn]:
                del self._waiting[urn]
            if not place.cancelled():
                self._turns += 1
                self._served[urn] = self._turns
                self._running[urn] += 1
                self._free -= 1
                place.set_result(None)


class NoRoom(Exception):
    """A party's share of the vault has no room for a blob now."""


class VaultFull(NoRoom):
    """The vault has none for anybody, which is no fault of the party's."""


class Room:
    """Counts the bytes that parties have in the vault; any thread may call any method.

    Args:
        held: Says how many bytes the vault holds.
        holds: Says whether the vault still holds a blob.
    """

    def __init__(self, quotas: Quotas, held: Callable[[], int], holds: Callable[[bytes], bool]) -> None:
        self._quotas = quotas
        self._held = held
        self._holds = holds
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()
        self._arriving = 0
        self._kept: dict[int, dict[bytes, int]] = {}

    def reserve(self, node_id: int, length: int) -> None:
        """Reserve room for a blob of a party, before it arrives.

        Raises:
            NoRoom: When there is none now.
        """
        with self._lock:
            if self._of(node_id) + length > self._quotas.party:
                kept = {blob: size for blob, size in self._kept.pop(node_id, {}).items() if self._holds(blob)}
                if kept:
                    self._kept[node_id] = kept
            if self._of(node_id) + length > self._quotas.party:
                raise NoRoom("this party's share of the cloud's vault is full; try again later")
            if self._held() + self._arriving + length > self._quotas.vault:
                raise VaultFull("the cloud's vault is full; try again later")
            self._taken[node_id] += length
            self._arriving += length

    def arrived(self, length: int) -> None:
        """Note that a blob is in the vault, or never will be."""
        with self._lock:
            self._arriving -= length

    def release(self, node_id: int, length: int) -> None:
        """Give up what was reserved."""
        with self._lock:
            self._taken[node_id] -= length
            if not self._taken[node_id]:
                del self._taken[node_id]

    def keep(self, node_id: int, blob: bytes, length: int) -> None:
        """Count a blob to a party for as long as the vault holds it."""
        with self._lock:
            self._kept.setdefault(node_id, {})[blob] = length

    def _of(self, node_id: int) -> int:
        return self._taken[node_id] + sum(self._kept.get(node_id, {}).values())
