"""The owner of images: it obfuscates them afresh in every epoch, and keeps groups, weights and noise."""

from typing import Annotated

import numpy as np
import safetensors.torch
import torch
from annotated_types import Ge

from parties.album import Album
from parties.outsource.mixtures import Assignment, Labels, Mixtures
from parties.party import Party, step
from protocol.errors import ProtocolError
from protocol.messages.base import Acknowledgement, ProtocolMessage
from protocol.messages.outsource import Enquiry, Enrolment, NextPart, Part, TrainedModel
from strategies.features.featurizer import prepare
from strategies.learning.classifier import classify, new_classifier
from strategies.learning.weights import restore
from strategies.pixels import to_pictures

TESTED_AT_ONCE = 64
"""Images per forward pass."""


class Appraisal(ProtocolMessage):
    """The returned model's accuracy on the owner's clean test images; it stays with the owner."""

    tested: Annotated[int, Ge(0)]
    correct: Annotated[int, Ge(0)]


class Owner(Party):
    """Has a model trained on its images without showing them.

    Steps:

    1. ``enrol``: state what to train, and on how much;
    2. ``publish``: obfuscate one part of one epoch; groups, weights and noise are fresh in every epoch and stay here;
    3. ``receive``: take the model and test it on clean images.

    Args:
        secret: See `Party`.
        album: The images; each is opened in every epoch.
        labels: (n,) int64; what they show, positions in the assignment's classes.
        assignment: What is wanted.
        tests, test_labels: Clean images that are never published, and what they show.

    Raises:
        ValueError: When images and labels differ in number, or a class is none of the assignment's.
    """

    role = "owner"

    def __init__(
        self,
        secret: bytes,
        album: Album,
        labels: Labels,
        assignment: Assignment,
        tests: Album,
        test_labels: Labels,
    ) -> None:
        super().__init__(secret)
        for pictures, shown in ((album, labels), (tests, test_labels)):
            if len(pictures) != len(shown):
                raise ValueError(f"{len(pictures)} images but {len(shown)} labels")
            if len(shown) and not 0 <= shown.min() <= shown.max() < len(assignment.classes):
                raise ValueError(f"labels are numbered 0 to {len(assignment.classes) - 1}, as the classes are")
        self.assignment = assignment
        self.mixtures = Mixtures(self, album, labels, assignment)
        self.tests, self.test_labels = tests, test_labels

    @step("enrol")
    def enrol(self, enquiry: Enquiry) -> Enrolment:
        """State what to train."""
        wanted = self.assignment
        count = self.mixtures.count
        return Enrolment(
            classes=wanted.classes,
            side=wanted.side,
            architecture=wanted.architecture,
            epochs=wanted.epochs,
            batch=wanted.batch,
            mixtures=count,
            part=min(count, self.mixtures.part),
        )

    @step("publish")
    def publish(self, asked: NextPart) -> Part:
        """Obfuscate one part; there is none beyond the epochs and parts that were agreed."""
        if asked.epoch >= self.assignment.epochs or asked.number * self.mixtures.part >= self.mixtures.count:
            raise ProtocolError(f"there is no part {asked.number} of epoch {asked.epoch}")
        batch = self.mixtures.obfuscated(asked.epoch, asked.number)
        pictures = to_pictures(batch.pictures)
        if batch.labels.is_floating_point():
            return Part(pictures=pictures, shares=batch.labels.numpy())
        return Part(pictures=pictures, labels=batch.labels.numpy())

    @step("receive")
    def receive(self, model: TrainedModel) -> Acknowledgement:
        """Load the model, if it is what was asked for, and test it on clean images."""
        wanted = self.assignment
        network = new_classifier(wanted.architecture, len(wanted.classes), torch.Generator())
        try:
            restore(network, safetensors.torch.load(model.weights))  # bounded tensors; nothing in it can run
        except (ValueError, safetensors.SafetensorError) as error:
            raise ProtocolError(f"the returned model is no {wanted.architecture}: {error}") from None
        network.eval()
        correct = 0
        for start in range(0, len(self.tests), TESTED_AT_ONCE):
            positions = range(start, min(start + TESTED_AT_ONCE, len(self.tests)))
            pictures = np.stack([prepare(self.tests[position], wanted.side) for position in positions])
            correct += int((classify(network, pictures) == self.test_labels[list(positions)]).sum())
        self.memory.keep("appraisal", Appraisal(tested=len(self.tests), correct=correct))
        return Acknowledgement()
