r"""The messages of a publication: owners publish pictures to everybody, by way of the cloud.

====  ==========  ==================================  =============================
step  asked       the cloud says                      the party answers
====  ==========  ==================================  =============================
\     everyone    `Hello`                             `Introduction`
1     owners      `CallForPictures`                   `Publication`
2     readers     `Gallery`                           `Acknowledgement`
====  ==========  ==================================  =============================

The cloud need not be trusted with pictures: what leaves an owner is public.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen
from numpy.typing import NDArray
from pydantic import model_validator

from protocol.messages.base import ArrayOf, ProtocolMessage

Name = Annotated[str, MaxLen(100)]
MAX_BYTES = 200_000_000
Pictures = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None, None, 3), MAX_BYTES)]
Labels = Annotated[NDArray[np.int64], ArrayOf("int64", (None,), MAX_BYTES)]


class Setting(ProtocolMessage):
    """A number of a mechanism: its name and value; `whole` for integers."""

    name: Name
    value: float
    whole: bool


class CallForPictures(ProtocolMessage):
    """Publish pictures by this mechanism, at most `most` of yours.

    Attributes:
        method: What this publication is called.
        mechanism: A key of `strategies.dp_images.MECHANISMS`.
        most: Pictures of one owner.
        ask: How many times it was asked before.
    """

    method: Name
    mechanism: Name
    settings: Annotated[tuple[Setting, ...], MaxLen(10)]
    most: Annotated[int, Gt(0), Le(10_000)]
    ask: Annotated[int, Ge(0)] = 0


class _Labelled(ProtocolMessage):
    pictures: Pictures
    labels: Labels
    sealed: Annotated[tuple[Annotated[bytes, MaxLen(10_000_000)], ...], MaxLen(10_000)] = ()

    @model_validator(mode="after")
    def _each_has_its_label(self) -> "_Labelled":
        if len(self.pictures) != len(self.labels):
            raise ValueError(f"{len(self.pictures)} pictures come with {len(self.labels)} labels")
        if len(self.sealed) not in (0, len(self.pictures)):
            raise ValueError(f"{len(self.pictures)} pictures come with {len(self.sealed)} sealed parts")
        return self


class Publication(_Labelled):
    """An owner's answer: public pictures, their labels, and parts sealed for friends, if any."""


class Gallery(_Labelled):
    """All that was published by one method, in random order; `ask`: how many times it was published before."""

    method: Name
    ask: Annotated[int, Ge(0)]
