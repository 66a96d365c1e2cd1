"""The messages of crowdsourcing representations (PRIC, section 1 and Fig. 1), in order.

Parties only reply, so each exchange is a question by the collector and an answer:

====  ============  ====================  =================
step  asked         the collector says    they answer
====  ============  ====================  =================
1     everyone      `Hello`               `Introduction`
2     participants  `SignedPublication`   `Contribution`
3     participants  `SignedTaskCall`      `TaskLabels`
====  ============  ====================  =================

Where participants train the extractor, they answer a `SignedTrainingPlan` with an `Acknowledgement` before step 2, and
some of them take part in sums (`protocol.messages.secure_sum`, with `GradientRequest`), as often as there are rounds.

Pictures are never sent, nor labels of what the extractor is to hide.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Len
from numpy.typing import NDArray
from pydantic import model_validator

from protocol.messages.base import ArrayOf, Digest, Name, ProtocolMessage, Signature
from protocol.messages.secure_sum import AddCall

MAX_WEIGHTS = 100_000_000
MAX_REPRESENTATIONS = 250_000_000
"""Bytes, of one extractor and of one album's representations."""

Names = Annotated[tuple[Name, ...], Len(0, 100)]
Codes = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None, None, None), MAX_REPRESENTATIONS, least=0)]
Values = Annotated[NDArray[np.float32], ArrayOf("float32", (None, None, None, None), MAX_REPRESENTATIONS, least=0)]
Highest = Annotated[NDArray[np.float32], ArrayOf("float32", (None,), MAX_REPRESENTATIONS, least=0)]
Labels = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None), MAX_REPRESENTATIONS, least=0)]


class TrainingPlan(ProtocolMessage):
    """Before step 2: how participants train the extractor together.

    `number` rises with every training of this collector. The first `warm_up` rounds are warm-up. All else is of
    `strategies.pric.training.Recipe`. The rounds are sums of the training that is called by the plan's digest, in
    hexadecimal.
    """

    number: Annotated[int, Ge(1)]
    architecture: Name
    side: Annotated[int, Ge(16), Le(512)]
    hides: Names
    warm_up: Annotated[int, Ge(0)]
    weight: Annotated[float, Gt(0), Le(1e4)]
    bound: Name
    conditional: bool
    ascent: Literal["entropy", "flipped", "uniform"]


class SignedTrainingPlan(ProtocolMessage):
    """A plan under the collector's signature."""

    plan: TrainingPlan
    signature: Signature


class GradientRequest(AddCall):
    """Compute the gradients of these networks on your pictures and send them, for the training of this plan."""

    signed: SignedTrainingPlan


class Publication(ProtocolMessage):
    """Step 2: an extractor, for everyone to run on their own pictures.

    `number` rises with every extractor of this collector. Pictures are cut and scaled to `side` pixels. `hides` names
    the attributes that representations are said not to show. `weights` are in safetensors' format.
    """

    number: Annotated[int, Ge(1)]
    architecture: Name
    side: Annotated[int, Ge(16), Le(512)]
    hides: Names
    weights: Annotated[bytes, Len(1, MAX_WEIGHTS)]
    quantised: bool


class SignedPublication(ProtocolMessage):
    """A publication under the collector's signature."""

    publication: Publication
    signature: Signature


class Contribution(ProtocolMessage):
    """Step 2: the representations of an album, as numbers or as codes with what the highest code of each stands for.

    `publication` is the digest of the extractor's publication. `unreadable` counts pictures that could not be opened.
    """

    publication: Digest
    values: Values | None = None
    codes: Codes | None = None
    highest: Highest | None = None
    unreadable: Annotated[int, Ge(0)]

    @model_validator(mode="after")
    def _one_form(self) -> "Contribution":
        if (self.values is None) == (self.codes is None) or (self.codes is None) != (self.highest is None):
            raise ValueError("representations are sent as values, or as codes with the highest of each")
        if self.codes is not None and self.highest is not None and len(self.codes) != len(self.highest):
            raise ValueError(f"{len(self.codes)} codes but {len(self.highest)} highest values")
        numbers = self.highest if self.values is None else self.values
        if numbers is not None and not (np.isfinite(numbers).all() and (numbers >= 0).all()):
            raise ValueError("representations are finite and not negative")
        return self

    def __len__(self) -> int:
        """Return how many pictures it is of."""
        sent = self.codes if self.values is None else self.values
        return 0 if sent is None else len(sent)


class TaskCall(ProtocolMessage):
    """Step 3: tasks that the collector has chosen since, as attributes to label."""

    publication: Digest
    tasks: Annotated[tuple[Name, ...], Len(1, 100)]


class SignedTaskCall(ProtocolMessage):
    """A task call under the collector's signature."""

    call: TaskCall
    signature: Signature


class TaskLabels(ProtocolMessage):
    """Step 3: a row per picture sent and a column per task, each 0 or 1."""

    publication: Digest
    labels: Labels

    @model_validator(mode="after")
    def _binary(self) -> "TaskLabels":
        if (self.labels > 1).any():
            raise ValueError("labels are 0 or 1")
        return self
