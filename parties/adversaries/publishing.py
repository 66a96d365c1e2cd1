"""Owners who publish in ways that harm themselves or others."""

import torch

from parties.adversaries.adversary import adversary
from parties.publish.publisher import Publisher
from protocol.messages.publish import CallForPictures, Publication
from strategies.privacy.secret_generator import seeded_generator


@adversary("careless-publisher", knowledge="nothing beyond its role", profit="none: it is the one who loses")
class CarelessPublisher(Publisher):
    """Draws fresh noise whenever it is asked, so that a cloud that asks often averages it away."""

    def noise(self, call: CallForPictures) -> torch.Generator:
        """Return another source at every call."""
        return seeded_generator(self.derive("fresh", str(call.ask), call.method))


@adversary(
    "mislabelling-publisher", knowledge="nothing beyond its role", profit="none; it spoils what others train on it"
)
class MislabellingPublisher(Publisher):
    """Publishes its pictures under wrong labels."""

    def publish(self, call: CallForPictures) -> Publication:
        """Publish, every label the other way round."""
        honest = super().publish(call)
        return honest.model_copy(update={"labels": 1 - honest.labels})
