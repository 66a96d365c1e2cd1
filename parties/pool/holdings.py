"""What an entity has, and how it trains."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parties.album import Album
from strategies.deep_poisoning.training import Penalty
from strategies.learning.fit import Plan
from strategies.pixels import to_tensor


@dataclass(frozen=True, eq=False)
class Holdings:
    """An entity's images.

    Attributes:
        images: Its own, all of the pool's size.
        labels: (n,), what they show.
        held_back, held_back_labels: Others, to test its deciders on; may be none.
        public: Public images of anything, to train reconstructors on.
    """

    images: Album
    labels: NDArray[np.int64]
    held_back: Album
    held_back_labels: NDArray[np.int64]
    public: Album


@dataclass(frozen=True)
class Habits:
    """How an entity trains.

    Attributes:
        pretraining, reconstruction, poisoning, refinement: Steps of training, of one batch each: of the network, the
            reconstructor, its module, and its decider.
        batch, learning_rate: Examples per step, and the highest learning rate.
        weight, penalty: Lambda, and what L_SSIM is, in training its module (`train_poisoning`).
        decider: What refinement starts from.
        defence: With "agreement", features from the pool are left out whose labels its decider, before refinement,
            contradicts. Honest modules keep that decider's guesses. A module trained on wrong labels deceives it.
    """

    pretraining: int = 240
    reconstruction: int = 250
    poisoning: int = 200
    refinement: int = 250
    batch: int = 32
    learning_rate: float = 5e-3
    weight: float = 2.0
    penalty: Penalty = "either"
    decider: Literal["new", "published"] = "new"
    defence: Literal["none", "agreement"] = "none"

    def plan(self, steps: int, count: int) -> Plan:
        """Return a plan of `steps` steps over `count` examples."""
        return Plan.lasting(steps, count, self.batch, self.learning_rate)


USUAL = Habits()


class Opened:
    """An album as network inputs: pictures are opened as batches need them."""

    def __init__(self, album: Album) -> None:
        self._album = album

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._album)

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return chosen pictures as (m, 3, height, width) in 0..1."""
        return to_tensor([self._album[index] for index in chosen.tolist()]).float().div_(255)
