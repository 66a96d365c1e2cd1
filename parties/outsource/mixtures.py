"""An owner's obfuscated epochs: what it publishes, and what it keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parties.album import Album
from parties.party import Party
from protocol.messages.outsource import PART_BYTES
from strategies.features.featurizer import prepare
from strategies.obfuscation import Obfuscated, Obfuscation, group, obfuscate
from strategies.pixels import to_tensor
from strategies.privacy.stream import Stream

SOURCE_BYTES = 16_000_000
"""Bytes of images that are obfuscated at once."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """The part of every picture that is obfuscated, in shares of its side: what is sensitive in all of them.

    Examples:
        >>> int(Region(top=0.25, left=0, height=0.5, width=1).mask(8).sum())
        32
    """

    top: float
    left: float
    height: float
    width: float

    def mask(self, side: int) -> Tensor:
        """Return where it is, (side, side) bool."""
        mask = torch.zeros(side, side, dtype=torch.bool)
        rows = slice(round(self.top * side), round((self.top + self.height) * side))
        mask[rows, round(self.left * side) : round((self.left + self.width) * side)] = True
        return mask


@dataclass(frozen=True)
class Assignment:
    """What an owner wants trained, and how it obfuscates its images.

    Attributes:
        classes: What labels stand for.
        obfuscation: The technique and its setting.
        intra_class, repeat: How images are grouped (`strategies.obfuscation.group`).
        region: Where to obfuscate; None: everywhere.
        side: Width and height to which pictures are brought.
        epochs, batch: How often to publish the set afresh, and pictures per step of training.
    """

    classes: tuple[str, ...]
    obfuscation: Obfuscation
    intra_class: bool = False
    repeat: bool = False
    region: Region | None = None
    side: int = 64
    architecture: str = "compact"
    epochs: int = 20
    batch: int = 32


class Mixtures:
    """An owner's epochs of obfuscated images: what it publishes, and what it keeps.

    Noise derives from the owner's secret, the epoch, the assignment and the images themselves: a service that asks
    twice gets the same pixels, and never fresh noise, and no two assignments share any.

    Args:
        party: The owner of the secret.
        album, labels: Images, opened as needed, and what they show.
        assignment: How they are obfuscated.
    """

    def __init__(self, party: Party, album: Album, labels: Labels, assignment: Assignment) -> None:
        self._party, self._album = party, album
        self._labels, self._assignment = torch.from_numpy(labels), assignment

    def groups(self, epoch: int) -> Tensor:
        """Return which images make up each mixture of an epoch, (m, k) positions in the album."""
        assignment = self._assignment
        return group(
            self._labels,
            assignment.obfuscation.images,
            Stream(self._party.derive("groups", repr(assignment), str(epoch))),
            intra_class=assignment.intra_class,
            repeat=assignment.repeat,
        )

    @property
    def count(self) -> int:
        """How many there are in an epoch."""
        return len(self.groups(0))

    @property
    def part(self) -> int:
        """How many are in a part."""
        return max(1, PART_BYTES // (3 * self._assignment.side**2))

    def obfuscated(self, epoch: int, number: int) -> Obfuscated:
        """Obfuscate one part of one epoch."""
        groups = self.groups(epoch)[number * self.part : (number + 1) * self.part]
        batches = list(self._batches(groups, epoch))
        return Obfuscated(*(torch.cat(columns) for columns in zip(*batches, strict=True)))

    def _batches(self, groups: Tensor, epoch: int) -> Iterator[Obfuscated]:
        assignment = self._assignment
        at_once = max(1, SOURCE_BYTES // (3 * assignment.side**2 * groups.shape[1]))
        mask = None if assignment.region is None else assignment.region.mask(assignment.side)
        for chosen in torch.split(groups, at_once):
            opened = self.opened(chosen.flatten().tolist())
            question = repr(assignment), str(epoch), repr(chosen.tolist()), opened.tobytes()
            yield obfuscate(
                assignment.obfuscation,
                to_tensor(opened).reshape(*chosen.shape, 3, *opened.shape[1:3]),
                self._labels[chosen],
                len(assignment.classes),
                Stream(self._party.derive("obfuscation", *question)),
                regions=None if mask is None else mask.expand(len(chosen), -1, -1),
            )

    def opened(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return images before obfuscation, (n, side, side, 3)."""
        return np.stack([prepare(self._album[position], self._assignment.side) for position in positions])
