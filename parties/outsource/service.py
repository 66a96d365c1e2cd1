"""The training service: it sees obfuscated images and labels, never an original image."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.compute.workshop import Workshop
from protocol.crypto.signing import derive


@dataclass(frozen=True)
class TrainingService:
    """The service's workshop and settings.

    Attributes:
        secret: 32 bytes; initial weights, order and mirroring derive from it.
        workshop: Where it trains: here, or in a Ray worker with a GPU.
        patience: Seconds that an owner has to answer; slower ones are dropped.
        clock: Unix time.
    """

    secret: bytes = field(repr=False)
    workshop: Workshop
    patience: float = 3600.0
    clock: Callable[[], float] = time.time

    @property
    def seed(self) -> int:
        """The seed of training."""
        return int.from_bytes(derive(self.secret, "training", length=8)) >> 1
