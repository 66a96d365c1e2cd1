"""Where the cloud is reached."""

from dataclasses import dataclass

PORT = 7443


@dataclass(frozen=True)
class Address:
    """Where the cloud is reached.

    Examples
    --------
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
