"""Parties attached to a cloud on this machine, for tests of the wire."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from flwr.clientapp import ClientApp

from protocol.certificates import Credentials, mint, mint_authority
from protocol.grids.grpc import Attachment, Backoff, GrpcGrid, Secure

AUTHORITY = mint_authority()
SOON = Backoff(first=0.01, most=0.05, patience=20.0)


def secure(urn: str, authority: Credentials = AUTHORITY, **changes: Any) -> Secure:
    """A party's end of mutual TLS."""
    _, _, role, name = urn.split(":")
    hosts = ("127.0.0.1", "localhost") if role == "cloud" else ()
    return Secure(mint(authority, role, name, hosts, **changes), authority.certificate)


class Parties:
    """Attachments in a thread of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.attached: list[Future[None]] = []

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.submit(work).result(timeout=60)

    def attach(self, grid: GrpcGrid, security: Any, app: ClientApp, **options: Any) -> Future[None]:
        options = {"backoff": SOON} | options
        future = self.submit(Attachment(grid.address, security, app, **options).run())
        self.attached.append(future)
        return future

    def close(self) -> None:
        for future in self.attached:
            future.cancel()
        self.run(self._settle())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _settle(self) -> None:
        me = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not me]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


Undo = Callable[[], object]
