"""Makes and maintains a deployment's kit: the certificate authority, and a start-up folder for each party.

The authority's folder stays with the operator of the deployment; each other folder goes to its party's machine.
The authority's folder records every party that was made. None is made again, even when its folder has been moved
away.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from deploy.kit import CA, CERTIFICATE, KEY, PARTY, REVOKED, Address
from protocol.crypto.certificates import (
    CertificateError,
    Credentials,
    Revocations,
    check_name,
    good_from_until,
    mint,
    mint_authority,
)
from protocol.errors import BadKit
from protocol.storage.files import private_folder, write_private

AUTHORITY = "authority"
"""The folder that never leaves the kit."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names by which the cloud is also reached on its own machine."""

PARTY_FILE = """\
# Which party this is, and where the cloud is.
role: {role}
name: {name}
cloud: "{address}"
"""
CLOUD_FILE = """\
# The cloud: where it listens, where it stores data, and its terms of trade. Change what you like
# before the first start; money is in coins.
role: cloud
name: {name}
cloud: "{address}"            # where parties reach it; its certificate is for this name
listen: "0.0.0.0:{port}"
ledger: null                  # a SQLAlchemy URL like postgresql+psycopg://user@host/parley; null: SQLite in state/
vault: null                   # a folder or fsspec URL for sealed pictures; null: in state/
patience: 600.0               # seconds that a party has for a step, time to reconnect included
purchases: 16                 # played at the same time, at most
terms:
  privacy: level2             # what bids show: basic, level1 or level2
  featurizer: small           # the public model: small, or vgg16 with its weights and calibration
  weights: null
  calibration: null
  commission: 0.05            # the cloud's share on top of each payment
  stake: 0.1                  # what a bid locks, as a share of its price
  bond: 0.1                   # what a complaint locks, as a share of the payment
  suite: x25519               # how pictures are sealed; mlkem768-x25519 is post-quantum
  arbitration: sound
deposits:                     # what a new account starts with, the first time a party trades
  buyer: 100.0
  seller: 20.0
"""


@dataclass(frozen=True)
class Issued:
    """One line of the authority's record.

    Attributes:
        name, role: Whose certificate.
        serial: Its serial number, hexadecimal.
        until: The day it expires.
    """

    name: str
    role: str
    serial: str
    until: str


@dataclass(frozen=True)
class Provisioned:
    """The result of a command on a kit.

    Attributes:
        address: Where parties reach the cloud.
        made: The certificates that this command issued.
        good: All valid certificates, the new ones included.
    """

    address: Address
    made: list[Issued]
    good: list[Issued]


def provision(out: Path, address: Address, counts: dict[str, int]) -> Provisioned:
    """Make a kit, or what an existing one lacks: the cloud, an operator, and the given number of parties of each role.

    Raises:
        BadKit: When the folder is for a cloud at another address, or is not a kit.
    """
    parties = {"cloud": "cloud", "operator": "operator"}
    parties |= {f"{role}{number + 1}": role for role, count in counts.items() for number in range(count)}
    if not (out / AUTHORITY / CA).exists():
        if out.exists() and any(path.name != AUTHORITY for path in out.iterdir()):
            raise BadKit(f"{out} exists and is not a kit; name a new folder with --out")
        _found(out, address)
    elif (before := _address(out)) != address:
        raise BadKit(
            f"{out} is the kit of the cloud at {before}; for a cloud at {address} name another folder with --out"
        )
    return _add(out, parties)


def add(out: Path, name: str, role: str) -> Provisioned:
    """Make one more party; nothing happens when it already has a valid certificate.

    Raises:
        BadKit: When there is no kit, or the name is invalid or taken by another role.
    """
    _address(out)
    if name == AUTHORITY or (role == "cloud") != (name == "cloud"):
        raise BadKit(f"{name} is not a name for a {role}; choose another one")
    return _add(out, {name: role})


def revoke(out: Path, name: str) -> list[Issued]:
    """Revoke every certificate that was issued to a name; return those that were still valid.

    Raises:
        BadKit: When there is no kit, or no party of that name.
    """
    _address(out)
    mine = [issued for issued in _issued(out) if issued.name == name]
    if not mine:
        names = ", ".join(dict.fromkeys(issued.name for issued in _issued(out)))
        raise BadKit(f"there is no {name} in {out}; there are {names}")
    good = [issued for issued in _good(out) if issued.name == name]
    _revocations(out).add({int(issued.serial, 16): name for issued in mine})
    _publish_revocations(out)
    return good


def role_of(name: str) -> str:
    """Return the role in a name like ``seller4``; an empty string if there is none."""
    return next((role for role in ("buyer", "seller", "entity", "operator") if name.startswith(role)), "")


def _found(out: Path, address: Address) -> None:
    folder = out / AUTHORITY
    private_folder(out)
    private_folder(folder)
    authority = mint_authority()
    write_private(folder / KEY, authority.key)
    write_private(folder / "kit.yaml", yaml.safe_dump({"cloud": str(address)}).encode())
    _revocations(out).add({})
    _record(out, [])
    write_private(folder / CA, authority.certificate)  # last: with it, the kit is complete


def _add(out: Path, parties: dict[str, str]) -> Provisioned:
    authority = Credentials((out / AUTHORITY / CA).read_bytes(), (out / AUTHORITY / KEY).read_bytes())
    address, good = _address(out), _good(out)
    there = {issued.name: issued.role for issued in good}
    for name, role in parties.items():
        if there.get(name, role) != role:
            raise BadKit(f"{name} is a {there[name]} in {out}; choose another name for the {role}")
    made = [_make(out, authority, address, name, role) for name, role in parties.items() if name not in there]
    if made:
        _record(out, [*_issued(out), *made])
    _publish_revocations(out)
    return Provisioned(address, made, [*good, *made])


def _make(out: Path, authority: Credentials, address: Address, name: str, role: str) -> Issued:
    try:
        check_name(role, name)
        hosts = (address.host, *LOOPBACK) if role == "cloud" else ()
        credentials = mint(authority, role, name, hosts)
    except CertificateError as error:
        raise BadKit(str(error)) from None
    folder = out / name
    private_folder(folder)
    write_private(folder / KEY, credentials.key)
    write_private(folder / CERTIFICATE, credentials.certificate)
    write_private(folder / CA, authority.certificate)
    if not (folder / PARTY).exists():
        write_private(folder / PARTY, _party_file(address, name, role).encode())
    until = good_from_until(credentials.certificate)[1]
    return Issued(name, role, f"{credentials.identity.serial:x}", f"{until:%Y-%m-%d}")


def _party_file(address: Address, name: str, role: str) -> str:
    if role == "cloud":
        return CLOUD_FILE.format(name=name, address=address, port=address.port)
    return PARTY_FILE.format(role=role, name=name, address=address)


def _address(out: Path) -> Address:
    path = out / AUTHORITY / "kit.yaml"
    if not (out / AUTHORITY / CA).exists() or not path.exists():
        raise BadKit(f"{out} is not a kit; make one with `parley provision --cloud HOST --out {out}`")
    return Address.parse(yaml.safe_load(path.read_text(encoding="utf-8"))["cloud"])


def _issued(out: Path) -> list[Issued]:
    text = (out / AUTHORITY / "issued.csv").read_text(encoding="utf-8")
    return [Issued(**row) for row in csv.DictReader(io.StringIO(text))]


def _record(out: Path, issued: Sequence[Issued]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Issued)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in issued)
    write_private(out / AUTHORITY / "issued.csv", text.getvalue().encode())


def _good(out: Path) -> list[Issued]:
    revoked = _revocations(out)
    return [issued for issued in _issued(out) if int(issued.serial, 16) not in revoked]


def _revocations(out: Path) -> Revocations:
    return Revocations(out / AUTHORITY / REVOKED)


def _publish_revocations(out: Path) -> None:
    """Update the cloud's folder, unless it has been moved away."""
    mine, theirs = out / AUTHORITY / REVOKED, out / "cloud" / REVOKED
    if theirs.parent.is_dir() and not (theirs.exists() and theirs.read_bytes() == mine.read_bytes()):
        write_private(theirs, mine.read_bytes())
