"""Participants that spoil a collector's training data."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parties.adversaries.adversary import adversary
from parties.crowdsource.participant import Participant
from protocol.messages.crowdsource import Contribution, Publication


@adversary(
    "mislabelled",
    knowledge="nothing beyond its role",
    profit="none; tasks that are trained on its labels get worse",
)
class Mislabeller(Participant):
    """Inverts all of its labels."""

    def said(self, labels: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Invert all labels."""
        return super().said(~labels)


@adversary(
    "garbage-representations",
    knowledge="nothing beyond its role",
    profit="none; it participates without showing anything of its pictures",
)
class Garbler(Participant):
    """Sends noise in place of representations, as large as those of its pictures."""

    def send(self, name: bytes, publication: Publication, representations: Tensor, unreadable: int) -> Contribution:
        """Send noise of the same mean."""
        noise = self.generator("garbage", name).random(representations.shape, dtype=np.float32)
        scale = 2 * float(representations.mean()) if len(representations) else 1.0
        return super().send(name, publication, torch.from_numpy(noise * np.float32(scale)), unreadable)
