"""Checks whether a machine is ready to be its party: what was found, and how to fix it."""

import errno
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from uuid import uuid4

from packaging.requirements import Requirement

from deploy.findings import Finding, Severity, failed, ok, warning
from deploy.kit import CA, CERTIFICATE, KEY, NEW_KIT, REVOKED, Address, CloudFile, Kit, again, read_kit
from deploy.ledger_checks import check_ledger
from deploy.party import ask_cloud
from parties.policy.settings import FILE as POLICY
from parties.policy.settings import WORKFLOWS, policy_of_role
from protocol.crypto.certificates import (
    ROLES,
    CertificateError,
    NotYetValid,
    Revocations,
    good_from_until,
    hosts_of,
    names_host,
    peer_identity,
)
from protocol.errors import BadInput, BadKit, Unreachable
from protocol.grids.grpc.proxy import Proxy, dial, proxy_for, unusable_proxies
from protocol.messages import service

SOON = timedelta(days=30)
"""Certificates that expire within this time get a warning."""
SPARE = 1 << 30
"""Bytes that should be free in the state folder."""
MOST_SKEW = 10.0
"""Seconds that clocks may differ, the round trip to the cloud included."""
PATIENCE = 5.0
"""Seconds that a connection may take."""


def check_machine(folder: Path, state: Path | None = None, cloud: Address | None = None) -> list[Finding]:
    """Check everything a party needs: versions, its kit, its state folder, and its connection to the cloud.

    Args:
        folder: The party's start-up folder.
        state: Where it keeps its state, if elsewhere.
        cloud: Where it reaches the cloud, if not as its file says.
    """
    findings = [_versions()]
    try:
        kit = read_kit(folder, ROLES, state, cloud)
    except BadKit as error:
        seen, _, fix = str(error).partition("; ")
        subject = "clock" if isinstance(error.__context__, NotYetValid) else "kit"
        return [*findings, failed(subject, seen, fix or "copy the folder from where `parley provision` was run")]
    findings += [ok("kit", f"{kit.party.role} {kit.party.name} of the cloud at {kit.party.address}")]
    findings += [_expiry(kit), _permissions(kit), _state(kit), *_policy(kit)]
    findings += _cloud(kit, kit.party) if isinstance(kit.party, CloudFile) else _connection(kit)
    return findings


def _versions() -> Finding:
    """Compare the installed packages with Parley's requirements."""
    wrong = []
    try:
        needed = [Requirement(line) for line in requires("parley") or []]
    except PackageNotFoundError:
        return failed("versions", "Parley is not installed here", "install it: pip install .")
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
        return failed("versions", "; ".join(wrong), "install Parley again: pip install .")
    python = ".".join(str(part) for part in sys.version_info[:3])
    return ok("versions", f"Parley {version('parley')}, Python {python}, {len(needed)} packages in the right versions")


def _expiry(kit: Kit) -> Finding:
    last, end = good_from_until(kit.credentials.certificate)[1], good_from_until(kit.ca)[1]
    left = min(last, end) - datetime.now(UTC)
    if left < SOON and end <= last:
        return warning("certificate", f"its authority expires in {left.days} days, on {end:%Y-%m-%d}", NEW_KIT)
    if left < SOON:
        return warning("certificate", f"it expires in {left.days} days, on {last:%Y-%m-%d}", again(kit.party.name))
    return ok("certificate", f"valid until {last:%Y-%m-%d}")


def _permissions(kit: Kit) -> Finding:
    """Only the owner and the group may read the key; containers mount secrets for a group."""
    path = kit.folder / KEY
    if path.stat().st_mode & 0o007:
        return failed("key", f"every user of this machine can read {path}", f"chmod 600 {path}")
    return ok("key", "not readable by other users")


def _state(kit: Kit) -> Finding:
    above = next(folder for folder in (kit.state, *kit.state.absolute().parents) if folder.exists())
    trial = above / f".parley-{uuid4().hex}"
    try:
        try:
            trial.write_bytes(b"parley")
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        fix = f"let this user (id {os.getuid()}) write there, or name another folder with --state"
        return failed("state", f"{above} cannot be written to: {error.strerror}", fix)
    free = shutil.disk_usage(above).free
    if free < SPARE:
        return warning(
            "state", f"{free >> 20} MB are free for {kit.state}", "make room, or name another folder: --state"
        )
    return ok("state", f"{kit.state}, {free >> 30} GB free")


def _policy(kit: Kit) -> Iterator[Finding]:
    if policy_of_role(kit.party.role) is None:
        return
    try:
        policy = kit.policy()
    except BadKit as error:
        yield failed("policy", str(error), "correct it, or delete it: without it the policy is as strict as can be")
        return
    if not (kit.folder / POLICY).exists():
        yield warning("policy", f"there is no {POLICY}, so it is as strict as can be", "`parley privacy` shows it")
    elif WORKFLOWS[kit.party.role] not in policy.workflows:
        workflow = WORKFLOWS[kit.party.role]
        yield failed(
            "policy", f"a {kit.party.role} that takes no part in {workflow} does nothing", "name it in workflows"
        )
    else:
        yield ok("policy", f"takes part in {', '.join(policy.workflows)}")


def _cloud(kit: Kit, party: CloudFile) -> Iterator[Finding]:
    yield _hosts(kit, party.address)
    yield _port(kit, Address.parse(party.listen))
    yield _revocations(kit)
    yield from check_ledger(kit, os.environ.get("PARLEY_LEDGER"))
    from parties.featurizers import load_featurizer

    try:
        load_featurizer(party.terms.featurizer, party.terms.weights, party.terms.calibration)
        yield ok("featurizer", party.terms.featurizer)
    except BadInput as error:
        yield failed("featurizer", str(error), "correct terms.featurizer, weights or calibration in party.yaml")


def _hosts(kit: Kit, address: Address) -> Finding:
    hosts = hosts_of(kit.credentials.certificate)
    if not names_host(kit.credentials.certificate, address.host):
        fix = f"add the name: `parley provision --cloud ... --also {address.host}`, or correct `cloud` in party.yaml"
        return failed("hosts", f"the certificate is for {', '.join(hosts)}, and parties dial {address.host}", fix)
    return ok("hosts", ", ".join(hosts))


def _port(kit: Kit, listen: Address) -> Finding:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((listen.host, listen.port))
            trial.listen()
            return ok("port", f"{listen} is free")
        except OSError as error:
            if error.errno == errno.EADDRINUSE and _is_this_cloud(kit, listen):
                return ok("port", f"this cloud is running on {listen}")
            if error.errno == errno.EADDRINUSE:
                fix = "stop the other program, or change `listen` in party.yaml"
                return failed("port", f"another program has {listen}", fix)
            why = error.strerror or str(error)
            return failed("port", f"nothing can listen on {listen}: {why}", "change `listen` in party.yaml")
        except OverflowError as error:
            return failed("port", str(error), "change `listen` in party.yaml")


def _is_this_cloud(kit: Kit, listen: Address) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
    context = ssl.create_default_context(cadata=kit.ca.decode())
    context.check_hostname = False
    with suppress(OSError):
        return _shake_hands(context, Address(host, listen.port), None) == kit.identity.serial
    return False


def _revocations(kit: Kit) -> Finding:
    try:
        serials = Revocations(kit.folder / REVOKED).serials()
    except CertificateError as error:
        return failed("revoked", str(error), f"copy {REVOKED} from the authority's folder")
    if kit.identity.serial in serials:
        return failed("revoked", "this kit's own certificate", f"`parley provision add {kit.party.name}` makes one")
    return ok("revoked", f"{len(serials)} certificates")


def _connection(kit: Kit) -> Iterator[Finding]:
    """Check the way to the cloud, the port, and TLS in both directions, up to the first failure."""
    address = kit.party.address
    if unusable := unusable_proxies():
        names = "names" if len(unusable) == 1 else "name"
        seen = f"{' and '.join(unusable)} {names} no http:// proxy, and parties use no other"
        yield warning("proxy", seen, "write http://HOST:PORT, or name the cloud in no_proxy if none is needed")
    proxy = proxy_for(address.host)
    yield (way := _name(address) if proxy is None else ok("proxy", f"{proxy}, as {proxy.variable} says"))
    if way.severity == Severity.FAILED:
        return
    context = ssl.create_default_context(cadata=kit.ca.decode())
    context.load_cert_chain(kit.folder / CERTIFICATE, kit.folder / KEY)
    try:
        _shake_hands(context, address, address.host)
    except ssl.SSLCertVerificationError as error:
        yield _distrust(error)
    except ssl.SSLError as error:
        why = f"it does not accept this party's certificate: {error.reason}"
        yield failed("cloud", why, f"compare {CA} on both machines, and their clocks")
    except OSError as error:
        yield _unreachable(address, proxy, error)
    else:
        yield from _cloud_health(kit)


def _name(address: Address) -> Finding:
    try:
        socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = "correct `cloud` in party.yaml, or DNS; or name a proxy that knows it in https_proxy"
        return failed("name", f"{address.host} has no address: {error.strerror}", fix)
    return ok("name", address.host)


def _unreachable(address: Address, proxy: Proxy | None, error: OSError) -> Finding:
    why = error.strerror or str(error)
    if proxy is not None:
        fix = f"have it open tunnels to {address}, or name the cloud in no_proxy if it is reached without"
        return failed("cloud", f"{address} cannot be reached through the proxy {proxy}: {why}", fix)
    if isinstance(error, TimeoutError):
        return failed("cloud", f"{address} does not answer", f"open port {address.port} in the cloud's firewall")
    fix = "start it there with `parley cloud`, or correct `cloud` in party.yaml"
    return failed("cloud", f"{address} cannot be reached: {why}", fix)


def _cloud_health(kit: Kit) -> Iterator[Finding]:
    """Ask the cloud for its health: it may refuse this party, and its clock and release may differ."""
    try:
        health = ask_cloud(kit, service.HEALTH, service.AskHealth(), service.Health)
    except Unreachable as error:
        fix = f"ask its operator; a party that was revoked needs `parley provision add {kit.party.name}`"
        yield failed("cloud", str(error), fix)
        return
    yield ok("cloud", f"{kit.party.address} is up, and accepts this party")
    skew = time.time() - health.time
    if abs(skew) > MOST_SKEW:
        seen = f"this machine's is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the cloud's"
        yield warning("clock", seen, "set both clocks by NTP: deadlines and certificates depend on them")
    else:
        yield ok("clock", "as the cloud's")
    if health.release != version("parley"):
        yield warning("release", f"the cloud runs Parley {health.release}", "install the same release on both")


def _distrust(error: ssl.SSLCertVerificationError) -> Finding:
    seen = f"its certificate is not valid here: {error.verify_message}"
    clock = f"compare this machine's clock ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC) with the cloud's"
    name = "dial the name that the cloud's certificate is for (`parley doctor` there shows them) with --cloud"
    fixes: dict[int, str] = {
        9: f"set this machine's clock by NTP if it is behind: it says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        10: f"{clock}; or make the cloud a new certificate: {again('cloud')}",
        62: f"{name}, or add this one where the kit was made: `parley provision --also`",
        64: f"{name}, or add this one where the kit was made: `parley provision --also`",
    }
    return failed("cloud", seen, fixes.get(error.verify_code, f"compare {CA} on both machines"))


def _shake_hands(context: ssl.SSLContext, address: Address, name: str | None) -> int:
    """Open TLS as gRPC does, wait for the first bytes, and return the serial number of the peer's certificate."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with (
        closing(dial(address.host, address.port, PATIENCE)) as plain,
        closing(context.wrap_socket(plain, server_hostname=name or address.host)) as stream,
    ):
        shown = ssl.DER_cert_to_PEM_cert(stream.getpeercert(binary_form=True) or b"").encode()
        if name is not None and not stream.recv(1):
            raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
        return peer_identity(shown).serial
