"""Owners who publish in ways that harm themselves or others."""

import torch

from parties.adversaries.adversary import adversary
from parties.publish.publisher import Publisher
from protocol.messages.publish import CallForPictures, Publication


@adversary("careless-publisher", knowledge="nothing beyond its role", profit="none: it is the one who loses")
class CarelessPublisher(Publisher):
    """Draws fresh noise whenever it is asked, so that whoever asks often averages it away."""

    def noise(self, call: CallForPictures) -> torch.Generator:
        """Return another source at every call."""
        drawn = self.derive("fresh", str(call.ask), call.method)
        return torch.Generator().manual_seed(int.from_bytes(drawn[:8]) >> 1)


@adversary(
    "mislabelling-publisher", knowledge="nothing beyond its role", profit="none; it spoils what others train on it"
)
class MislabellingPublisher(Publisher):
    """Publishes its pictures under wrong labels."""

    def publish(self, call: CallForPictures) -> Publication:
        """Publish, every label the other way round."""
        honest = super().publish(call)
        return honest.model_copy(update={"labels": 1 - honest.labels})
