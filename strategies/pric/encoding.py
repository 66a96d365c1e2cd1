"""From pictures to representations, which do not depend on the batch they are computed in."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.learning.batches import Images, device_of

BATCH = 32
"""Pictures in every forward pass: the last batch is filled up, as sums may be taken in another order in a smaller."""


@torch.inference_mode()
def encode(extractor: nn.Module, pictures: NDArray[np.uint8]) -> Tensor:
    """Send pictures through an extractor in evaluation mode.

    Args:
        pictures: (n, side, side, 3), prepared (`strategies.features.featurizer.prepare`).

    Returns:
        (n, channels, side / 4, side / 4) float32, on the CPU.

    Examples:
        >>> from strategies.pric.networks import new_extractor
        >>> extractor = new_extractor("compact", torch.Generator().manual_seed(1)).eval()
        >>> pictures = np.random.default_rng(1).integers(256, size=(40, 16, 16, 3), dtype=np.uint8)
        >>> torch.equal(encode(extractor, pictures)[35:], encode(extractor, pictures[35:]))
        True
    """
    device = device_of(extractor)
    missing = -len(pictures) % BATCH if len(pictures) else BATCH
    padded = Images(np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), dtype=np.uint8)]))
    parts = torch.split(torch.arange(len(padded)), BATCH)
    representations = torch.cat([extractor(padded[part].to(device)).float().cpu() for part in parts])
    return representations[: len(pictures)].contiguous()
