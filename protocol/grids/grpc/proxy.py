"""HTTP proxies, as the environment names them; this machine itself is never reached through one."""

import ipaddress
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from socket import create_connection, socket
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

_KINDS = ("grpc", "https", "http")
"""Of the variables that are set, the first of these counts, as for gRPC: ``grpc_proxy`` and so on."""
_PORT = 80


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that opens tunnels (CONNECT), with what it wants to know of its user.

    Attributes:
        variable: The environment variable that names it.
    """

    variable: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its URL, with the password."""
        user = "" if self.user is None else f"{self.user}@"
        return f"http://{user}{self}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is this machine's own.

    Examples:
        >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("cloud.example.org")
        (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def proxy_for(host: str) -> Proxy | None:
    """Return the proxy that leads to a host, None if it is dialled directly.

    It is the first ``http://`` URL of the variables ``grpc_proxy``, ``https_proxy`` and ``http_proxy``, in small
    letters or capitals; hosts of ``no_proxy`` are dialled directly.
    """
    named = getproxies_environment()
    if is_loopback(host) or proxy_bypass(host) or _in_a_network(host, named.get("no", "")):
        return None
    proxies = (_parse(f"{kind}_proxy", named[kind]) for kind in _KINDS if kind in named)
    return next((proxy for proxy in proxies if proxy is not None), None)


def unusable_proxies() -> list[str]:
    """Return the variables that name no proxy that parties can use: one of another kind, such as SOCKS, or no URL."""
    named = getproxies_environment()
    return [f"{kind}_proxy" for kind in _KINDS if kind in named and _parse(f"{kind}_proxy", named[kind]) is None]


def dial(host: str, port: int, timeout: float) -> socket:
    """Open a connection as parties do: directly, or through a proxy.

    Raises:
        OSError: When there is none; a proxy's refusal included.
    """
    proxy = proxy_for(host)
    if proxy is None:
        return create_connection((host, port), timeout)
    tunnel = HTTPConnection(proxy.host, proxy.port, timeout=timeout)
    user = None if proxy.user is None else b64encode(unquote(proxy.user).encode()).decode()
    tunnel.set_tunnel(host, port, {} if user is None else {"Proxy-Authorization": f"Basic {user}"})
    try:
        tunnel.connect()
    except HTTPException as error:
        tunnel.close()
        raise OSError(f"it does not speak HTTP: {error}") from None
    return tunnel.sock


def _parse(variable: str, text: str) -> Proxy | None:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, port = url.hostname, url.port or _PORT
    except ValueError:  # an address or a port that is none
        return None
    return Proxy(variable, host, port, url.netloc.rpartition("@")[0] or None) if url.scheme == "http" and host else None


def _in_a_network(host: str, hosts: str) -> bool:
    """Tell whether an address is in one of the networks, such as ``10.0.0.0/8``, among some hosts."""
    for network in hosts.split(","):
        with suppress(ValueError):
            if "/" in network and ipaddress.ip_address(host) in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return False
