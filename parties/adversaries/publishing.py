"""Owners who publish in ways that harm themselves or others."""

from torch import Tensor

from parties.adversaries.adversary import adversary
from parties.publish.publisher import Publisher
from protocol.messages.publish import CallForPictures, Publication
from strategies.dp_images import Mechanism
from strategies.privacy.stream import Stream


@adversary("careless-publisher", knowledge="nothing beyond its role", profit="none: it harms itself")
class CarelessPublisher(Publisher):
    """Draws fresh noise at every request, which repeated requests average away."""

    def noise(self, call: CallForPictures, used: Mechanism, picture: Tensor) -> Stream:
        """Return another stream at every call."""
        return Stream(self.derive("fresh", str(call.ask), call.method, picture.numpy().tobytes()))


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
