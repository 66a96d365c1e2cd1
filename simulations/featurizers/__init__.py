"""Public models that features are computed with: weights, calibration card and the script that reproduces them."""

import json
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from simulations.errors import BadInput
from strategies.featurizer import Autoencoder, Calibration, Featurizer, SmallNet


@dataclass(frozen=True)
class FeaturizerInfo:
    """A featurizer by name.

    Attributes
    ----------
    description : str
        One line.
    """

    description: str


FEATURIZERS: dict[str, FeaturizerInfo] = {
    "small": FeaturizerInfo("a compact CNN and autoencoder, trained on public portraits of pets and public digits"),
}

PACKAGE = files("simulations.featurizers")


def build(tensors: dict[str, Tensor], calibration: Calibration) -> Featurizer:
    """Put a featurizer together from a weights file's tensors, named ``network.*`` and ``autoencoder.*``."""
    network = SmallNet(classes=len(tensors["network.fc8.bias"]))
    hidden, classes = tensors["autoencoder.encoder.0.weight"].shape
    autoencoder = Autoencoder(classes, hidden)
    for prefix, module in (("network.", network), ("autoencoder.", autoencoder)):
        module.load_state_dict({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    return Featurizer(network, autoencoder, calibration)


def card(name: str) -> dict[str, Any]:
    """Return a featurizer's calibration card: identity, calibration, public data and what was measured."""
    contents: dict[str, Any] = json.loads((PACKAGE / f"{name}.json").read_text(encoding="utf-8"))
    return contents


def load_featurizer(name: str) -> Featurizer:
    """Load a featurizer that comes with Parley.

    Parameters
    ----------
    name : str
        One of `FEATURIZERS`.

    Raises
    ------
    BadInput
        If there is none of that name, or its weights are missing, damaged or not the ones that the card describes.
    """
    if name not in FEATURIZERS:
        raise BadInput(f"there is no featurizer {name!r}; choose one of: {', '.join(FEATURIZERS)}")
    try:
        description = card(name)
        with as_file(PACKAGE / f"{name}.safetensors") as path:
            featurizer = build(load_file(path), _calibration(description["calibration"]))
    except FileNotFoundError as missing:
        raise BadInput(
            f"featurizer {name!r} has no weights here (simulations/featurizers/{name}.safetensors and .json):"
            " Flower app bundles do not carry them, so run from a checkout or an installed package, or train them with"
            f" `python -m simulations.featurizers.train_{name}`"
        ) from missing
    except (SafetensorError, KeyError, RuntimeError, ValueError) as damage:
        raise BadInput(f"the weights or the card of featurizer {name!r} are damaged: {damage}") from damage
    if featurizer.model_id != description["model_id"]:
        raise BadInput(
            f"the weights of featurizer {name!r} are not the ones its card describes:"
            f" they are {featurizer.model_id}, the card says {description['model_id']}"
        )
    return featurizer


def _calibration(values: dict[str, Any]) -> Calibration:
    x, y = values["offset"]
    return Calibration(**{**values, "offset": (x, y)})
