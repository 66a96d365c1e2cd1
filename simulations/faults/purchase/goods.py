"""Pictures for a simulated market, and a public model that is quick."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parties.album import Pixels
from simulations.faults.secrecy import CANARY
from strategies.features.featurizer import Calibration

SIDE = 6


class PublicModel:
    """A featurizer that reads a picture's point off its first pixels.

    It is public and exact, like the one that it stands for; only the network is missing.
    """

    model_id = "faults/1"
    calibration = Calibration(
        radius=6_000, reach=2_000, signature_size=4, scale=1.0, offset=(0.0, 0.0), tolerance=2, vector_radius=6_000
    )

    def prepare(self, picture: Pixels) -> Pixels:
        """Return the picture at the size of all pictures here, repeating or cutting it."""
        if picture.shape == (SIDE, SIDE, 3):
            return picture
        return np.resize(picture, (SIDE, SIDE, 3))

    def features(self, images: Iterable[Pixels]) -> NDArray[np.int64]:
        """Return the (n, 2) points of pictures."""
        points = [np.frombuffer(np.asarray(image).tobytes()[:4], ">u2") for image in images]
        return np.array(points, dtype=np.int64).reshape(-1, 2)

    vectors = features


MODEL: Any = PublicModel()


def paint(generator: random.Random, x: int, y: int, marked: bool) -> Pixels:
    """Return a picture with this point, and with a canary or without."""
    body = x.to_bytes(2, "big") + y.to_bytes(2, "big")
    if marked:
        body += CANARY
    body += generator.randbytes(3 * SIDE * SIDE - len(body))
    return np.frombuffer(body, np.uint8).reshape(SIDE, SIDE, 3)
