"""How many bytes have passed over the wire since the cloud began to listen."""

from dataclasses import dataclass


@dataclass
class Traffic:
    """Bytes of frames and blobs, without what TLS and gRPC add."""

    sent: int = 0
    received: int = 0
