"""Makes and maintains a deployment's kit: the certificate authority, and a start-up folder for each party.

The authority's folder stays with the operator of the deployment; each other folder goes to its party's machine.
The authority's folder records every party that was made. None is made again, even when its folder has been moved
away, unless its certificate has run out.
"""

import csv
import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path

from deploy.kit import CA, CERTIFICATE, KEY, NEW_KIT, PARTY, REVOKED, Address, read_keys
from parties.policy.settings import FILE as POLICY
from parties.policy.settings import policy_of_role
from protocol.crypto.certificates import (
    CertificateError,
    Credentials,
    Revocations,
    check_host,
    check_name,
    check_time,
    good_from_until,
    mint,
    mint_authority,
)
from protocol.errors import BadKit
from protocol.storage.files import private_folder, write_private
from protocol.strict_yaml import write_yaml

AUTHORITY = "authority"
"""The folder that never leaves the kit."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names by which the cloud is also reached on its own machine."""

PARTY_FILE = """\
# Which party this is, and where the cloud is.
role: {role}
name: "{name}"
cloud: "{address}"
"""
CLOUD_FILE = """\
# The cloud: where it listens, where it stores data, and its terms of trade. Change what you like
# before the first start; money is in coins.
role: cloud
name: "{name}"
cloud: "{address}"            # where parties reach it
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
  stake: 0.0                  # what a bid locks beside that, as a share of its price
  least_stake: 0.1            # coins that a bid locks, whatever its price
  most_bids: 1000             # bids of one seller on a request, at most
  bond: 0.1                   # what a complaint locks, as a share of the payment
  deposit: 0.05               # share of its budget that a buyer loses who does not pay its invoice
  suite: x25519               # how pictures are sealed; mlkem768-x25519 is post-quantum
  arbitration: sound
deposits:                     # what a new account starts with, the first time a party trades
  buyer: 100.0
  seller: 20.0
quotas:                       # who has more waits; the others do not
  vault: 50.0                 # gigabytes of sealed pictures, of all parties
  party: 10.0                 # gigabytes of sealed pictures, of each party
  transfers: 2                # blobs of each party that move at once
  calls: 20.0                 # requests of each party per second
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
        also: Its other names.
        renewed: The names of parties that had a certificate before; what else is in their folders stays as it is.
        made: The certificates that this command issued.
        good: All valid certificates, the new ones included.
    """

    address: Address
    also: tuple[str, ...]
    renewed: frozenset[str]
    made: list[Issued]
    good: list[Issued]


def provision(out: Path, address: Address, counts: dict[str, int], also: Sequence[str] = ()) -> Provisioned:
    """Make a kit, or what an existing one lacks: the cloud, an operator, and the given number of parties of each role.

    Parties whose certificates have run out get new ones, as does a cloud that is to have another name.

    Args:
        also: Other host names and IP addresses of the cloud.

    Raises:
        BadKit: When the folder is for a cloud at another address, is not a kit, or its authority has run out.
    """
    parties = {"cloud": "cloud", "operator": "operator"}
    parties |= {f"{role}{number + 1}": role for role, count in counts.items() for number in range(count)}
    _check_hosts(also)
    with _whole(out):
        if not (out / AUTHORITY / CA).exists():
            if out.exists() and any(path.name != AUTHORITY for path in out.iterdir()):
                raise BadKit(f"{out} exists and is not a kit; name a new folder with --out")
            _found(out, address, also)
        before, known = _address(out)
        if before != address:
            raise BadKit(
                f"{out} is the kit of the cloud at {before}; for a cloud at {address} name another folder with --out,"
                f" or add the name to this one: --cloud {before} --also {address.host}"
            )
        more = [host for host in dict.fromkeys(also) if host not in known]
        return _add(out, {**parties, **_expired(out)}, more)


def add(out: Path, name: str, role: str) -> Provisioned:
    """Make one more party; nothing happens when it already has a valid certificate.

    Raises:
        BadKit: When there is no kit, or the name is invalid or taken by another role.
    """
    _address(out)
    if name == AUTHORITY or (role == "cloud") != (name == "cloud"):
        raise BadKit(f"{name} is not a name for a {role}; choose another one")
    with _whole(out):
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
    roles = ("buyer", "seller", "entity", "operator")
    return name if name == "cloud" else next((role for role in roles if name.startswith(role)), "")


@contextmanager
def _whole(out: Path) -> Iterator[None]:
    """Remove the folders that were made, if a command fails."""
    there = set(out.iterdir()) if out.is_dir() else None
    try:
        yield
    except BaseException:
        if there is None:
            shutil.rmtree(out, ignore_errors=True)
        else:
            for path in set(out.iterdir()) - there:
                shutil.rmtree(path, ignore_errors=True)
        raise


def _found(out: Path, address: Address, also: Sequence[str]) -> None:
    folder = out / AUTHORITY
    private_folder(out)
    private_folder(folder)
    authority = mint_authority()
    write_private(folder / KEY, authority.key)
    _write_address(out, address, also)
    _revocations(out).add({})
    _record(out, [])
    write_private(folder / CA, authority.certificate)  # last: with it, the kit is complete


def _add(out: Path, parties: dict[str, str], more: Sequence[str] = ()) -> Provisioned:
    """Make parties that have no valid certificate; and the cloud's anew when it has more names."""
    authority = Credentials((out / AUTHORITY / CA).read_bytes(), (out / AUTHORITY / KEY).read_bytes())
    (address, also), good, before = _address(out), _good(out), _issued(out)
    also = (*also, *more)
    there = {issued.name: issued.role for issued in good}
    for name, role in parties.items():
        if there.get(name, role) != role:
            raise BadKit(f"{name} is a {there[name]} in {out}; choose another name for the {role}")
    wanted = {name: role for name, role in parties.items() if name not in there or (more and name == "cloud")}
    if wanted:
        try:
            check_time(authority.certificate)
        except CertificateError as error:
            raise BadKit(f"{out / AUTHORITY}: of the authority, {error}; {NEW_KIT}") from None
    made = [_make(out, authority, (address.host, *also), address, name, role) for name, role in wanted.items()]
    if made:
        _record(out, [*before, *made])
    if more:
        _write_address(out, address, also)
    _publish_revocations(out)
    renewed = frozenset(wanted) & {issued.name for issued in before}
    kept = [issued for issued in good if issued.name not in wanted]
    return Provisioned(address, also, renewed, made, [*kept, *made])


def _make(out: Path, authority: Credentials, hosts: tuple[str, ...], address: Address, name: str, role: str) -> Issued:
    try:
        check_name(role, name)
        credentials = mint(authority, role, name, (*hosts, *LOOPBACK) if role == "cloud" else ())
    except CertificateError as error:
        raise BadKit(str(error)) from None
    folder = out / name
    private_folder(folder)
    files = {KEY: credentials.key, CERTIFICATE: credentials.certificate, CA: authority.certificate}
    staged = folder / ".new"  # so that a full disk leaves no key beside the certificate of another one
    try:
        private_folder(staged)
        for file, content in files.items():
            write_private(staged / file, content)
        for file in files:
            (staged / file).replace(folder / file)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    if not (folder / PARTY).exists():
        write_private(folder / PARTY, _party_file(address, name, role).encode())
        if (policy := policy_of_role(role)) is not None:
            write_private(folder / POLICY, policy.encode())
    until = good_from_until(credentials.certificate)[1]
    return Issued(name, role, f"{credentials.identity.serial:x}", f"{until:%Y-%m-%d}")


def _party_file(address: Address, name: str, role: str) -> str:
    if role == "cloud":
        return CLOUD_FILE.format(name=name, address=address, port=address.port)
    return PARTY_FILE.format(role=role, name=name, address=address)


def _address(out: Path) -> tuple[Address, tuple[str, ...]]:
    """Return where parties reach the cloud, and its other names."""
    path = out / AUTHORITY / "kit.yaml"
    if not (out / AUTHORITY / CA).exists() or not path.exists():
        raise BadKit(f"{out} is not a kit; make one with `parley provision --cloud HOST --out {out}`")
    keys, _ = read_keys(path)
    try:
        return Address.parse(str(keys["cloud"])), tuple(str(host) for host in keys.get("also") or ())
    except (KeyError, TypeError, ValueError):
        raise BadKit(f"{path} should hold where the cloud is, like cloud: {LOOPBACK[0]}") from None


def _write_address(out: Path, address: Address, also: Sequence[str]) -> None:
    names = {"cloud": str(address), **({"also": list(dict.fromkeys(also))} if also else {})}
    write_private(out / AUTHORITY / "kit.yaml", write_yaml(names).encode())


def _check_hosts(hosts: Sequence[str]) -> None:
    try:
        for host in hosts:
            check_host(host)
    except CertificateError as error:
        raise BadKit(f"--also: {error}; give a name or an address without a port") from None


def _issued(out: Path) -> list[Issued]:
    path = out / AUTHORITY / "issued.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        issued = [Issued(**row) for row in rows]
        for one in issued:
            int(one.serial, 16), date.fromisoformat(one.until)
    except (OSError, TypeError, ValueError) as error:
        raise BadKit(f"{path} is not the record of certificates that `parley provision` wrote: {error}") from None
    return issued


def _record(out: Path, issued: Sequence[Issued]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Issued)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in issued)
    write_private(out / AUTHORITY / "issued.csv", text.getvalue().encode())


def _good(out: Path) -> list[Issued]:
    return [issued for issued in _unrevoked(out) if not _ended(issued)]


def _unrevoked(out: Path) -> list[Issued]:
    revoked = _revocations(out)
    return [issued for issued in _issued(out) if int(issued.serial, 16) not in revoked]


def _ended(issued: Issued) -> bool:
    """Say whether a certificate has run out, or will do so today."""
    return date.fromisoformat(issued.until) <= datetime.now(UTC).date()


def _expired(out: Path) -> dict[str, str]:
    """Return the parties whose certificates have run out, with their roles."""
    last = {issued.name: issued for issued in _unrevoked(out)}
    return {name: issued.role for name, issued in last.items() if _ended(issued)}


def _revocations(out: Path) -> Revocations:
    return Revocations(out / AUTHORITY / REVOKED)


def _publish_revocations(out: Path) -> None:
    """Update everybody's folder, unless it has been moved away."""
    mine = (out / AUTHORITY / REVOKED).read_bytes()
    for name in {issued.name for issued in _issued(out)}:
        theirs = out / name / REVOKED
        if theirs.parent.is_dir() and not (theirs.exists() and theirs.read_bytes() == mine):
            write_private(theirs, mine)
