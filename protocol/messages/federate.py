"""The words of federated learning, beside Flower's own `train` and those of sums (`protocol.messages.secure_sum`)."""

from typing import Annotated

from annotated_types import MaxLen

from protocol.messages.base import ProtocolMessage
from protocol.messages.secure_sum import AddCall, Name


class Setting(ProtocolMessage):
    """A number of the training, by its name."""

    name: Name
    value: float


class TrainCall(AddCall):
    """Train from this model and send the update; here is how."""

    settings: Annotated[tuple[Setting, ...], MaxLen(50)]
