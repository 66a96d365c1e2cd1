"""What a cloud shows of itself over HTTP, read-only: ``/`` (the console), ``/metrics`` and ``/healthz``."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deploy.console import page, policy
from deploy.kit import Address
from deploy.metrics import CONTENT_TYPE, registry_of, written
from deploy.overview import Overview
from protocol.errors import BadKit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Where the console is shown: who calls the server by another name is a web page of somebody else."""
CALLERS = 32
PATIENCE = 10.0
"""Seconds that a caller has to say what it wants."""
_log = logging.getLogger("parley")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET. The console is for this machine alone, and no page from elsewhere may read it through a browser."""

    timeout = PATIENCE
    server_version, sys_version = "parley", ""
    server: "_Server"

    def do_GET(self) -> None:
        """Answer one request."""
        if self.server.private and _host(self.headers.get("Host") or "") not in LOOPBACK:
            self._send(421, "text/plain", b"this server has another name\n")
            return
        try:
            status, kind, body = self._answer(self.path.partition("?")[0])
        except Exception:
            _log.exception("the cloud could not be looked at")
            status, kind, body = 503, "text/plain", b"the cloud cannot be looked at; its log says why\n"
        self._send(status, kind, body)

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        match path:
            case "/" if self.server.private:
                return 200, "text/html; charset=utf-8", page(self.server.look()).encode()
            case "/metrics":
                return 200, CONTENT_TYPE, written(self.server.registry)
            case "/healthz":
                self.server.look()
                return 200, "text/plain", b"ok\n"
        return 404, "text/plain", b"there are /metrics and /healthz, and on this machine alone /\n"

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", policy()),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: a scrape every few seconds is no event."""


class _Server(ThreadingHTTPServer):
    """A thread for each caller, of which there are so many at once; others are hung up on."""

    daemon_threads = True

    def __init__(self, address: Address, look: Callable[[], Overview]) -> None:
        self.look, self.registry = look, registry_of(look)
        self.private = address.host in LOOPBACK
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._places = threading.BoundedSemaphore(CALLERS)
        super().__init__((address.host, address.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a caller in a thread of its own, if there is room."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a caller, and leave its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


def _host(header: str) -> str:
    """Return the host of a ``Host`` header, without its port."""
    try:
        return Address.parse(header).host
    except ValueError:
        return ""


@contextmanager
def shown(address: Address, look: Callable[[], Overview]) -> Iterator[int]:
    """Show a cloud over HTTP; yields the port.

    Raises:
        BadKit: When it cannot listen there.
    """
    try:
        server = _Server(address, look)
    except OSError as error:
        raise BadKit(f"the console cannot listen at {address}: {error.strerror or error}") from None
    thread = threading.Thread(target=server.serve_forever, name="console", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
