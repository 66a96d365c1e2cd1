"""Networks whose features a FID compares: Inception v3 of the user's own weights, or a classifier that is at hand."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SIDE = 299
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ClassifierFeatures(nn.Module):
    """The features of uint8 images in a trained classifier: all of it but its last layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*list(network.children())[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) to (n, features)."""
        body: Tensor = self.body(images.float().div(127.5).sub(1))
        return body.flatten(2).mean(2)


class InceptionFeatures(nn.Module):
    """The 2,048 features of Inception v3's last pooling, for uint8 images of any size.

    Args:
        weights: The state of torchvision's ``inception_v3``.

    Raises:
        ValueError: When it is none.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import Inception3  # noqa: PLC0415  (seconds)

        network = Inception3(init_weights=False, transform_input=False)
        try:
            network.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no weights of torchvision's inception_v3: {str(error)[:80]}") from None
        network.fc = nn.Identity()
        self.network = network.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) to (n, 2048)."""
        values = F.interpolate(images.float() / 255, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(each).reshape(3, 1, 1) for each in (_MEAN, _DEVIATION))
        features: Tensor = self.network((values - mean) / deviation)
        return features
