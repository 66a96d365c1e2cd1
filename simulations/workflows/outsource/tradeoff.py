"""Privacy and utility of one setting: train on images obfuscated with it, test on clean ones (section 5)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.runs.seeding import stream
from strategies.learning.classifier import classify
from strategies.learning.streamed import StreamedTraining
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import dssim

SCORED = 200
"""Mixtures whose privacy is measured."""
PART = 512
"""Mixtures that are obfuscated and trained on at once."""

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Lesson:
    """Images to train on and to test on, and how.

    Attributes:
        pictures, labels: (n, side, side, 3) uint8 and (n,) int64: to be obfuscated.
        tests, test_labels: Clean.
        architecture, epochs, batch: As an owner's assignment has them.
        per_epoch: Pictures in an epoch, the same for every setting; None: as many as there are.
        intra_class, repeat: See `strategies.obfuscation.group`.
    """

    pictures: Pictures
    labels: Labels
    tests: Pictures
    test_labels: Labels
    classes: int
    architecture: str = "compact"
    epochs: int = 10
    batch: int = 32
    per_epoch: int | None = None
    intra_class: bool = False
    repeat: bool = False


@dataclass(frozen=True)
class Point:
    """Where a setting is on the plot.

    Attributes:
        accuracy: Share of clean test images whose class is named.
        privacy: Mean dSSIM between a mixture and the image that contributes most; 0 without obfuscation.
        right: (m,) bool, which test images these are; None where only their share is known.
    """

    accuracy: float
    privacy: float
    right: NDArray[np.bool_] | None = None


def train_and_test(device: torch.device, lesson: Lesson, setting: Obfuscation | None, seed: int) -> Point:
    """Train with a setting, None: on clean images; a workshop's job."""
    drawn = stream(seed, "obfuscation of a lesson")
    images, labels = to_tensor(lesson.pictures).contiguous(), torch.from_numpy(lesson.labels)
    chosen = setting or Obfuscation("mix", (1.0,))
    count = len(group(labels, chosen.images, drawn, intra_class=lesson.intra_class, repeat=lesson.repeat))
    count = min(count, lesson.per_epoch or count)
    training = StreamedTraining(
        device, lesson.architecture, lesson.classes, count // lesson.batch * lesson.epochs, lesson.batch, seed
    )
    privacy = 0.0
    for epoch in range(lesson.epochs):
        groups = group(labels, chosen.images, drawn, intra_class=lesson.intra_class, repeat=lesson.repeat)[:count]
        if epoch == 0 and setting is not None:
            privacy = _privacy(images, groups[:SCORED], setting, drawn)
        for pictures, targets in obfuscated_parts(images, labels, groups, chosen, lesson.classes, drawn):
            training.learn(pictures, targets)
        training.end_epoch()
    named = classify(training.network, lesson.tests)
    right = named == lesson.test_labels
    return Point(float(right.mean()), privacy, right)


def obfuscated_parts(
    images: Tensor, labels: Tensor, groups: Tensor, setting: Obfuscation, classes: int, drawn: Stream
) -> Iterator[tuple[Pictures, Labels]]:
    """Yield obfuscated pictures, (m, side, side, 3), and what is published of their labels."""
    for some in torch.split(groups, PART):
        batch = obfuscate(setting, images[some], labels[some], classes, drawn)
        yield to_pictures(batch.pictures), batch.labels.numpy()


def _privacy(images: Tensor, groups: Tensor, setting: Obfuscation, drawn: Stream) -> float:
    batch = obfuscate(setting, images[groups], torch.zeros_like(groups), 1, drawn)
    most = groups.gather(1, batch.weights.argmax(1)[:, None])[:, 0]
    return float(dssim(images[most], batch.pictures).mean())
