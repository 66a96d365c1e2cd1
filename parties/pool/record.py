"""The cloud's record of a pool."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parties.workflow import Record
from protocol.messages.pool import Poisoned, Refined


@dataclass(frozen=True, eq=False)
class Pooled:
    """One accepted part of an entity's features.

    Attributes:
        entity: Node id.
        blob: The features' SHA-256, under which they are in the vault: little-endian float32, row by row.
        labels: (n,)
    """

    entity: int
    blob: str
    count: int
    labels: NDArray[np.int64]


@dataclass
class PoolRecord(Record):
    """What happened in a pool, as the cloud saw it.

    Attributes:
        samples: Images by the entities' node ids, in the order of enrolment.
        publisher: Who pre-trained.
        fingerprint: Of the published featurizer.
        poisoned: What entities reported of their modules.
        parts: What is in the pool.
        refused: Refused contributions: the entity, and why.
        refined: What entities reported after each round.
    """

    samples: dict[int, int] = field(default_factory=dict)
    publisher: int | None = None
    fingerprint: bytes = b""
    poisoned: dict[int, Poisoned] = field(default_factory=dict)
    parts: list[Pooled] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    refined: list[dict[int, Refined]] = field(default_factory=list)
