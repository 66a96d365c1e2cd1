"""Parties attached to a cloud on this machine, for tests of the wire."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from protocol.crypto.certificates import Credentials, mint, mint_authority
from protocol.grids.grpc import Attachment, Backoff, GrpcGrid, Roster, Secure
from protocol.grids.grpc.transport import introduction
from protocol.storage.vault import Vault

AUTHORITY = mint_authority()
SOON = Backoff(first=0.01, most=0.05, patience=20.0)


def secure(urn: str, authority: Credentials = AUTHORITY, **changes: Any) -> Secure:
    """A party's end of mutual TLS."""
    _, _, role, name = urn.split(":")
    hosts = ("127.0.0.1", "localhost") if role == "cloud" else ()
    return Secure(mint(authority, role, name, hosts, **changes), authority.certificate)


CLOUD = secure("urn:parley:cloud:cloud")
BUYER = "urn:parley:buyer:ann"
SELLERS = [f"urn:parley:seller:seller{index}" for index in range(5)]
SECURITY = {urn: secure(urn) for urn in (BUYER, *SELLERS)}


class Wires:
    """Clouds, and parties whose attachments run in a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vault"
        self.vault = Vault(str(self.folder))
        self.attached: list[Future[None]] = []
        self.grids: list[GrpcGrid] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def cloud(self, urns: list[str], address: str = "127.0.0.1:0", **options: Any) -> GrpcGrid:
        self.grids.append(GrpcGrid(address, CLOUD, options.pop("roster", Roster(urns)), self.vault, **options))
        return self.grids[-1]

    def attach(self, address: str, urn: str, app: ClientApp, **options: Any) -> Future[None]:
        security = options.pop("security", None) or SECURITY[urn]
        future = self.submit(Attachment(address, security, app, **{"backoff": SOON} | options).run())
        self.attached.append(future)
        return future

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.submit(work).result(timeout=60)

    def close(self) -> None:
        self.run(self._settle())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for grid in self.grids:
            grid.close()

    async def _settle(self) -> None:
        me = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not me]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def refused(
    grid: GrpcGrid, method: str, frames: list[bytes], security: Secure, metadata: Any = None
) -> tuple[grpc.StatusCode, str]:
    """Send frames as they are, then wait; returns the status that comes of it."""
    over = threading.Event()

    def sending() -> Iterator[bytes]:
        yield from frames
        over.wait(20)

    credentials = security.credentials
    tls = grpc.ssl_channel_credentials(security.authority, credentials.key, credentials.certificate)
    with grpc.secure_channel(grid.address, tls, [("grpc.max_send_message_length", -1)]) as cloud:
        call = cloud.stream_stream(method)(sending(), metadata=metadata or introduction(security), timeout=20)
        try:
            for _ in call:
                pass
        except grpc.RpcError:
            pass
        over.set()
        return call.code(), call.details()


def ask(grid: GrpcGrid, node_id: int, content: RecordDict | None = None, **options: Any) -> list[Message]:
    """Ask one node for an echo."""
    content = content or RecordDict({"fields": ConfigRecord({"x": 1})})
    message = grid.create_message(content, "query.echo", node_id, "g")
    return list(grid.send_and_receive([message], **options))


def echo(grid: GrpcGrid, node_id: int) -> bool:
    """Whether a node answers."""
    return [reply.has_content() for reply in ask(grid, node_id, timeout=20)] == [True]
