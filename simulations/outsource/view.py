"""What the service has received from one owner, and what is public beside it: all that an attacker knows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protocol.messages.base import ProtocolMessage
from protocol.messages.outsource import Enrolment, Part
from simulations.outsource.tradeoff import to_tensor
from strategies.obfuscation import Obfuscation


@dataclass(frozen=True)
class ServiceView:
    """What one owner sent.

    Attributes
    ----------
    epochs : list of (m, 3, side, side) uint8
        The mixtures of each epoch.
    labels : list of (m,) int64
        The published classes; of shares, the largest one.
    """

    epochs: list[Tensor]
    labels: list[Tensor]


@dataclass(frozen=True)
class PublicKnowledge:
    """What an attacker has beside the view.

    Attributes
    ----------
    setting : Obfuscation
        The technique and its setting, which are no secret.
    intra_class, repeat : bool
        How images are grouped.
    images : (n, 3, side, side) uint8
        Public images like the owner's.
    classes, tasks : (n,) int64
        What they show, in full and as the task has it.
    task_of : (classes,) int64
        The task label that follows from each class.
    known : (p,) int64
        Positions of mixtures in the last epoch of which an original has leaked.
    originals : (p, 3, side, side) uint8
        For each of them the image that contributes most.
    seed : int
        What the attacker draws from.
    """

    setting: Obfuscation
    intra_class: bool
    repeat: bool
    images: Tensor
    classes: Tensor
    tasks: Tensor
    task_of: Tensor
    known: Tensor
    originals: Tensor
    seed: int


def service_view(received: Sequence[tuple[int, ProtocolMessage]]) -> ServiceView:
    """Put together what an owner sent.

    Parameters
    ----------
    received : sequence of (node id, message)
        Every `Enrolment` and `Part` of this owner, in the order in which they came.
    """
    mine = [message for _, message in received]
    mixtures = next(message.mixtures for message in mine if isinstance(message, Enrolment))
    parts = [message for message in mine if isinstance(message, Part)]
    pictures = to_tensor(np.concatenate([part.pictures for part in parts]))
    labels = torch.from_numpy(
        np.concatenate([part.targets if part.targets.ndim == 1 else part.targets.argmax(1) for part in parts])
    )
    return ServiceView(list(torch.split(pictures, mixtures)), list(torch.split(labels, mixtures)))
