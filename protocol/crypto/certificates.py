"""Certificates: who may speak on the wire, and as whom.

One certificate authority per kit signs everybody's certificate. A certificate names one role and one
party in a URI, ``urn:parley:<role>:<name>``, among its subject alternative names; the cloud's also
names the hosts at which it is reached. Keys are ECDSA on P-256, which every TLS stack accepts.

The cloud's certificate is good for a TLS server only, and all others for a client only, so that no
party can impersonate the cloud.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import ProtocolError
from protocol.storage.files import write_private

ROLES = ("cloud", "buyer", "seller", "entity", "client", "participant", "operator")
AUTHORITY_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=730)
SKEW = timedelta(hours=1)
"""How far certificates are backdated, for machines whose clocks are behind."""

_NAME = re.compile(r"[a-z0-9-]{1,63}")
_URN = re.compile(r"urn:parley:([a-z]+):([a-z0-9-]{1,63})")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*")


class CertificateError(ProtocolError):
    """A certificate, or what should be one, is not good; the text says how."""


class NotYetValid(CertificateError):
    """A certificate is good only later: this machine's clock is behind, or that of its maker was ahead."""


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for.

    Attributes:
        role, name: The role, one of `ROLES`, and the party's name among those of its role.
        serial: The certificate's serial number, by which it is revoked.
    """

    role: str
    name: str
    serial: int

    @property
    def urn(self) -> str:
        """The party's name in the certificate."""
        return f"urn:parley:{self.role}:{self.name}"


@dataclass(frozen=True)
class Credentials:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def identity(self) -> Identity:
        """Who they speak for."""
        return peer_identity(self.certificate)


def mint_authority(now: datetime | None = None) -> Credentials:
    """Make a new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name("Parley certificate authority")
    uses = {"key_cert_sign": True, "crl_sign": True}
    builder = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(uses), critical=True)
    )
    return _credentials(builder.sign(key, SHA256()), key)


def mint(
    authority: Credentials,
    role: str,
    name: str,
    hosts: Iterable[str] = (),
    now: datetime | None = None,
    lifetime: timedelta = LIFETIME,
) -> Credentials:
    """Make a party's key and certificate.

    Args:
        authority: The certificate authority's.
        role: One of `ROLES`.
        name: 1 to 63 of a-z, 0-9 and "-".
        hosts: Host names and IP addresses at which the cloud is reached.
        now: When; the present by default.
        lifetime: How long it is good for, from now; not longer than the authority.

    Raises:
        CertificateError: When the role, the name or a host is not one, or a party other than the cloud has a host.

    Examples:
        >>> mint(mint_authority(), "seller", "seller1").identity.urn
        'urn:parley:seller:seller1'
    """
    check_name(role, name)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:parley:{role}:{name}")]
    names += [_host(host) for host in dict.fromkeys(hosts)]
    if (role == "cloud") != (len(names) > 1):
        raise CertificateError("the cloud's certificate names its hosts, and no other certificate names any")
    usage = ExtendedKeyUsageOID.SERVER_AUTH if role == "cloud" else ExtendedKeyUsageOID.CLIENT_AUTH
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = _load(authority.certificate)
    issuer_key = _load_key(authority.key)
    builder = (
        _builder(_common_name(f"{role} {name}"[:64]), issuer.subject, key.public_key(), now, lifetime, issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage({"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return _credentials(builder.sign(issuer_key, SHA256()), key)


def check_name(role: str, name: str) -> None:
    """Raise `CertificateError` unless there is such a role and the name is a possible one."""
    if role not in ROLES:
        raise CertificateError(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
    if not _NAME.fullmatch(name):
        raise CertificateError(f"a party's name is 1 to 63 of a-z, 0-9 and -, not {name!r}")


def peer_identity(pem: bytes) -> Identity:
    """Return who a certificate speaks for.

    Neither signature nor time is checked here: TLS has to have accepted the certificate.

    Raises:
        CertificateError: When it is no certificate, or does not name exactly one role and party.
    """
    certificate = _load(pem)
    uris = list(_names(certificate).get_values_for_type(x509.UniformResourceIdentifier))
    match = _URN.fullmatch(uris[0]) if len(uris) == 1 else None
    if match is None or match[1] not in ROLES:
        raise CertificateError(f"the certificate does not name one party as urn:parley:<role>:<name>, but {uris}")
    return Identity(match[1], match[2], certificate.serial_number)


def hosts_of(pem: bytes) -> tuple[str, ...]:
    """Return the host names and IP addresses in a certificate."""
    names = _names(_load(pem))
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def names_host(pem: bytes, host: str) -> bool:
    """Say whether a certificate names a host, or an IP address however it is written."""
    return str(_host(host).value) in hosts_of(pem)


def check_host(host: str) -> None:
    """Raise `CertificateError` unless it is a host name or an IP address."""
    _host(host)


def good_from_until(pem: bytes) -> tuple[datetime, datetime]:
    """Return the first and the last moment (UTC) at which a certificate is good."""
    certificate = _load(pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def check_time(pem: bytes, now: datetime | None = None) -> None:
    """Raise `CertificateError` unless a certificate is good now; a stream can outlive the one it was opened with."""
    first, last = good_from_until(pem)
    now = now or datetime.now(UTC)
    if now < first:
        raise NotYetValid(
            f"the certificate is valid from {first:%Y-%m-%d %H:%M} UTC on, and this machine's clock says"
            f" {now:%Y-%m-%d %H:%M}: it is behind, or that of the machine that made the certificate was ahead"
        )
    if now > last:
        raise CertificateError(f"the certificate expired on {last:%Y-%m-%d %H:%M} UTC")


def check_issuer(pem: bytes, authority: bytes) -> None:
    """Raise `CertificateError` unless the authority of this certificate (PEM) signed the other one."""
    try:
        _load(pem).verify_directly_issued_by(_load(authority))
    except (ValueError, TypeError, InvalidSignature):
        raise CertificateError("the certificate was not signed by this certificate authority") from None


def check_key(credentials: Credentials) -> None:
    """Raise `CertificateError` unless the private key is the certificate's."""
    if _load(credentials.certificate).public_key() != _load_key(credentials.key).public_key():
        raise CertificateError("the private key is not the one of the certificate")


def sign(credentials: Credentials, statement: bytes) -> bytes:
    """Sign a statement with a certificate's private key (ECDSA with SHA-256), each time alike (RFC 6979)."""
    return _load_key(credentials.key).sign(statement, ec.ECDSA(SHA256(), deterministic_signing=True))


def check_signature(pem: bytes, statement: bytes, signature: bytes) -> None:
    """Raise `CertificateError` unless the holder of a certificate signed a statement."""
    key = _load(pem).public_key()
    try:
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InvalidSignature
        key.verify(signature, statement, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise CertificateError("the signature is not by the holder of the certificate") from None


class Revocations:
    """Serial numbers of revoked certificates, from a file that is read again when it changes.

    The file holds one number per line, in hexadecimal, and comments after ``#``. It has to be there,
    and readable: without a list every certificate is refused.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     revoked = Revocations(Path(folder) / "revoked.txt")
        ...     revoked.add({})
        ...     revoked.add({0xbeef: "seller2"})
        ...     0xbeef in revoked, 0xcafe in revoked
        (True, False)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._serials: frozenset[int] = frozenset()

    def __contains__(self, serial: object) -> bool:
        """Whether a certificate is revoked; raises `CertificateError` when the file cannot be read."""
        return serial in self.serials()

    def serials(self) -> frozenset[int]:
        """Return all revoked serial numbers."""
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size, status.st_ino)
            if version != self._version:
                self._serials = self._parse(self._path.read_text(encoding="utf-8"))
                self._version = version
        except (OSError, UnicodeDecodeError) as error:
            raise CertificateError(
                f"the list of revoked certificates {self._path} cannot be read: {error}; "
                "an empty file says that none is revoked"
            ) from None
        return self._serials

    def add(self, serials: Mapping[int, str]) -> None:
        """Revoke certificates, each with its owner as a comment; creates the file if there is none."""
        before = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        known = self._parse(before)
        lines = [f"{serial:x}  # {whose}\n" for serial, whose in serials.items() if serial not in known]
        if lines or not self._path.exists():
            write_private(self._path, (before + "".join(lines)).encode())

    def _parse(self, text: str) -> frozenset[int]:
        numbers = [line.partition("#")[0].strip() for line in text.splitlines()]
        try:
            return frozenset(int(number, 16) for number in numbers if number)
        except ValueError as error:
            raise CertificateError(f"{self._path} holds a line that is no serial number: {error}") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime | None,
    lifetime: timedelta,
    authority: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    now = now or datetime.now(UTC)
    last = now + lifetime if authority is None else min(now + lifetime, authority.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(last)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _credentials(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Credentials:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(certificate.public_bytes(Encoding.PEM), private)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(uses: Mapping[str, bool]) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{use: uses.get(use, False) for use in every})


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host):
            raise CertificateError(f"{host!r} is neither a host name nor an IP address") from None
        return x509.DNSName(host.lower())


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        raise CertificateError("the certificate names no party: it has no subject alternative names") from None


def _load(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise CertificateError("what should be a certificate in PEM form is not one") from None


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise CertificateError("what should be a private key in PEM form is not one") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the private key is not one on the curve P-256")
    return key
