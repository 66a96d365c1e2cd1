"""The collector: the cloud party, which publishes an extractor and trains tasks on the representations."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from parties.crowdsource.publication import publish
from protocol.crypto.signing import SigningKey
from protocol.encoding.canonical import canonical
from protocol.messages.crowdsource import Contribution, SignedPublication, SignedTaskCall, TaskCall
from strategies.pric.quantisation import Quantised, restored


@dataclass(frozen=True)
class Collector:
    """The collector's extractor and tasks.

    It sees representations, the labels of its tasks, and who sent them. It has trained the extractor on pictures of its
    own, so it can train attackers as well: protection does not rest on its goodwill.

    Attributes:
        secret: 32 bytes.
        extractor: Trained, in evaluation mode.
        architecture: A key of `strategies.pric.networks.EXTRACTORS`.
        side: Pixels that pictures are scaled to.
        hides: The attributes that it was trained to hide.
        tasks: What it trains on the representations, chosen after they have arrived.
        quantised: Whether representations are sent as bytes.
        number: Rises with every extractor it publishes.
        patience: Seconds that participants have for each answer.
        clock: Unix time.
    """

    secret: bytes = field(repr=False)
    extractor: nn.Module
    architecture: str
    side: int
    hides: tuple[str, ...]
    tasks: tuple[str, ...]
    quantised: bool = True
    number: int = 1
    patience: float = 3600.0
    clock: Callable[[], float] = time.time

    @property
    def identity(self) -> SigningKey:
        """The key that identifies it."""
        return SigningKey.derive(self.secret, "identity")

    def publication(self) -> SignedPublication:
        """Return the extractor, signed."""
        return publish(
            self.extractor,
            self.identity,
            number=self.number,
            architecture=self.architecture,
            side=self.side,
            hides=self.hides,
            quantised=self.quantised,
        )

    def call(self, publication: bytes) -> SignedTaskCall:
        """Return the tasks, signed."""
        call = TaskCall(publication=publication, tasks=self.tasks)
        return SignedTaskCall(call=call, signature=self.identity.sign("task call", canonical(call)))

    def representation_shape(self) -> tuple[int, ...]:
        """Return (channels, h, w) of one representation."""
        with torch.inference_mode():
            return tuple(self.extractor(torch.zeros(1, 3, self.side, self.side)).shape[1:])


def received(contributions: Sequence[Contribution]) -> Tensor:
    """Return the representations of several contributions, one after the other, (n, channels, h, w) float32."""
    return torch.cat([_values(each) for each in contributions])


def _values(contribution: Contribution) -> Tensor:
    if contribution.values is not None:
        return torch.from_numpy(np.array(contribution.values))
    assert contribution.codes is not None
    assert contribution.highest is not None
    return restored(Quantised(contribution.codes, contribution.highest))
