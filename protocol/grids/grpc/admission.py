"""Who may call: certificates are checked on every call, and for as long as it lasts."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc

from protocol.crypto.certificates import CertificateError, Identity, Revocations, check_time, peer_identity
from protocol.errors import ProtocolError
from protocol.grids.grpc.proof import prove
from protocol.grids.grpc.transport import PROTOCOL_VERSION, Secure, Security, introduced

PARTIES = frozenset({"buyer", "seller", "entity"})
"""The roles that attach."""


class Refused(ProtocolError):
    """A call that is refused, with the status that says so.

    Args:
        code: See the list in `protocol/wire/parley.proto`.
        text: One sentence for the peer.
    """

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Peer:
    """Who is calling.

    Attributes:
        identity: From the certificate; in insecure mode from what the peer says.
        certificate: PEM; empty in insecure mode.
    """

    identity: Identity
    certificate: bytes


class Admission:
    """Decides who may call.

    Args:
        security: The cloud's certificate; if it is insecure, peers show none.
        revoked: Serial numbers of revoked certificates; `Revocations` reads them from a file.
    """

    def __init__(self, security: Security, revoked: Container[int] | Revocations = frozenset()) -> None:
        self._security = security
        self._revoked = revoked

    def identify(self, context: Any) -> Peer:
        """Return who is calling, admitted or not.

        Raises:
            Refused: When its certificate names no party.
        """
        try:
            return _peer(
                context, introduced(context.invocation_metadata() or ())[1], secure=isinstance(self._security, Secure)
            )
        except CertificateError as error:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, str(error)) from None

    def proof(self, peer: Peer, context: Any) -> Sequence[tuple[str, bytes]]:
        """Return the metadata with which the cloud shows a peer its own certificate."""
        if not isinstance(self._security, Secure):
            return ()
        return prove(self._security.credentials, context.invocation_metadata() or (), peer.identity.urn)

    def admit(self, peer: Peer, context: Any, roles: Container[str]) -> None:
        """Let a peer call.

        Raises:
            Refused: When it speaks another version, its certificate is not good, or its role may not call this.
        """
        version, _ = introduced(context.invocation_metadata() or ())
        if version != str(PROTOCOL_VERSION):
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"this cloud speaks version {PROTOCOL_VERSION} of the wire format, the party {version[:20] or 'none'}",
            )
        self.check(peer)
        if peer.identity.role not in roles:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"a {peer.identity.role} may not call this")

    def check(self, peer: Peer) -> None:
        """Raise `Refused` when the certificate of an admitted peer has expired or was revoked."""
        if not isinstance(self._security, Secure):
            return
        try:
            check_time(peer.certificate)
            revoked = peer.identity.serial in self._revoked
        except CertificateError as error:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, str(error)) from None
        if revoked:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, f"the certificate of {peer.identity.urn} was revoked")


def _peer(context: Any, claimed: str, *, secure: bool) -> Peer:
    if not secure:
        _, _, role, name = (claimed.split(":") + [""] * 4)[:4]
        return Peer(Identity(role, name, serial=0), b"")
    (certificate,) = context.auth_context().get("x509_pem_cert", (b"",))
    return Peer(_identity(certificate), certificate)


_identity = lru_cache(maxsize=4096)(peer_identity)
