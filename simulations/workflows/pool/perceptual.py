"""LPIPS (Zhang et al. 2018), where the weights that it takes are at hand; nothing is fetched."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from protocol.errors import BadInput

Distance = Callable[[Tensor, Tensor], float]
"""Of (n, 3, height, width) images in 0..1 and their counterparts, the mean; 0 for equal ones."""


def weights_file() -> Path:
    """Return where torchvision keeps its weights of AlexNet on ImageNet, whose features LPIPS compares."""
    from torchvision.models import AlexNet_Weights  # noqa: PLC0415  (seconds)

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.DEFAULT.url).name


def perceptual_distance() -> Distance | None:
    """Return LPIPS by torchmetrics; None where the weights are not there.

    Raises:
        BadInput: When the file that is there holds none.
    """
    file = weights_file()
    if not file.is_file():
        return None
    try:
        torch.load(file, map_location="cpu", weights_only=True)  # torchvision would run whatever is in it
    except Exception:
        raise BadInput(
            f"{file} does not hold AlexNet's weights, which LPIPS takes; remove it, or fetch it anew"
        ) from None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # noqa: PLC0415  (seconds)

    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)

    def distance(images: Tensor, others: Tensor) -> float:
        with torch.inference_mode():
            found: Tensor = metric(images.float().clamp(0, 1), others.float())
        metric.reset()
        return found.item()

    return distance
