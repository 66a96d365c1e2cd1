"""Owners who publish in ways that harm themselves or others."""

import torch

from parties.adversaries.adversary import adversary
from parties.publish.publisher import Publisher
from protocol.messages.publish import CallForPictures, Publication
from strategies.privacy.secret_generator import seeded_generator


@adversary("careless-publisher", knowledge="nothing beyond its role", profit="none: it harms itself")
class CarelessPublisher(Publisher):
    """Draws fresh noise at every request, which repeated requests average away."""

    def noise(self, call: CallForPictures) -> torch.Generator:
        """Return another generator at every call."""
        return seeded_generator(self.derive("fresh", str(call.ask), call.method))


@adversary(
    "mislabelling-publisher",
    knowledge="nothing beyond its role",
    profit="none; models trained on it get worse",
)
class MislabellingPublisher(Publisher):
    """Publishes its pictures under wrong labels."""

    def publish(self, call: CallForPictures) -> Publication:
        """Publish with inverted labels."""
        honest = super().publish(call)
        return honest.model_copy(update={"labels": 1 - honest.labels})
