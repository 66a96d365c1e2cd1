"""Public featurizers: weights and calibration cards."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from protocol.errors import BadInput
from protocol.storage.package import packaged_file
from protocol.storage.user_files import user_path
from strategies.features.featurizer import Autoencoder, Calibration, Featurizer, Network, SmallNet, ready


@dataclass(frozen=True)
class FeaturizerInfo:
    """A featurizer by name.

    Attributes:
        description: One line.
    """

    description: str


FEATURIZERS: dict[str, FeaturizerInfo] = {
    "small": FeaturizerInfo("a compact CNN and autoencoder, trained on public portraits of pets and public digits"),
    "vgg16": FeaturizerInfo("the paper's: torchvision's VGG-16, your weights file and `parley calibrate`"),
}


@dataclass(frozen=True)
class Model:
    """Which featurizer to use; see `load_featurizer`."""

    featurizer: str = "small"
    weights: str | None = None
    calibration: str | None = None

    def load(self) -> Featurizer:
        """Load it; raises `BadInput`."""
        return load_featurizer(self.featurizer, self.weights, self.calibration)


def build(tensors: dict[str, Tensor], calibration: Calibration) -> Featurizer:
    """Put a featurizer together from a weights file's tensors, named ``network.*`` and ``autoencoder.*``."""
    network = SmallNet(classes=len(tensors["network.fc8.bias"]))
    network.load_state_dict(_below("network.", tensors))
    return Featurizer(network, _autoencoder(_below("autoencoder.", tensors)), calibration)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def card(name: str) -> dict[str, Any]:
    """Return a featurizer's calibration card: identity, calibration, public data and what was measured."""
    contents: dict[str, Any] = json.loads(packaged_file(f"parties/featurizers/{name}.json").read_text(encoding="utf-8"))
    return contents


def load_featurizer(name: str, weights: str | None = None, calibration: str | None = None) -> Featurizer:
    """Load a featurizer.

    Args:
        name: One of `FEATURIZERS`.
        weights: A file with the network's weights, for ``vgg16``; None: torchvision's cache.
        calibration: A folder written by ``parley calibrate``; None: the calibration that comes with ``small``.

    Raises:
        BadInput: If there is none of that name, or its weights or calibration are missing, damaged or not the ones that
            the card describes.
    """
    _check(name, weights)
    if name == "small" and calibration is None:
        return _shipped(name)
    if calibration is None:
        raise BadInput(
            f"featurizer {name} needs a calibration: make one with"
            f" `parley calibrate --featurizer {name} --images FOLDER --out DIR` and set cloud.calibration=DIR"
        )
    return _calibrated(name, load_network(name, weights), user_path(calibration))


def load_network(name: str, weights: str | None = None) -> Network:
    """Load a featurizer's network alone, ready to compute features; see `load_featurizer`."""
    _check(name, weights)
    if name == "small":
        return _shipped(name).network
    from parties.featurizers.vgg import load_vgg16

    return ready(load_vgg16(weights))


def save_calibrated(folder: Path, featurizer: Featurizer, description: dict[str, Any]) -> None:
    """Write a calibration: the autoencoder, and the card that describes it and the whole featurizer."""
    tensors = {name: tensor.contiguous() for name, tensor in featurizer.autoencoder.state_dict().items()}
    card = {"model_id": featurizer.model_id, "calibration": asdict(featurizer.calibration), **description}
    (folder / "autoencoder.safetensors").write_bytes(save(tensors))
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _check(name: str, weights: str | None) -> None:
    if name not in FEATURIZERS:
        raise BadInput(f"there is no featurizer {name!r}; choose one of: {', '.join(FEATURIZERS)}")
    if name == "small" and weights is not None:
        raise BadInput(f"featurizer small comes with its weights; {weights} can only be used with vgg16")


def _shipped(name: str) -> Featurizer:
    weights = packaged_file(f"parties/featurizers/{name}.safetensors")
    try:
        description = card(name)
        featurizer = build(load_file(weights), _calibration(description["calibration"]))
    except (SafetensorError, KeyError, RuntimeError, ValueError) as damage:
        raise BadInput(f"the weights or the card of featurizer {name!r} are damaged: {damage}") from damage
    if featurizer.model_id != description["model_id"]:
        raise BadInput(
            f"the weights of featurizer {name!r} are not the ones its card describes:"
            f" they are {featurizer.model_id}, the card says {description['model_id']}"
        )
    return featurizer


def _calibrated(name: str, network: Network, folder: Path) -> Featurizer:
    try:
        description = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        autoencoder = _autoencoder(load_file(folder / "autoencoder.safetensors"))
        featurizer = Featurizer(network, autoencoder, _calibration(description["calibration"]))
        model_id = description["model_id"]
    except FileNotFoundError as missing:
        raise BadInput(
            f"{missing.filename or folder} is missing: a calibration is a folder with autoencoder.safetensors and"
            f" card.json, written by `parley calibrate --featurizer {name} --out {folder}`"
        ) from missing
    except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as damage:
        raise BadInput(f"the calibration in {folder} is damaged: {damage}") from damage
    if featurizer.model_id != model_id:
        raise BadInput(
            f"the calibration in {folder} was made for a featurizer with other weights: with those of {name} here the"
            f" model is {featurizer.model_id}, its card says {model_id}"
        )
    return featurizer


def _autoencoder(tensors: Mapping[str, Tensor]) -> Autoencoder:
    hidden, features = tensors["encoder.0.weight"].shape
    autoencoder = Autoencoder(features, hidden)
    autoencoder.load_state_dict(tensors)
    return autoencoder


def _calibration(values: dict[str, Any]) -> Calibration:
    x, y = values["offset"]
    return Calibration(**{**values, "offset": (x, y)})
