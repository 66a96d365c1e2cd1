"""Owners of images who have a model trained on something else than their pictures show."""

import numpy as np

from parties.adversaries.adversary import adversary
from parties.outsource.owner import Owner
from protocol.messages.outsource import NextPart, Part


@adversary("mislabelling-owner", knowledge="nothing beyond its role", profit="none; the common model gets worse")
class MislabellingOwner(Owner):
    """Publishes its obfuscated images under the labels of other classes."""

    def publish(self, asked: NextPart) -> Part:
        """Move every label to the next class."""
        part = super().publish(asked)
        if part.shares is not None:
            return part.model_copy(update={"shares": np.roll(part.shares, 1, axis=1)})
        return part.model_copy(update={"labels": (part.targets + 1) % len(self.assignment.classes)})


@adversary("noise-owner", knowledge="nothing beyond its role", profit="a model, without showing an image")
class NoiseOwner(Owner):
    """Publishes noise in the place of obfuscated images."""

    def publish(self, asked: NextPart) -> Part:
        """Replace every picture."""
        part = super().publish(asked)
        generator = self.generator("noise", str(asked.epoch), str(asked.number))
        return part.model_copy(update={"pictures": generator.integers(0, 256, part.pictures.shape, dtype=np.uint8)})
