"""From a picture to a point: the featurizer that sellers, buyer and cloud all run (CrowdBuy, sections III.A and IV.D).

A network classifies the picture; its last fully connected layer, before the softmax, is the paper's "fc8" feature.
In the paper's basic mode that vector, in fixed point, is what a seller bids with. Otherwise the encoder of an
autoencoder maps fc8 to two numbers, and a calibration scales these to integers on a lattice of 2^16 x 2^16 points, on
which the paper's radius R, reach d and signature size k apply.
"""

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from strategies.pixels import network_inputs

Pixels = NDArray[np.uint8]

LATTICE_SIDE = 1 << 16
VECTOR_UNITS = 256
"""An fc8 vector's components are integers in units of 1 / 256."""
INPUT_SIZE = 64

_INT32 = np.iinfo(np.int32)


class Network(nn.Module, ABC):
    """A classifier, and how pictures become its inputs; its output before the softmax is fc8.

    Attributes:
        BATCH: Pictures in one forward pass: always as many, so that a picture's feature depends on nothing else.
    """

    BATCH: ClassVar[int]

    @staticmethod
    @abstractmethod
    def prepare(picture: Pixels) -> Pixels:
        """Return all of a picture that its feature depends on; preparing again changes nothing."""

    @staticmethod
    @abstractmethod
    def inputs(pictures: Sequence[Pixels]) -> Tensor:
        """Return prepared pictures as (n, 3, height, width) inputs."""


class SmallNet(Network):
    """A compact convolutional classifier of 64 x 64 pictures, where the paper has VGG-16.

    Five convolutions with ReLU, an average over positions, and one fully connected layer: fc8. It is trained with batch
    normalisation between the convolutions and published with that folded into their weights.

    Args:
        classes: Number of classes, the length of fc8.
    """

    BATCH = 16
    WIDTHS = (24, 48, 64, 96, 128)
    STRIDES = (2, 2, 2, 1, 2)

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in zip((3, *self.WIDTHS), self.WIDTHS, self.STRIDES, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        self.fc8 = nn.Linear(self.WIDTHS[-1], classes)

    @staticmethod
    def prepare(picture: Pixels) -> Pixels:
        """Return the central square at 64 x 64 (see `prepare`)."""
        return prepare(picture)

    @staticmethod
    def inputs(pictures: Sequence[Pixels]) -> Tensor:
        """Return prepared pictures in -1..1 (see `network_inputs`)."""
        return network_inputs(pictures)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, 3, 64, 64) inputs in -1..1 to (n, classes) fc8 features."""
        features: Tensor = self.fc8(self.convolutions(inputs).mean((2, 3)))
        return features


class Autoencoder(nn.Module):
    """fc8 to two numbers and back: three fully connected layers with two softplus, mirrored (section IV.D).

    Args:
        features: Length of fc8.
        hidden: Width of the hidden layers.

    Attributes:
        mean, deviation: (features,), statistics of fc8 over public pictures; the autoencoder sees standardised
            features.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.encoder = _three_layers(features, hidden, 2)
        self.decoder = _three_layers(2, hidden, features)

    def encode(self, fc8: Tensor) -> Tensor:
        """Map (n, features) to (n, 2)."""
        codes: Tensor = self.encoder((fc8 - self.mean) / self.deviation)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Map (n, 2) to the (n, features) that the codes most likely stand for."""
        reconstruction: Tensor = self.decoder(codes)
        return reconstruction * self.deviation + self.mean


def _three_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.Softplus(), nn.Linear(hidden, hidden), nn.Softplus(), nn.Linear(hidden, outputs)
    )


@dataclass(frozen=True)
class Calibration:
    """How codes become lattice points, and the paper's parameters there and among fc8 vectors.

    Attributes:
        radius: R: a picture matches within this distance of a sample picture, lattice units.
        reach: d: half the side of the square that a picture covers, lattice units.
        signature_size: k, points in a MinHash signature.
        scale: Lattice units per unit of the code.
        offset: Lattice point of the code (0, 0).
        tolerance: Largest distance (L-infinity, lattice units) at which two computations of one picture's feature count
            as equal.
        vector_radius, vector_tolerance: R and tolerance among fc8 vectors, in units of 1 / 256. R is 75 in the paper.
        false_accepts, vector_false_accepts: Share of pairs of different pictures of one category within the tolerance
            of each other; None: not measured.
    """

    radius: int
    reach: int
    signature_size: int
    scale: float
    offset: tuple[float, float]
    tolerance: int
    vector_radius: int = 75 * VECTOR_UNITS
    vector_tolerance: int = 10
    false_accepts: float | None = None
    vector_false_accepts: float | None = None


def prepare(picture: Pixels, side: int = INPUT_SIZE) -> Pixels:
    """Cut the central square out of a picture and resize it, to 64 x 64 here: all of it that a feature depends on.

    The resizing is bicubic and antialiased, in fixed-point arithmetic: the same on every machine. A picture of that
    size is returned as it is.

    Args:
        picture: (height, width, 3), RGB, of any size.
        side: Pixels, of the result.

    Returns:
        (side, side, 3)

    Raises:
        ValueError: If the picture has another type or shape, or no pixels.
    """
    height, width = height_and_width(picture)
    if height == width == side:
        return picture
    square = min(height, width)
    left, top = (width - square) // 2, (height - square) // 2
    cut = Image.fromarray(picture[top : top + square, left : left + square])
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))


def height_and_width(picture: Pixels) -> tuple[int, int]:
    """Return a picture's size, or raise ValueError when it is no uint8 array of shape (height, width, 3)."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(
            f"a picture is an array of type {picture.dtype} and shape {picture.shape};"
            " it must be uint8 of shape (height, width, 3)"
        )
    return picture.shape[0], picture.shape[1]


def forward(network: Network, images: Iterable[Pixels]) -> Iterator[tuple[Tensor, int]]:
    """Yield fc8 of one padded batch after another, (BATCH, D), and how many pictures there are in it."""
    prepared = map(network.prepare, images)
    while batch := list(itertools.islice(prepared, network.BATCH)):
        pictures = network.inputs(batch)
        inputs = torch.zeros(network.BATCH, *pictures.shape[1:]).to(memory_format=torch.channels_last)
        inputs[: len(batch)] = pictures
        yield network(inputs), len(batch)


def ready(network: Network) -> Network:
    """Return the network in evaluation mode, laid out as it computes fastest: layouts differ in the last bits."""
    return network.eval().to(memory_format=torch.channels_last)


class Featurizer:
    """A pure function from pictures to lattice points, with the identity that parties compare.

    Args:
        network: Classifier that computes fc8.
        autoencoder: Trained on the fc8 features of public pictures.

    Attributes:
        network, autoencoder, calibration: As given, in evaluation mode.
        model_id: SHA-256 over all weights and the calibration's scale and offset: equal identities give equal features.
    """

    def __init__(self, network: Network, autoencoder: Autoencoder, calibration: Calibration) -> None:
        self.network = ready(network)
        self.autoencoder = autoencoder.eval()
        self.calibration = calibration
        self.model_id = _digest(
            {
                **{f"network.{name}": tensor for name, tensor in network.state_dict().items()},
                **{f"autoencoder.{name}": tensor for name, tensor in autoencoder.state_dict().items()},
                "lattice.scale": torch.tensor(calibration.scale, dtype=torch.float64),
                "lattice.offset": torch.tensor(calibration.offset, dtype=torch.float64),
            }
        )

    def prepare(self, picture: Pixels) -> Pixels:
        """Return all of a picture that its feature depends on."""
        return self.network.prepare(picture)

    def features(self, images: Iterable[Pixels]) -> NDArray[np.int64]:
        """Return the (n, 2) lattice points of pictures; a point may lie off the lattice, and is then unmatched.

        A picture's point depends on nothing but the picture: forward passes run in padded batches of a fixed size.
        Pictures are taken one at a time, so that an album need not be in memory.

        Raises:
            ValueError: If a picture is not a uint8 array of shape (height, width, 3).
        """
        return self.to_lattice(self.codes(images))

    @torch.inference_mode()
    def codes(self, images: Iterable[Pixels]) -> NDArray[np.float32]:
        """Return the (n, 2) codes of pictures, before scaling and rounding."""
        codes = [self.autoencoder.encode(fc8)[:count].numpy() for fc8, count in forward(self.network, images)]
        return np.concatenate([np.empty((0, 2), dtype=np.float32), *codes])

    @torch.inference_mode()
    def fc8(self, images: Iterable[Pixels]) -> NDArray[np.float32]:
        """Return the (n, D) fc8 features of pictures, as the network computes them."""
        vectors = [fc8[:count].numpy() for fc8, count in forward(self.network, images)]
        return np.concatenate([np.empty((0, len(self.autoencoder.mean)), dtype=np.float32), *vectors])

    def vectors(self, images: Iterable[Pixels]) -> NDArray[np.int64]:
        """Return the (n, D) fc8 vectors of pictures in fixed point, the features of the paper's basic mode."""
        return to_vectors(self.fc8(images))

    def to_lattice(self, codes: NDArray[np.floating]) -> NDArray[np.int64]:
        """Scale, shift and round (n, 2) codes to lattice points."""
        points = np.array(self.calibration.offset) + self.calibration.scale * codes.astype(np.float64)
        return np.rint(points).astype(np.int64)

    @torch.inference_mode()
    def decode(self, points: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (n, classes) fc8 features that lattice points of shape (n, 2) most likely stand for.

        This is what the paper's cloud can do at privacy level 1 with the public decoder (section V).
        """
        codes = (points - np.array(self.calibration.offset)) / self.calibration.scale
        reconstruction: NDArray[np.float32] = self.autoencoder.decode(torch.from_numpy(codes).float()).numpy()
        return reconstruction


def to_vectors(fc8: NDArray[np.floating]) -> NDArray[np.int64]:
    """Round fc8 features to fixed point, in units of 1 / 256, within 32 bits.

    Examples:
        >>> to_vectors(np.array([[0.5, -2.001, 1e30]])).tolist()
        [[128, -512, 2147483647]]
    """
    units = np.rint(fc8.astype(np.float64) * VECTOR_UNITS)
    return np.clip(units, _INT32.min, _INT32.max).astype(np.int64)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and little-endian contents, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().contiguous().numpy()
        digest.update(f"{name}:{values.dtype.name}:{values.shape};".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
