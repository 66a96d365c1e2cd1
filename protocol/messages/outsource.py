r"""The messages of outsourced training (Raynal et al. 2020, section 5.1), in order.

Parties only reply, so the service asks for what an owner sends:

========  ==================  ==================
asked     the service says    the owner answers
========  ==================  ==================
everyone  `Hello`             `Introduction`
enrol     `Enquiry`           `Enrolment`
publish   `NextPart`          `Part`
receive   `TrainedModel`      `Acknowledgement`
========  ==================  ==================

Never sent: which images are in a mixture, their weights, and any original image.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Len, MaxLen
from numpy.typing import NDArray
from pydantic import model_validator

from protocol.messages.base import ArrayOf, ProtocolMessage

PART_BYTES = 16_000_000
"""Most bytes of the pictures of a part; a single picture may be larger."""
MAX_MODEL_BYTES = 200_000_000

_MAX_PICTURES = 4096 * 4096 * 3
Count = Annotated[int, Gt(0), Le(10**9)]
Number = Annotated[int, Ge(0), Le(10**9)]
Name = Annotated[str, MaxLen(200)]


class Enquiry(ProtocolMessage):
    """The service asks what to train, and on how much."""


class Enrolment(ProtocolMessage):
    """What an owner wants trained, and how it will send its images.

    Attributes:
        classes: What labels stand for.
        side: Width and height of every picture.
        epochs, batch: How often the set is published afresh, and pictures per step of training.
        mixtures, part: Pictures in an epoch, and in each of its parts; the last part has the rest.
    """

    classes: Annotated[tuple[Name, ...], Len(2, 10_000)]
    side: Annotated[int, Ge(8), Le(4096)]
    architecture: Name
    epochs: Annotated[int, Gt(0), Le(10_000)]
    batch: Annotated[int, Gt(0), Le(100_000)]
    mixtures: Count
    part: Count

    @property
    def parts(self) -> int:
        """How many parts an epoch has."""
        return -(-self.mixtures // self.part)

    def pictures_in(self, number: int) -> int:
        """Return how many pictures a part has."""
        return min(self.part, self.mixtures - number * self.part)

    @model_validator(mode="after")
    def _parts_are_bounded(self) -> "Enrolment":
        if self.part > 1 and self.part * self.side**2 * 3 > PART_BYTES:
            raise ValueError(f"parts of {self.part} pictures take more than {PART_BYTES} bytes")
        return self


class NextPart(ProtocolMessage):
    """The service asks for one part of one epoch, both numbered from 0; asked again, the part is the same."""

    epoch: Number
    number: Number


class Part(ProtocolMessage):
    """Obfuscated pictures and what is published of their labels.

    Attributes:
        pictures: (n, side, side, 3)
        labels: (n,), the class of the image that contributes most.
        shares: (n, classes), in place of labels: every class's share, for mixup and InstaHide.
    """

    pictures: Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None, None, 3), max(PART_BYTES, _MAX_PICTURES))]
    labels: Annotated[NDArray[np.int64], ArrayOf("int64", (None,), PART_BYTES)] | None = None
    shares: Annotated[NDArray[np.float32], ArrayOf("float32", (None, None), PART_BYTES)] | None = None

    @model_validator(mode="after")
    def _labelled_once(self) -> "Part":
        if (self.labels is None) == (self.shares is None):
            raise ValueError("pictures come with labels or with shares, one of them")
        if len(self.targets) != len(self.pictures):
            raise ValueError(f"{len(self.pictures)} pictures come with {len(self.targets)} labels")
        if self.shares is not None and not ((self.shares >= 0) & (self.shares <= 1)).all():
            raise ValueError("shares lie between 0 and 1")
        return self

    @property
    def targets(self) -> NDArray[np.int64] | NDArray[np.float32]:
        """Labels or shares."""
        targets = self.labels if self.shares is None else self.shares
        assert targets is not None
        return targets


class TrainedModel(ProtocolMessage):
    """The trained network, as a safetensors file."""

    architecture: Name
    weights: Annotated[bytes, Len(1, MAX_MODEL_BYTES)]
