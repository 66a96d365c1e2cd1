"""Both ends of an attached party's stream: the cloud's, and the party's, which called."""

import asyncio
from contextlib import suppress
from typing import Any

from protocol.grids.grpc.questions import Question
from protocol.wire import parley_pb2 as wire

PATIENCE = 3.0
"""Seconds that an attached party has to say that it is alive, when another process attaches with its certificate."""
FRESH = 10.0
"""Seconds for which a party that has just said so is not asked again."""


class AttachedStream:
    """One attached stream (see `questions.Stream`).

    Args:
        address: Where the party is, as gRPC says it.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self.to_say: asyncio.Queue[Question | bytes] = asyncio.Queue()
        self.replaced = asyncio.Event()
        self._alive = asyncio.Event()
        self._asked, self._heard_at = False, float("-inf")

    def send(self, question: Question) -> None:
        """Send a question soon."""
        self._loop.call_soon_threadsafe(self.to_say.put_nowait, question)

    def replace(self) -> None:
        """End the stream: the party has attached again."""
        self._loop.call_soon_threadsafe(self.replaced.set)

    async def is_alive(self, other: str) -> bool:
        """Ask whether the party is there.

        Args:
            other: From where another process tries to attach, for the party's log.
        """
        if self._loop.time() < self._heard_at + FRESH:
            return True
        self._asked = True
        self._alive.clear()
        self.to_say.put_nowait(bytes(wire.FromCloud(alive=wire.Alive(other=other)).SerializeToString()))
        try:
            await asyncio.wait_for(self._alive.wait(), PATIENCE)
        except TimeoutError:
            return False
        return True

    def hear(self) -> bool:
        """Note that the party says that it is alive; False when it was not asked."""
        asked, self._asked = self._asked, False
        if asked:
            self._heard_at = self._loop.time()
            self._alive.set()
        return asked


class CallingStream:
    """An attached stream that two tasks write to; one that is over is read to its end, which says why."""

    def __init__(self, call: Any, challenge: bytes) -> None:
        self._call = call
        self.challenge = challenge
        self._writing = asyncio.Lock()

    async def metadata(self) -> Any:
        """Return the metadata that came before the first frame."""
        return await self._call.initial_metadata()

    async def read(self) -> Any:
        """Return the next frame, or `aio.EOF`."""
        return await self._call.read()

    async def write(self, frame: bytes) -> None:
        """Write a frame."""
        async with self._writing:
            with suppress(asyncio.InvalidStateError):
                await self._call.write(frame)
