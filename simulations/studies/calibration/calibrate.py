"""``parley calibrate``: choose R, d and the tolerances of a featurizer from public pictures, and draw Fig. 1.

1. Compute fc8 of every picture (CrowdBuy, section III.A).
2. For a network without an autoencoder, train several on every other picture of each category and keep the one that
   separates categories best (section IV.D); its lattice's scale puts R at 4,000.
3. On the pictures it has not seen: R is the radius within which 80 % of a category lie of their centroid, averaged over
   categories (section VI.A), among fc8 vectors and in the plane; d keeps the paper's ratio to R.
4. Measure how far honest devices differ, and how often two different pictures would be accepted as one.
"""

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from parties.album import Album, read_folder
from parties.featurizers import load_featurizer, load_network, save_calibrated
from protocol.errors import BadInput
from simulations.data import digits, pets
from simulations.data.stock import Chosen
from simulations.runs.output import whole_or_nothing
from simulations.studies.calibration import calibration
from simulations.studies.calibration.autoencoding import STEPS, train_autoencoder
from simulations.studies.calibration.drift import Drift, coarse_drift, honest_drift, percentiles, tolerance
from simulations.studies.calibration.figure1 import draw_figure1
from strategies.features.featurizer import Autoencoder, Calibration, Featurizer, Network, forward, to_vectors

Progress = Callable[[str, int, int], None]
"""Called with the task, how much of it is done, and how much there is."""

LEAST = 4
"""Pictures of a category that a calibration needs: two to train on, two to measure on."""
PUBLIC = ("pets", "digits")
"""Data sets with a public half in Parley."""
RESTARTS = 3
MOST_OFF_LATTICE = 0.01
SEED = 5
"""Paints the public portraits."""
DRIFTING = {"small": 1000, "vgg16": 24}
"""Pictures that honest drift is measured on."""
COARSE = {"small": 1000, "vgg16": 4}
"""Pictures that other precisions are measured on."""


@dataclass(frozen=True)
class PublicPictures:
    """Public pictures, by category.

    Attributes:
        labels: (n,), index of each one's category; every category has two or more.
        categories: Names.
    """

    images: Album
    labels: NDArray[np.int64]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """The result of a calibration among fc8 vectors, or in the plane.

    Attributes:
        features: (n, D), of the pictures in the measurement.
        labels: (n,), their categories.
        radius, tolerance: In the features' units.
        recall, separation: Share of a category within R of its centroid; share of pairs of centroids farther apart than
            R.
        false_accepts: Share of pairs of different pictures of one category within the tolerance.
    """

    features: NDArray[np.int64]
    labels: NDArray[np.int64]
    radius: int
    tolerance: int
    recall: float
    separation: float
    false_accepts: float


@dataclass(frozen=True)
class Calibrated:
    """A featurizer with its calibration, and the measurements."""

    featurizer: Featurizer
    vectors: Space
    plane: Space
    honest: Drift
    coarse: dict[str, Drift]


def public_dataset(name: str, per_category: int) -> PublicPictures:
    """Return the public half of a data set in Parley, without traded pictures."""
    if name == "pets":
        breeds = np.tile(np.arange(len(pets.BREEDS)), per_category)
        portraits = pets.draw(breeds, 64, torch.Generator().manual_seed(SEED), "public")
        return PublicPictures(list(portraits), breeds, pets.BREEDS)
    images, labels = digits.read("public")
    return _thinned(PublicPictures(list(images), labels, digits.CLASSES), per_category)


def public_folder(folder: Path, per_category: int) -> PublicPictures:
    """Return the pictures in a folder whose sub-folders are categories.

    Raises:
        BadInput: When there are not two categories with `LEAST` pictures each.
    """
    pictures = read_folder(folder)
    counts = {name: pictures.labels.count(name) for name in pictures.labels if name is not None}
    names = tuple(sorted(name for name, count in counts.items() if count >= LEAST))
    if len(names) < 2:
        raise BadInput(
            f"{folder} holds {len(names)} sub-folders with {LEAST} or more pictures; a calibration needs two or more,"
            " one for each category"
        )
    chosen = [index for index, label in enumerate(pictures.labels) if label in names]
    labels = np.array([names.index(str(pictures.labels[index])) for index in chosen], dtype=np.int64)
    return _thinned(PublicPictures(Chosen(pictures, chosen), labels, names), per_category)


def run(
    name: str,
    weights: str | None,
    folder: Path | None,
    dataset: str | None,
    per_category: int,
    out: Path,
    progress: Progress,
) -> Calibrated:
    """Calibrate a featurizer on a folder or a data set, and write the calibration's folder, whole or not at all.

    Raises:
        UserError: With one sentence; nothing is left behind.
    """
    if (folder is None) == (dataset is None) or dataset not in (None, *PUBLIC):
        raise BadInput(
            f"there are no pictures to calibrate on: give --images FOLDER, or --dataset {' or '.join(PUBLIC)}"
        )
    with whole_or_nothing(out) as partial:
        network = load_network(name, weights)
        pictures = public_dataset(dataset, per_category) if dataset else public_folder(Path(folder or ""), per_category)
        calibrated = calibrate(name, network, pictures, progress)
        write(partial, name, calibrated, pictures)
    return calibrated


def calibrate(
    name: str,
    network: Network,
    pictures: PublicPictures,
    progress: Progress = lambda what, done, total: None,
    steps: int = STEPS,
) -> Calibrated:
    """Choose a featurizer's parameters on public pictures.

    Args:
        name: One of `FEATURIZERS`.
        network: From `load_network`.
        pictures: Public pictures.
        steps: Optimiser steps of each autoencoder.
    """
    labels = pictures.labels
    fc8 = _fc8(network, pictures.images, progress)
    if name == "small":
        shipped = load_featurizer(name)
        autoencoder, scale, offset = shipped.autoencoder, shipped.calibration.scale, shipped.calibration.offset
        measured = np.arange(len(labels))
    else:
        learned = _every_other(labels)
        measured = np.flatnonzero(~learned)
        autoencoder, scale, offset = _choose(fc8, labels, learned, steps, progress)
    lattice = Calibration(calibration.RADIUS, calibration.REACH, calibration.SIGNATURE_SIZE, scale, offset, tolerance=0)
    featurizer = Featurizer(network, autoencoder, lattice)
    progress("measuring drift", 0, 1)
    drifting = [pictures.images[int(index)] for index in _spread(measured, DRIFTING[name])]
    honest = honest_drift(featurizer, drifting)
    coarse = coarse_drift(featurizer, drifting[: COARSE[name]])
    points = featurizer.to_lattice(_codes(autoencoder, fc8[measured]))
    vectors = _space(to_vectors(fc8[measured]), labels[measured], honest.vectors)
    plane = _space(points, labels[measured], honest.points)
    chosen = Calibration(
        radius=plane.radius,
        reach=max(1, round(plane.radius * calibration.REACH / calibration.RADIUS)),
        signature_size=calibration.SIGNATURE_SIZE,
        scale=scale,
        offset=offset,
        tolerance=plane.tolerance,
        vector_radius=vectors.radius,
        vector_tolerance=vectors.tolerance,
        false_accepts=plane.false_accepts,
        vector_false_accepts=vectors.false_accepts,
    )
    return Calibrated(Featurizer(network, autoencoder, chosen), vectors, plane, honest, coarse)


def write(folder: Path, name: str, calibrated: Calibrated, pictures: PublicPictures) -> None:
    """Write the autoencoder, the card and Fig. 1 to an existing folder."""
    drifts = {"honest": calibrated.honest, **calibrated.coarse}
    description = {
        "featurizer": name,
        "categories": pictures.categories,
        "measured": {
            "pictures": len(calibrated.plane.labels),
            "vectors": _figures(calibrated.vectors),
            "plane": _figures(calibrated.plane),
            "drift": {
                what: {"points": percentiles(drift.points), "vectors": percentiles(drift.vectors)}
                for what, drift in drifts.items()
            },
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    save_calibrated(folder, calibrated.featurizer, description)
    draw_figure1(folder, name, calibrated.vectors, calibrated.plane)


def _fc8(network: Network, images: Album, progress: Progress) -> NDArray[np.float32]:
    parts, done = [], 0
    with torch.inference_mode():
        for fc8, count in forward(network, (images[index] for index in range(len(images)))):
            parts.append(fc8[:count].numpy())
            done += count
            progress("computing fc8", done, len(images))
    return np.concatenate(parts)


@torch.inference_mode()
def _codes(autoencoder: Autoencoder, fc8: NDArray[np.float32]) -> NDArray[np.float32]:
    codes: NDArray[np.float32] = autoencoder.encode(torch.from_numpy(fc8)).numpy()
    return codes


def _choose(
    fc8: NDArray[np.float32], labels: NDArray[np.int64], learned: NDArray[np.bool_], steps: int, progress: Progress
) -> tuple[Autoencoder, float, tuple[float, float]]:
    """Train several autoencoders; return the one that separates categories best, and its lattice."""
    candidates = []
    for seed in range(RESTARTS):
        progress("training autoencoders", seed, RESTARTS)
        autoencoder = train_autoencoder(torch.from_numpy(fc8[learned]), torch.from_numpy(labels[learned]), seed, steps)
        codes = _codes(autoencoder, fc8[~learned])
        scale, offset = calibration.lattice(codes, labels[~learned])
        points = np.array(offset) + scale * codes
        fits = calibration.off_lattice(points) <= MOST_OFF_LATTICE
        quality = (fits, calibration.pair_separation(points, labels[~learned]))
        candidates.append((quality, (autoencoder, scale, offset)))
    return max(candidates, key=lambda candidate: candidate[0])[1]


def _space(features: NDArray[np.int64], labels: NDArray[np.int64], drifts: NDArray[np.int64]) -> Space:
    radius = max(1, math.ceil(calibration.radius_of_recall(features, labels)))
    within = tolerance(drifts)
    return Space(
        features=features,
        labels=labels,
        radius=radius,
        tolerance=within,
        recall=calibration.recall(features, labels, radius),
        separation=calibration.pair_separation(features, labels, radius),
        false_accepts=calibration.false_accepts(features, labels, within),
    )


def _figures(space: Space) -> dict[str, float]:
    return {
        "recall_within_radius_of_centroid": space.recall,
        "share_of_centroid_pairs_farther_apart_than_radius": space.separation,
        "share_of_same_category_pairs_within_tolerance": space.false_accepts,
    }


def _every_other(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Select every other picture of each category from the second on, so that both parts have all categories."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in range(labels.max() + 1):
        chosen[np.flatnonzero(labels == label)[1::2]] = True
    return chosen


def _spread(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    positions = np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(np.int64)
    return np.asarray(indices[positions], dtype=np.int64)


def _thinned(pictures: PublicPictures, per_category: int) -> PublicPictures:
    """Keep the first pictures of each category."""
    chosen = np.sort(
        np.concatenate(
            [np.flatnonzero(pictures.labels == label)[:per_category] for label in range(len(pictures.categories))]
        )
    )
    return PublicPictures(Chosen(pictures.images, chosen.tolist()), pictures.labels[chosen], pictures.categories)
