"""Measures how far a picture's feature moves when another device computes it, and derives the tolerance.

Distances are L-infinity, as the buyer and the arbiter compare: in lattice units for points, in 1 / 256 for fc8 vectors.
"""

import copy
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from strategies.features.featurizer import Featurizer, Pixels, to_vectors


@dataclass(frozen=True)
class Drift:
    """How far each picture's feature moved.

    Attributes:
        points, vectors: (n,), of its lattice point, and of its fc8 vector.
    """

    points: NDArray[np.int64]
    vectors: NDArray[np.int64]


@torch.inference_mode()
def honest_drift(featurizer: Featurizer, images: Sequence[Pixels]) -> Drift:
    """Measure how far honest devices differ; one entry for each picture and variant.

    The variants are batches of 1, 7 and 64 pictures, two threads instead of one, and double precision.
    """
    inputs = _inputs(featurizer, images)
    exact = copy.deepcopy(featurizer.network).double()
    doubles = torch.cat([exact(batch.double()) for batch in torch.split(inputs, 8)])
    autoencoder = copy.deepcopy(featurizer.autoencoder).double()
    variants = [(doubles, autoencoder.encode(doubles))]
    threads = torch.get_num_threads()
    for size, count in ((1, threads), (7, threads), (64, threads), (16, 2 if threads == 1 else 1)):
        torch.set_num_threads(count)
        fc8 = torch.cat([featurizer.network(batch) for batch in torch.split(inputs, size)])
        variants.append((fc8, featurizer.autoencoder.encode(fc8)))
    torch.set_num_threads(threads)
    return _moved(featurizer, images, variants)


@torch.inference_mode()
def coarse_drift(featurizer: Featurizer, images: Sequence[Pixels]) -> dict[str, Drift]:
    """Measure larger drifts: of a network in bfloat16, and of pictures saved as JPEG with quality 95."""
    network = copy.deepcopy(featurizer.network).bfloat16()
    batches = torch.split(_inputs(featurizer, images).bfloat16(), featurizer.network.BATCH)
    halved = torch.cat([network(batch) for batch in batches]).float()
    saved = torch.from_numpy(featurizer.fc8(_saved(image) for image in images))
    return {
        name: _moved(featurizer, images, [(fc8, featurizer.autoencoder.encode(fc8))])
        for name, fc8 in {"bfloat16": halved, "JPEG quality 95": saved}.items()
    }


def tolerance(drifts: NDArray[np.int64]) -> int:
    """Return ten times the 99.99th percentile of honest drift, at least ten: rounding alone may move a point by one.

    Examples:
        >>> tolerance(np.array([0, 1, 3]))
        30
    """
    return max(10, math.ceil(round(10 * float(np.quantile(drifts, 0.9999)), 2)))


def percentiles(drifts: NDArray[np.int64]) -> dict[str, float]:
    """Return the 99.99th percentile and the largest of some drifts."""
    return {"p99.99": float(np.quantile(drifts, 0.9999)), "largest": float(drifts.max())}


def _inputs(featurizer: Featurizer, images: Sequence[Pixels]) -> Tensor:
    prepared = [featurizer.prepare(image) for image in images]
    return featurizer.network.inputs(prepared).contiguous(memory_format=torch.channels_last)


def _moved(featurizer: Featurizer, images: Sequence[Pixels], variants: Sequence[tuple[Tensor, Tensor]]) -> Drift:
    fc8 = torch.from_numpy(featurizer.fc8(images))
    points, vectors = featurizer.features(images), to_vectors(fc8.numpy())
    return Drift(
        np.concatenate([np.abs(featurizer.to_lattice(codes.numpy()) - points).max(1) for _, codes in variants]),
        np.concatenate([np.abs(to_vectors(other.numpy()) - vectors).max(1) for other, _ in variants]),
    )


def _saved(image: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    return np.asarray(Image.open(stream))
