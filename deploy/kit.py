"""A party's start-up folder: its files, and the checks that they belong together."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, ValidationError, field_validator

from parties.policy.settings import FILE as POLICY
from parties.policy.settings import Policy, read_policy
from parties.purchase.terms import CloudSection, Coins
from protocol.crypto.certificates import (
    CertificateError,
    Credentials,
    Identity,
    NotYetValid,
    check_issuer,
    check_key,
    check_name,
    check_time,
)
from protocol.crypto.signing import SECRET_BYTES
from protocol.errors import BadKit
from protocol.grids.grpc import Quotas
from protocol.mistakes import mistake
from protocol.settings import Section
from protocol.storage.files import private_folder, write_once
from protocol.strict_yaml import BadYaml, parse_yaml, read_yaml

PARTY, CERTIFICATE, KEY, CA, REVOKED = "party.yaml", "certificate.pem", "key.pem", "ca.pem", "revoked.txt"
STATE, SECRET = "state", "secret"


PORT = 7443


@dataclass(frozen=True)
class Address:
    """Where the cloud is reached.

    Examples:
        >>> str(Address.parse("cloud.example.org")), str(Address.parse("[::1]:80"))
        ('cloud.example.org:7443', '[::1]:80')
    """

    host: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``host``, ``host:port`` or ``[IPv6]:port``; raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or (host.count(":") and not host.endswith("]")):
            host, port = text, str(PORT)
        if not (port.isdigit() and 0 <= int(port) <= 65_535):
            raise ValueError(f"an address is HOST or HOST:PORT, not {text!r}")
        host = host.removeprefix("[").removesuffix("]")
        if not host:
            raise ValueError(f"an address is HOST or HOST:PORT, not {text!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _is_address(text: str) -> str:
    return str(Address.parse(text))


class PartyFile(Section):
    """``party.yaml`` of all parties but the cloud."""

    role: Literal["buyer", "seller", "entity", "operator"]
    name: str
    cloud: str = Field(description="where the cloud is reached: HOST:PORT")

    _address = field_validator("cloud")(_is_address)

    @property
    def address(self) -> Address:
        """Where the cloud is reached."""
        return Address.parse(self.cloud)


class Deposits(Section):
    """Coins that a new account starts with; it is opened when a party first attaches."""

    buyer: Coins = 100.0
    seller: Coins = 20.0


class QuotasSection(Section):
    """How much parties may take of the cloud."""

    vault: Annotated[float, Gt(0)] = Field(50.0, description="gigabytes of the vault, for all parties")
    party: Annotated[float, Gt(0)] = Field(10.0, description="gigabytes of the vault, for each party")
    transfers: Annotated[int, Ge(1), Le(16)] = Field(2, description="blobs of one party that move at once")
    calls: Annotated[float, Gt(0)] = Field(20.0, description="requests of one party per second, in the long run")

    @property
    def quotas(self) -> Quotas:
        """The quotas as the grid takes them."""
        usual = Quotas()
        return replace(
            usual,
            transfers=replace(usual.transfers, each=self.transfers),
            calls=replace(usual.calls, rate=self.calls),
            vault=round(self.vault * 1e9),
            party=round(self.party * 1e9),
        )


class CloudFile(Section):
    """``party.yaml`` of the cloud."""

    role: Literal["cloud"]
    name: str
    cloud: str = Field(description="where parties reach it: HOST:PORT")
    listen: str = Field(f"0.0.0.0:{PORT}", description="the interface and port to listen on")
    ledger: str | None = Field(None, description="a SQLAlchemy URL; none: SQLite in the state folder")
    vault: str | None = Field(None, description="a folder or fsspec URL; none: a folder in the state folder")
    patience: Annotated[float, Gt(0), Le(30 * 86_400)] = Field(600.0, description="seconds that a party has for a step")
    purchases: Annotated[int, Ge(1), Le(1000)] = Field(16, description="purchases played at the same time, at most")
    terms: CloudSection = CloudSection()
    deposits: Deposits = Deposits()
    quotas: QuotasSection = QuotasSection()

    _address = field_validator("cloud", "listen")(_is_address)

    @property
    def address(self) -> Address:
        """Where parties reach it."""
        return Address.parse(self.cloud)


@dataclass(frozen=True)
class Kit:
    """A start-up folder, read and checked.

    Attributes:
        folder, state: The start-up folder, and the state folder.
        party: The contents of ``party.yaml``.
        credentials: Its certificate and key.
        ca: The certificate authority's certificate.
    """

    folder: Path
    state: Path
    party: PartyFile | CloudFile
    credentials: Credentials
    ca: bytes

    @property
    def identity(self) -> Identity:
        """The identity in the certificate."""
        return self.credentials.identity

    def policy(self) -> Policy:
        """Return what the party lets others have of it; without a file, the strict default.

        Raises:
            BadKit: When the file cannot be used.
        """
        try:
            return read_policy(self.folder / POLICY)
        except FileNotFoundError:
            return Policy()

    def secret(self) -> bytes:
        """Return the party's secret, 32 bytes. The first call draws them; they never leave this machine."""
        path = self.state / SECRET
        try:
            private_folder(self.state)
            secret = write_once(path, secrets.token_bytes(SECRET_BYTES))
        except OSError as error:
            raise BadKit(f"{path} cannot be written: {error.strerror}; make room, or name another --state") from None
        if len(secret) != SECRET_BYTES:
            raise BadKit(f"{path} should hold {SECRET_BYTES} bytes and holds {len(secret)}; restore it from a backup")
        return secret


NEW_KIT = (
    f"make a new kit in another folder with `parley provision`, and copy {CA}, {CERTIFICATE} and {KEY} of every party"
    " into the folder that it has, whose state stays"
)
"""What to do when the authority has expired."""


def again(name: str) -> str:
    """Say how a party gets a new certificate."""
    return (
        f"where the kit was made, run `parley provision revoke {name}` and `parley provision add {name}`; copy"
        f" {CERTIFICATE} and {KEY} from the folder {name} there into this one, and start the party again"
    )


def read_party(folder: Path) -> PartyFile | CloudFile:
    """Read ``party.yaml``; raises `BadKit`."""
    path = folder / PARTY
    tree, text = read_keys(path)
    model: type[PartyFile | CloudFile] = CloudFile if tree.get("role") == "cloud" else PartyFile
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise BadKit(f"{path}{mistake(error, model, text)}") from None


def read_kit(folder: Path, roles: Sequence[str], state: Path | None = None, cloud: Address | None = None) -> Kit:
    """Read a start-up folder and check that its parts belong together.

    Args:
        folder: What `parley provision` wrote.
        roles: The roles that are accepted.
        state: Where to keep state; None: in the folder.
        cloud: Where to reach the cloud; None: as ``party.yaml`` says.

    Raises:
        BadKit: With one sentence on what is missing or does not fit.
    """
    party = read_party(folder)
    if party.role not in roles:
        raise BadKit(f"{folder} is a kit with the role {party.role}, but this command needs {' or '.join(roles)}")
    if cloud is not None:
        party = party.model_copy(update={"cloud": str(cloud)})
    credentials = Credentials(_read(folder / CERTIFICATE), _read(folder / KEY))
    ca = _read(folder / CA)
    try:
        check_name(party.role, party.name)
        check_issuer(credentials.certificate, ca)
        check_key(credentials)
        check_time(credentials.certificate)
        identity = credentials.identity
    except NotYetValid as error:
        raise BadKit(f"{folder}: {error}; set the clock, by NTP for example") from None
    except CertificateError as error:
        raise BadKit(f"{folder}: {error}; {again(party.name)}") from None
    try:
        check_time(ca)
    except CertificateError as error:
        raise BadKit(f"{folder}: of the authority, {error}; {NEW_KIT}") from None
    if (identity.role, identity.name) != (party.role, party.name):
        raise BadKit(
            f"{folder}: party.yaml is for {party.role} {party.name},"
            f" but the certificate is for {identity.role} {identity.name}"
        )
    return Kit(folder, folder / STATE if state is None else state, party, credentials, ca)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadKit(f"{path} is missing; `parley provision` writes it") from None
    except OSError as error:
        raise BadKit(f"{path} cannot be read: {error.strerror}") from None


def read_keys(path: Path) -> tuple[dict[str, Any], str]:
    """Return the keys and values of a YAML file, and its text; raises `BadKit`."""
    try:
        text = read_yaml(path)
        tree = parse_yaml(text)
    except FileNotFoundError:
        raise BadKit(f"{path} is missing; `parley provision` writes it") from None
    except BadYaml as error:
        raise BadKit(f"{path}{error.place}: {error}") from None
    if not isinstance(tree, dict):
        raise BadKit(f"{path} should hold keys and values, like role: seller")
    return tree, text
