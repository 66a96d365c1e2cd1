"""A calibration as a table: parameters and measurements, among fc8 vectors and in the plane."""

import numpy as np
from numpy.typing import NDArray

from simulations.studies.calibration.calibrate import Calibrated, Space
from strategies.features.featurizer import VECTOR_UNITS

Line = tuple[str, str, str]


def lines(calibrated: Calibrated) -> list[Line]:
    """Return rows of a name, the value among fc8 vectors, and the value in the plane."""
    vectors, plane, chosen = calibrated.vectors, calibrated.plane, calibrated.featurizer.calibration
    spread = 2 * chosen.reach * chosen.signature_size / (4 * chosen.reach**2 - chosen.signature_size + 1)

    def both(name: str, write: str, value: str) -> Line:
        return name, write.format(getattr(vectors, value)), write.format(getattr(plane, value))

    return [
        ("numbers in a feature", str(vectors.features.shape[1]), str(plane.features.shape[1])),
        ("pictures, categories", _sizes(vectors), _sizes(plane)),
        ("R", f"{vectors.radius / VECTOR_UNITS:.3f}", f"{plane.radius} lattice units"),
        both("share of a category within R of its centroid", "{:.1%}", "recall"),
        both("share of pairs of centroids farther apart than R", "{:.1%}", "separation"),
        ("d, k", "", f"{chosen.reach} lattice units, {chosen.signature_size}"),
        ("epsilon of the paper's level 2", "", f"1/{1 / spread:.0f} per lattice unit"),
        _moved("drift, honest devices (99.99th percentile)", calibrated.honest.vectors, calibrated.honest.points),
        *(_moved(f"drift, {name}", drift.vectors, drift.points) for name, drift in calibrated.coarse.items()),
        ("tolerance", f"{vectors.tolerance / VECTOR_UNITS:.3f}", f"{plane.tolerance} lattice units"),
        (
            "false-accept rate: pairs of one category within it",
            f"{vectors.false_accepts:.2e}",
            f"{plane.false_accepts:.2e}",
        ),
    ]


def _sizes(space: Space) -> str:
    return f"{len(space.labels)}, {space.labels.max() + 1}"


def _moved(name: str, vectors: NDArray[np.int64], points: NDArray[np.int64]) -> Line:
    far, near = (float(np.quantile(drifts, 0.9999)) for drifts in (vectors, points))
    return name, f"{far / VECTOR_UNITS:.3f}", f"{near:.0f} lattice unit{'' if near == 1 else 's'}"
