"""What the public makes of publications: attacks on what the reader received, with what everybody knows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from protocol.messages.publish import Gallery
from simulations.runs.seeding import stream, torch_generator
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.world import Labelled
from strategies.dp_images import Mechanism
from strategies.dp_images.attacks import combined, recogniser, restorer
from strategies.learning.classifier import train_classifier
from strategies.pixels import to_pictures, to_tensor


class Attackers:
    """Those who attack what was published by one method; they know the method and some images.

    Args:
        name: Of the method.
        mechanism: By which owners published.
        known: Other images of the owners.
        strangers: Images of other people.
    """

    def __init__(
        self, scenario: PublishScenario, name: str, mechanism: Mechanism, known: Labelled, strangers: Labelled
    ) -> None:
        self.mechanism = mechanism
        self._known, self._asks = known, scenario.asks
        self._owners, self._epochs = scenario.owners.count, scenario.attacker.epochs
        self._generator = torch_generator(scenario.seed, "attack", name)
        self._stream = stream(scenario.seed, "attack", name)
        self._restore = restorer(self.mechanism, strangers.pictures)

    def combine(self, seen: Sequence[Gallery]) -> Tensor:
        """Put together what was published each time the cloud asked, (n, channels, size, size) uint8."""
        pictures = [to_tensor(np.array(each.pictures)).contiguous() for each in seen]
        return combined(self.mechanism, pictures)

    def restore(self, published: Tensor) -> Tensor:
        """Undo what can be undone of the method."""
        return self._restore(published)

    def publish_alike(self, pictures: Tensor) -> Tensor:
        """Publish as owners do; where it was asked often, every second picture as the careless do."""
        once = self.mechanism.publish(pictures, self._stream)
        if self._asks == 1:
            return once
        again = [self.mechanism.publish(pictures[::2], self._stream) for _ in range(self._asks - 1)]
        mixed = once.clone()
        mixed[::2] = combined(self.mechanism, [once[::2], *again])
        return mixed

    def recogniser(self, *, restoring: bool) -> nn.Module:
        """Train a network that names owners, on known images that are published alike, and restored or not."""

        def treat(known: Tensor) -> Tensor:
            published = self.publish_alike(known)
            return self._restore(published) if restoring else published

        known = self._known
        return recogniser(known.pictures, known.persons, self._owners, treat, self._generator, epochs=self._epochs)

    def learn(self, published: Tensor, labels: NDArray[np.int64]) -> nn.Module:
        """Train a classifier on what was published and the labels that came with it."""
        return train_classifier(to_pictures(published), labels, 2, self._generator, epochs=self._epochs)
