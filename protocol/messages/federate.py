"""The messages of federated learning, beside Flower's `train` and those of sums (`protocol.messages.secure_sum`)."""

from typing import Annotated

from annotated_types import MaxLen

from protocol.messages.base import ProtocolMessage
from protocol.messages.secure_sum import AddCall, Name


class Setting(ProtocolMessage):
    """A number of the training, by its name."""

    name: Name
    value: float


class TrainCall(AddCall):
    """Train from this model, with these settings, and send the update."""

    settings: Annotated[tuple[Setting, ...], MaxLen(50)]
