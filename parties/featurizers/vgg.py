"""VGG-16's weights: from a file, or from torchvision's cache."""

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import VGG16_Weights

from protocol.errors import BadInput
from protocol.storage.user_files import user_path
from strategies.features.vgg import Vgg16

SOURCE = VGG16_Weights.IMAGENET1K_V1.url


def load_vgg16(weights: str | None) -> Vgg16:
    """Load VGG-16; nothing is downloaded.

    Args:
        weights: A ``.pth`` or ``.safetensors`` file with torchvision's state dict; None: torchvision's cache.

    Raises:
        BadInput: If the file is missing, cannot be read, or holds another network.
    """
    path = user_path(weights) if weights else Path(torch.hub.get_dir()) / "checkpoints" / Path(SOURCE).name
    if not path.is_file():
        raise BadInput(
            f"there are no VGG-16 weights: looked for {path}; download {SOURCE} to there, or name your own .pth or"
            " .safetensors file of torchvision's vgg16 with cloud.weights=FILE (parley calibrate: --weights FILE)"
        )
    try:
        return Vgg16(_state(path))
    except (RuntimeError, AttributeError, TypeError) as other:
        reason = " ".join(str(other).split())[:200]
        raise BadInput(f"{path} does not hold the weights of torchvision's vgg16: {reason}") from other


def _state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError) as damage:
        reason = " ".join(str(damage).split())[:120]
        raise BadInput(f"the weights file {path} cannot be read as .pth or .safetensors: {reason}") from damage
    return state
