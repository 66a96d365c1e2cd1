"""The cloud shows at each attachment and each call that it holds its certificate, and which one that is.

TLS has shown it already, but gRPC tells a client no certificate, so that one that was revoked would go unnoticed. The
party sends a challenge, and the cloud signs it together with the party's name. Who has a revoked key cannot pass a
challenge on to the real cloud: that signs for nobody but the party that its own TLS has admitted.
"""

import secrets
from collections.abc import Container, Iterable, Sequence

from protocol.crypto.certificates import (
    CertificateError,
    Credentials,
    Identity,
    check_issuer,
    check_signature,
    check_time,
    peer_identity,
    sign,
)

_DOMAIN = b"parley/proof/1/"
_CHALLENGE, _CERTIFICATE, _SIGNATURE = "parley-challenge-bin", "parley-certificate-bin", "parley-proof-bin"
_LENGTH = 32

Metadata = Iterable[tuple[str, str | bytes]]


def new_challenge() -> bytes:
    """Draw a challenge."""
    return secrets.token_bytes(_LENGTH)


def challenging(challenge: bytes) -> tuple[str, bytes]:
    """Return the metadata of a call that carries a challenge."""
    return _CHALLENGE, challenge


def prove(credentials: Credentials, asked: Metadata, urn: str) -> Sequence[tuple[str, bytes]]:
    """Return the metadata of an answer: the cloud's certificate, and its signature under the challenge and the party.

    Args:
        asked: The call's metadata; without a challenge there is nothing to prove.
        urn: The party's, as its own certificate says.
    """
    challenge = _bytes_of(asked, _CHALLENGE)
    if len(challenge) != _LENGTH:
        return ()
    return (_CERTIFICATE, credentials.certificate), (_SIGNATURE, sign(credentials, _statement(challenge, urn)))


def check_proof(answer: Metadata, challenge: bytes, urn: str, authority: bytes, revoked: Container[int]) -> Identity:
    """Return who the cloud is.

    Args:
        answer: The metadata of its answer.
        urn: This party's.
        authority: The certificate (PEM) of the authority that signed the cloud's.
        revoked: Serial numbers of certificates that are not believed any more.

    Raises:
        CertificateError: When it proves nothing, is no cloud, or its certificate is not good any more.
    """
    answer = list(answer)
    pem = _bytes_of(answer, _CERTIFICATE)
    if not pem:
        raise CertificateError("it shows no certificate")
    check_issuer(pem, authority)
    check_time(pem)
    found = peer_identity(pem)
    if found.role != "cloud":
        raise CertificateError(f"its certificate is of {found.urn}")
    check_signature(pem, _statement(challenge, urn), _bytes_of(answer, _SIGNATURE))
    check_believed(found, revoked)
    return found


def check_believed(cloud: Identity, revoked: Container[int]) -> None:
    """Raise `CertificateError` when the cloud's certificate was revoked."""
    if cloud.serial in revoked:
        raise CertificateError(f"the certificate of {cloud.urn} was revoked")


def _statement(challenge: bytes, urn: str) -> bytes:
    return _DOMAIN + challenge + urn.encode()


def _bytes_of(metadata: Metadata, key: str) -> bytes:
    return next((value for name, value in metadata if name == key and isinstance(value, bytes)), b"")
