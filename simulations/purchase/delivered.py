"""What the buyer received, read from its store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from parties.album import Pixels
from parties.purchase.offer import Offer
from simulations.purchase.world import World


def file_numbers(winners: Sequence[Offer]) -> dict[bytes, int]:
    """Number the winners as the buyer's invoice does, which names the files of its store."""
    return {offer.bid_id: number for number, offer in enumerate(winners)}


def delivered_picture(world: World, number: int) -> Pixels | None:
    """Return what the buyer received for a winner, good or not; None where nothing can be found."""
    store: Path = world.buyer.store
    for path in (store / f"{number:05d}.png", store / "refused" / f"{number:05d}.png"):
        if path.is_file():
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
    return None
