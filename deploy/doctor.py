"""Whether a machine is ready to be its party: what was looked at, what was seen, and what mends it."""

import errno
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from uuid import uuid4

from packaging.requirements import Requirement
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from deploy.kit import CA, CERTIFICATE, KEY, REVOKED, Address, CloudFile, Kit, read_kit
from deploy.party import ask_cloud
from protocol.crypto.certificates import ROLES, CertificateError, Revocations, good_from_until, hosts_of, peer_identity
from protocol.errors import BadInput, BadKit, Unreachable
from protocol.messages import service

SOON = timedelta(days=30)
"""An expiry that is nearer than this is worth a word."""
SPARE = 1 << 30
"""Bytes that should be free where state is kept."""
MOST_SKEW = 10.0
"""Seconds that clocks may differ, the way to the cloud and back included."""
PATIENCE = 5.0
"""Seconds that a connection may take."""


class Verdict(StrEnum):
    """How bad it is."""

    FINE = "fine"
    SOON = "soon"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        verdict: BROKEN keeps the party from working; SOON will, or may.
        mend: What to do about it; empty where all is fine.
    """

    subject: str
    verdict: Verdict
    seen: str
    mend: str = ""


def check_machine(folder: Path, state: Path | None = None) -> list[Finding]:
    """Look at everything a party needs: versions, its kit, its state folder, and its way to the cloud.

    Args:
        folder: The party's start-up folder.
        state: Where it keeps its state, if not there.
    """
    findings = [_versions()]
    try:
        kit = read_kit(folder, ROLES, state)
    except BadKit as error:
        return [*findings, _broken("kit", str(error), "bring the folder from where `parley provision` was run")]
    findings += [_fine("kit", f"{kit.party.role} {kit.party.name} of the cloud at {kit.party.address}")]
    findings += [_expiry(kit), _permissions(kit), _state(kit)]
    findings += _cloud(kit, kit.party) if isinstance(kit.party, CloudFile) else _way_to_the_cloud(kit)
    return findings


def _fine(subject: str, seen: str) -> Finding:
    return Finding(subject, Verdict.FINE, seen)


def _soon(subject: str, seen: str, mend: str) -> Finding:
    return Finding(subject, Verdict.SOON, seen, mend)


def _broken(subject: str, seen: str, mend: str) -> Finding:
    return Finding(subject, Verdict.BROKEN, seen, mend)


def _versions() -> Finding:
    """Compare what is installed with what Parley was made for."""
    wrong = []
    try:
        needed = [Requirement(line) for line in requires("parley") or []]
    except PackageNotFoundError:
        return _broken("versions", "Parley is not installed here", "install it: pip install .")
    for need in needed:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, not {need.specifier}")
    if wrong:
        return _broken("versions", "; ".join(wrong), "install Parley again: pip install .")
    python = ".".join(str(part) for part in sys.version_info[:3])
    return _fine("versions", f"Parley {version('parley')}, Python {python}, {len(needed)} packages as they should be")


def _expiry(kit: Kit) -> Finding:
    last = good_from_until(kit.credentials.certificate)[1]
    left = last - datetime.now(UTC)
    if left < SOON:
        again = f"`parley provision revoke {kit.party.name}`, then `add {kit.party.name}`, and bring its folder here"
        return _soon("certificate", f"it expires in {left.days} days, on {last:%Y-%m-%d}", again)
    return _fine("certificate", f"valid until {last:%Y-%m-%d}")


def _permissions(kit: Kit) -> Finding:
    """Nobody else may read the key; a group may, as where a container's secrets are mounted."""
    path = kit.folder / KEY
    if path.stat().st_mode & 0o007:
        return _broken("key", f"every user of this machine can read {path}", f"chmod 600 {path}")
    return _fine("key", "for its owner only")


def _state(kit: Kit) -> Finding:
    above = next(folder for folder in (kit.state, *kit.state.absolute().parents) if folder.exists())
    trial = above / f".parley-{uuid4().hex}"
    try:
        trial.write_bytes(b"parley")
        trial.unlink()
    except OSError as error:
        mend = f"let this user (id {os.getuid()}) write there, or name another folder with --state"
        return _broken("state", f"{above} cannot be written to: {error.strerror}", mend)
    free = shutil.disk_usage(above).free
    if free < SPARE:
        return _soon("state", f"{free >> 20} MB are free for {kit.state}", "make room, or name another folder: --state")
    return _fine("state", f"{kit.state}, {free >> 30} GB free")


def _cloud(kit: Kit, party: CloudFile) -> Iterator[Finding]:
    yield _hosts(kit, party.address)
    yield _port(kit, Address.parse(party.listen))
    yield _revocations(kit)
    yield _ledger(party)
    from parties.featurizers import load_featurizer

    try:
        load_featurizer(party.terms.featurizer, party.terms.weights, party.terms.calibration)
        yield _fine("featurizer", party.terms.featurizer)
    except BadInput as error:
        yield _broken("featurizer", str(error), "mend terms.featurizer, weights or calibration in party.yaml")


def _hosts(kit: Kit, address: Address) -> Finding:
    hosts = hosts_of(kit.credentials.certificate)
    if address.host.lower() not in hosts:
        mend = f"make a kit for it: `parley provision --cloud {address.host} --out NEW`, or mend `cloud` in party.yaml"
        return _broken("hosts", f"the certificate is for {', '.join(hosts)}, and parties dial {address.host}", mend)
    return _fine("hosts", ", ".join(hosts))


def _port(kit: Kit, listen: Address) -> Finding:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((listen.host, listen.port))
            trial.listen()
            return _fine("port", f"{listen} is free")
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _is_mine(kit, listen):
                return _fine("port", f"this cloud is running on {listen}")
            if error.errno == errno.EADDRINUSE:
                mend = "stop the other program, or change `listen` in party.yaml"
                return _broken("port", f"another program has {listen}", mend)
            why = error.strerror or str(error)
            return _broken("port", f"nothing can listen on {listen}: {why}", "change `listen` in party.yaml")
        except OverflowError as error:
            return _broken("port", str(error), "change `listen` in party.yaml")


def _is_mine(kit: Kit, listen: Address) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
    context = ssl.create_default_context(cadata=kit.ca.decode())
    context.check_hostname = False
    with suppress(OSError):
        return _shake_hands(context, Address(host, listen.port), None) == kit.identity.serial
    return False


def _revocations(kit: Kit) -> Finding:
    try:
        count = len(Revocations(kit.folder / REVOKED).serials())
    except CertificateError as error:
        return _broken("revoked", str(error), f"copy {REVOKED} from the authority's folder")
    return _fine("revoked", f"{count} certificates")


def _ledger(party: CloudFile) -> Finding:
    url = os.environ.get("PARLEY_LEDGER") or party.ledger
    if url is None:
        return _fine("ledger", "SQLite in the state folder")
    shown = "the ledger's URL"
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        why = " ".join(str(error).split("\n")[0].split())
        return _broken("ledger", f"{shown} cannot be opened: {why}", "start the database, or mend `ledger`")
    return _fine("ledger", shown)


def _way_to_the_cloud(kit: Kit) -> Iterator[Finding]:
    """Go as far as one gets: the name, the port, and TLS both ways."""
    address = kit.party.address
    try:
        socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield _broken("name", f"{address.host} has no address: {error.strerror}", "mend `cloud` in party.yaml, or DNS")
        return
    yield _fine("name", address.host)
    context = ssl.create_default_context(cadata=kit.ca.decode())
    context.load_cert_chain(kit.folder / CERTIFICATE, kit.folder / KEY)
    try:
        _shake_hands(context, address, address.host)
    except ssl.SSLCertVerificationError as error:
        yield _distrust(error)
    except ssl.SSLError as error:
        why = f"it does not accept this party's certificate: {error.reason}"
        yield _broken("cloud", why, f"compare {CA} on both machines, and their clocks")
    except TimeoutError:
        mend = f"open port {address.port} in the cloud's firewall"
        yield _broken("cloud", f"{address} does not answer", mend)
    except OSError as error:
        mend = "start it there with `parley cloud`, or mend `cloud` in party.yaml"
        yield _broken("cloud", f"{address} cannot be reached: {error.strerror or error}", mend)
    else:
        yield from _word_with_the_cloud(kit)


def _word_with_the_cloud(kit: Kit) -> Iterator[Finding]:
    """Ask it how it is: it may not let this party in, and its clock and release may be others."""
    try:
        health = ask_cloud(kit, service.HEALTH, service.AskHealth(), service.Health)
    except Unreachable as error:
        mend = f"ask its operator; a party that was revoked needs `parley provision add {kit.party.name}`"
        yield _broken("cloud", str(error), mend)
        return
    yield _fine("cloud", f"{kit.party.address} is up, and accepts this party")
    skew = time.time() - health.time
    if abs(skew) > MOST_SKEW:
        seen = f"this machine's is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the cloud's"
        yield _soon("clock", seen, "keep both by NTP: deadlines and certificates go by it")
    else:
        yield _fine("clock", "as the cloud's")
    if health.release != version("parley"):
        yield _soon("release", f"the cloud runs Parley {health.release}", "install the same release on both")


def _distrust(error: ssl.SSLCertVerificationError) -> Finding:
    seen = f"its certificate is not good here: {error.verify_message}"
    clock = f"compare this machine's clock ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC) with the cloud's"
    mends: dict[int, str] = {
        9: clock,
        10: f"{clock}; or make the cloud a new certificate",
        62: "dial the name that the cloud's certificate is for (`parley doctor` there shows it)",
        64: "dial the name that the cloud's certificate is for (`parley doctor` there shows it)",
    }
    return _broken("cloud", seen, mends.get(error.verify_code, f"compare {CA} on both machines"))


def _shake_hands(context: ssl.SSLContext, address: Address, name: str | None) -> int:
    """Open TLS as gRPC does, wait for the first bytes, and return the serial number of who is there."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with (
        closing(socket.create_connection((address.host, address.port), PATIENCE)) as plain,
        closing(context.wrap_socket(plain, server_hostname=name or address.host)) as stream,
    ):
        shown = ssl.DER_cert_to_PEM_cert(stream.getpeercert(binary_form=True) or b"").encode()
        if name is not None and not stream.recv(1):
            raise ConnectionResetError(errno.ECONNRESET, "it hung up")
        return peer_identity(shown).serial
