"""Shared by both ends of the wire: version, methods, limits, keep-alive, and identities."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import grpc
from grpc import aio

from protocol.crypto.certificates import Credentials
from protocol.errors import ProtocolError
from protocol.grids.grpc.proxy import is_loopback, proxy_for

PROTOCOL_VERSION = 3
"""The version of `protocol/wire/parley.proto`; ends that speak another one refuse each other."""

SERVICE = "parley.v1.Parley"
ATTACH, PUT, GET, CALL = (f"/{SERVICE}/{method}" for method in ("Attach", "Put", "Get", "Call"))

MAX_FRAME = 1 << 20
"""Bytes of the largest frame that either end reads."""
MAX_INLINE = 128 << 10
"""Bytes of content that a frame carries itself; what is larger travels as a blob."""
CHUNK = 512 << 10
"""Bytes of a blob in one frame."""

_VERSION, _PARTY = "parley-version", "parley-party"
_KEEPALIVE = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_FRAME),
    ("grpc.max_send_message_length", MAX_FRAME),
]
_CLOUD = [
    *_KEEPALIVE,
    (
        "grpc.http2.max_ping_strikes",
        0,
    ),  # parties measure by pings how fast a blob comes; a busy cloud sees them in bursts
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_metadata_size", 8_192),
    ("grpc.so_reuseport", 0),
]


class InsecureAddress(ProtocolError):
    """Without TLS, listening and calling beyond this machine is refused."""


class BadAddress(ProtocolError):
    """An address that cannot be listened at."""


@dataclass(frozen=True)
class Secure:
    """Mutual TLS.

    Attributes:
        credentials: This end's certificate and key.
        authority: The certificate authority (PEM) that has to have signed the other end's certificate.
        revoked: For a party: serial numbers of certificates that a cloud must not have any more.
    """

    credentials: Credentials
    authority: bytes
    revoked: Container[int] = frozenset()

    @property
    def urn(self) -> str:
        """The party's URN."""
        return self.credentials.identity.urn


@dataclass(frozen=True)
class Insecure:
    """No TLS, for tests and demonstrations within one machine; identities are not checked.

    Attributes:
        urn: The claimed identity, ``urn:parley:<role>:<name>``.
    """

    urn: str = "urn:parley:cloud:cloud"


Security = Secure | Insecure


def listen(server: aio.Server, address: str, security: Security) -> int:
    """Let a server listen; returns the port (of port 0: the one that was free).

    Raises:
        InsecureAddress: When an insecure cloud is to listen anywhere but on the loopback interface.
        BadAddress: When it cannot listen there.
    """
    try:
        match security:
            case Insecure():
                _check_loopback(address, "listen")
                return int(server.add_insecure_port(address))
            case Secure(credentials, authority):
                chain = [(credentials.key, credentials.certificate)]
                tls = grpc.ssl_server_credentials(chain, authority, require_client_auth=True)
                return int(server.add_secure_port(address, tls))
    except RuntimeError as error:
        raise BadAddress(f"the cloud cannot listen at {address}: {error}") from None


def server(handlers: Iterable[grpc.GenericRpcHandler], streams: int) -> aio.Server:
    """Return a server with the limits of this wire."""
    return aio.server(handlers=list(handlers), options=_CLOUD, maximum_concurrent_rpcs=streams)


def channel(address: str, security: Security) -> aio.Channel:
    """Return a new channel to the cloud.

    Raises:
        InsecureAddress: When it would be insecure and leave the machine.
    """
    tls = _channel_credentials(address, security)
    if tls is None:
        return aio.insecure_channel(address, options=_options(address))
    return aio.secure_channel(address, tls, options=_options(address))


def blocking_channel(address: str, security: Security) -> grpc.Channel:
    """Return a new channel to the cloud for a program without an event loop; see `channel`."""
    tls = _channel_credentials(address, security)
    if tls is None:
        return grpc.insecure_channel(address, options=_options(address))
    return grpc.secure_channel(address, tls, options=_options(address))


def introduction(security: Security, version: int = PROTOCOL_VERSION) -> Sequence[tuple[str, str]]:
    """Return the metadata that every call carries."""
    return ((_VERSION, str(version)), (_PARTY, security.urn))


def introduced(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, str]:
    """Return the version and the party that a call's metadata name; empty where they name none."""
    named = {key: str(value) for key, value in metadata}
    return named.get(_VERSION, ""), named.get(_PARTY, "")


def _channel_credentials(address: str, security: Security) -> grpc.ChannelCredentials | None:
    if isinstance(security, Insecure):
        _check_loopback(address, "call")
        return None
    credentials = security.credentials
    return grpc.ssl_channel_credentials(security.authority, credentials.key, credentials.certificate)


def host_of(address: str) -> str:
    """Return the host of ``host:port``."""
    return address.rpartition(":")[0].strip("[]")


def _options(address: str) -> list[tuple[str, int | str]]:
    """Return a channel's options; the proxy is named, as gRPC alone would send even loopback through one."""
    proxy = proxy_for(host_of(address))
    return [*_KEEPALIVE, ("grpc.enable_http_proxy", 0) if proxy is None else ("grpc.http_proxy", proxy.url)]


def _check_loopback(address: str, what: str) -> None:
    if not is_loopback(host_of(address)):
        raise InsecureAddress(
            f"without certificates one can {what} only at 127.0.0.1, ::1 or localhost, not at {address}; "
            "make certificates with `parley provision`"
        )
