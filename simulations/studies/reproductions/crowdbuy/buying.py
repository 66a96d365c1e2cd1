"""Fig. 10's pictures on offer, and the selection of each mechanism."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from simulations.data import pets
from simulations.data.breeds import CATS
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from strategies.features.featurizer import Calibration, Featurizer
from strategies.features.signatures import on_lattice, signature_table
from strategies.mechanisms.selection import Offers, select

KNOWN, SAMPLES = 5, 10
OFFERED, BOUGHT = 600, 200
PRICE, DEAREST = 100, 64
"""The price in minor units, and the largest budget per picture as a multiple of the price."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Market:
    """The offers and the buyer's request.

    Attributes:
        known, unknown: (k,), the breeds of dogs in the buyer's samples, and the others.
        shares: (k,), frequency of each known breed.
        breeds: (n,), the breed in each picture on offer.
        pictures: (n, 64, 64, 3), pictures on offer.
        features: (n, 2), their lattice points.
        targets: (m, 2), those of the samples.
    """

    known: Labels
    unknown: Labels
    shares: NDArray[np.float64]
    breeds: Labels
    pictures: NDArray[np.uint8]
    features: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Test:
    """Fresh portraits, painted when they are needed.

    Attributes:
        breeds: (n,), the breed of each.
        seed: Paints them.
    """

    breeds: Labels
    seed: int

    def pictures(self) -> NDArray[np.uint8]:
        """Paint them."""
        return pets.draw(self.breeds, 64, torch.Generator().manual_seed(self.seed))


def market(seed: int, spread: str, featurizer: Featurizer) -> Market:
    """Draw the breeds that are known, the samples and the pictures on offer."""
    generator, paint_generator = numpy_generator(seed, "fig10", spread), torch_generator(seed, "fig10", spread)
    dogs = numpy_generator(seed, "fig10", "dogs").permutation(np.arange(len(CATS), len(pets.BREEDS)))
    known, unknown = dogs[:KNOWN], dogs[KNOWN:]
    shares = category_shares(spread, KNOWN)
    breeds = generator.choice(known, OFFERED, p=shares)
    pictures = pets.draw(breeds, 64, paint_generator)
    samples = pets.draw(np.resize(known, SAMPLES), 64, paint_generator)
    features, targets = featurizer.features(pictures), featurizer.features(samples)
    matchable = on_lattice(features)
    return Market(
        known,
        unknown,
        shares,
        breeds[matchable],
        pictures[matchable],
        features[matchable],
        targets[on_lattice(targets)],
    )


def category_shares(spread: str, count: int) -> NDArray[np.float64]:
    """Return the frequency of each category: uniform, or by a normal curve cut at two standard deviations.

    Examples:
        >>> category_shares("normal", 5).round(2).tolist()
        [0.05, 0.24, 0.4, 0.24, 0.05]
    """
    places = np.linspace(-2, 2, count)
    weights = np.exp(-(places**2) / 2) if spread == "normal" else np.ones(count)
    return np.asarray(weights / weights.sum())


def buy(offered: Market, privacy: str, quality: str, calibration: Calibration, seed: int) -> Labels:
    """Return the positions of the pictures that the least sufficient budget buys; too few if no budget suffices."""
    exact = privacy == "level1"
    table = signature_table(secret(seed, "fig10 salt"), calibration.reach, calibration.signature_size)
    ranks = numpy_generator(seed, "fig10 ties").permutation(len(offered.breeds))
    offers = Offers(
        offered.features if exact else None,
        None if exact else table.sign(offered.features).astype(np.int64),
        np.full(len(ranks), PRICE, dtype=np.int64),
    )

    def winners(pictures: int) -> Labels:
        return select(
            offers,
            offered.targets,
            quality=quality,
            budget=pictures * PRICE,
            radius=calibration.radius,
            reach=calibration.reach,
            ranks=ranks,
        ).winners

    low, high = BOUGHT, BOUGHT * DEAREST
    while low < high:
        middle = (low + high) // 2
        if len(winners(middle)) >= BOUGHT:
            high = middle
        else:
            low = middle + 1
    won = winners(high)
    return won[np.argsort(ranks[won])][:BOUGHT]
