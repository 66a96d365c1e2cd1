"""Vouchers: whose a signing key is, by the certificate of its owner.

Parties sign with Ed25519 keys that derive from their secrets. Who passes such a key on could name another one, so its
owner signs it with the private key of its certificate, which names role and party (`protocol.crypto.certificates`).
"""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import UTC, datetime

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
from protocol.messages.base import Voucher

_DOMAIN = b"parley/voucher/1"


@dataclass(frozen=True)
class Vouching:
    """A party's certificate, and whose certificates it believes.

    Attributes:
        credentials: Its own.
        authority: The certificate (PEM) of the authority that signed everybody's.
        revoked: Serial numbers of certificates that are not believed any more.
        clock: Unix time.

    Examples:
        >>> from protocol.crypto.certificates import mint, mint_authority
        >>> authority = mint_authority()
        >>> buyer, seller = (
        ...     Vouching(mint(authority, role, f"{role}1"), authority.certificate) for role in ("buyer", "seller")
        ... )
        >>> seller.holder(buyer.vouch(b"k" * 32), b"k" * 32, "buyer").urn
        'urn:parley:buyer:buyer1'
        >>> seller.holder(buyer.vouch(b"k" * 32), b"another key" * 3, "buyer")
        Traceback (most recent call last):
            ...
        protocol.crypto.certificates.CertificateError: the signature is not by the holder of the certificate
    """

    credentials: Credentials
    authority: bytes
    revoked: Container[int] = frozenset()
    clock: Callable[[], float] = field(default=time.time)

    def vouch(self, public: bytes) -> Voucher:
        """Say that a public signing key is this party's."""
        return Voucher(certificate=self.credentials.certificate, signature=sign(self.credentials, _DOMAIN + public))

    def holder(self, voucher: Voucher | None, public: bytes, role: str) -> Identity:
        """Return whose a public signing key is.

        Raises:
            CertificateError: When nobody vouches for it, or somebody of another role, or by a certificate that is not
                good any more.
        """
        if voucher is None:
            raise CertificateError(f"no certificate vouches for the key of the {role}")
        pem = voucher.certificate
        check_issuer(pem, self.authority)
        check_time(pem, datetime.fromtimestamp(self.clock(), UTC))
        found = peer_identity(pem)
        if found.role != role:
            raise CertificateError(f"the certificate for the key of the {role} is of {found.urn}")
        if found.serial in self.revoked:
            raise CertificateError(f"the certificate of {found.urn} is revoked")
        check_signature(pem, _DOMAIN + public, voucher.signature)
        return found
