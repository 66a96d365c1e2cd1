"""What a party asks of the cloud by itself, and what is wrong when it gets no answer."""

from datetime import UTC, datetime
from typing import Any

import grpc
from flwr.app import RecordDict

from protocol.crypto.certificates import CertificateError, Identity
from protocol.errors import ProtocolError
from protocol.grids.grpc.frames import parse, read_content, write_content
from protocol.grids.grpc.proof import Metadata, challenging, check_proof, new_challenge
from protocol.grids.grpc.proxy import proxy_for
from protocol.grids.grpc.transport import CALL, Secure, Security, blocking_channel, host_of, introduction
from protocol.wire import parley_pb2 as wire

_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""No answer: none got there, or none came back."""
LATER = grpc.StatusCode.RESOURCE_EXHAUSTED
"""A refusal that holds for now: the cloud has too much to do, or no room."""


class AttachRefused(ProtocolError):
    """The cloud refuses this party; the text says why."""


class CloudUnreachable(ProtocolError):
    """The cloud could not be reached in time."""


def call(address: str, security: Security, method: str, content: RecordDict, timeout: float = 30.0) -> RecordDict:
    """Ask something of the cloud.

    Raises:
        AttachRefused: When the cloud does not answer that, or not to this party, or is not to be believed.
        CloudUnreachable: When it cannot be reached, or does not answer in time.
        UnreadableMessage: When its answer cannot be read.
    """
    request = wire.Request(method=method, content=b"".join(write_content(content))).SerializeToString()
    try:
        with blocking_channel(address, security) as cloud:
            challenge = new_challenge()
            metadata = (*introduction(security), challenging(challenge))
            answer, made = cloud.unary_unary(CALL).with_call(request, metadata=metadata, timeout=timeout)
            check_cloud(address, security, challenge, made.initial_metadata() or ())
        return read_content(parse(wire.Response, answer).content)
    except grpc.RpcError as error:
        trouble = trouble_of(error, address)
        if error.code() in _AWAY or error.code() is LATER:
            raise CloudUnreachable(f"the cloud at {address} does not answer {method}: {trouble}") from None
        raise AttachRefused(f"the cloud at {address} refused {method}: {trouble}") from None


def check_cloud(address: str, security: Security, challenge: bytes, metadata: Metadata) -> Identity | None:
    """Return who the cloud is, by the metadata of its answer to a challenge; None where there are no certificates.

    Raises:
        AttachRefused: When it is not to be believed.
    """
    if not isinstance(security, Secure):
        return None
    try:
        return check_proof(metadata, challenge, security.urn, security.authority, security.revoked)
    except CertificateError as error:
        raise disbelieved(address, error) from None


def disbelieved(address: str, error: CertificateError) -> AttachRefused:
    """Return why a party has nothing to do with a cloud."""
    return AttachRefused(f"the cloud at {address} is not to be believed: {error}")


_DISTRUST = {
    "certificate is not yet valid": "the cloud's certificate is not yet valid by this machine's clock, which says"
    " {now:%Y-%m-%d %H:%M} UTC: it is behind, or that of the machine that made the certificate was ahead",
    "certificate has expired": "the cloud's certificate has expired by this machine's clock, which says"
    " {now:%Y-%m-%d %H:%M} UTC: the cloud needs a new one",
    "CERTIFICATE_VERIFY_FAILED": "the server there has no certificate of this party's authority",
    "Hostname Verification Check failed": "the cloud's certificate is not for this name: dial one that it is for, or"
    " have `parley provision --also` add this one",
    "Socket closed": "it closed the connection, as it does when this party's certificate is of another authority, or"
    " not valid by the cloud's clock",
}
"""What gRPC says of a failed handshake, the first that fits, and what it means."""


def trouble_of(error: Any, address: str) -> str:
    """Return what went wrong with a call; for a failed connection, its last cause, and the proxy on the way."""
    details, connecting = str(error.details()), "last error" in str(error.details())
    if found := next((sentence for sign, sentence in _DISTRUST.items() if connecting and sign in details), None):
        details = found.format(now=datetime.now(UTC))
    elif error.code() is grpc.StatusCode.UNAVAILABLE and (connecting or "DNS" in details):
        details = details.rpartition(": ")[2]
    proxy = proxy_for(host_of(address)) if error.code() in _AWAY else None
    through = "" if proxy is None else f" (through the proxy {proxy}, as {proxy.variable} says)"
    return f"{error.code().name}: {details}{through}"
