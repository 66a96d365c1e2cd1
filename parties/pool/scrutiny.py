"""What an entity finds out itself before it contributes: who published, and whether its features hide its images."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from parties.pool.published import Published
from protocol.crypto.certificates import Identity
from protocol.errors import PolicyRefusal
from strategies.deep_poisoning.training import train_reconstructor
from strategies.learning.batches import Batches, apply
from strategies.learning.fit import Plan
from strategies.scores.image_quality import disclosure

TRIED, STEPS, BATCH, LEARNING_RATE = 128, 60, 32, 5e-3
"""Images that are tried, and how a reconstructor is trained for that: some seconds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scrutiny:
    """How sceptical an entity is.

    Attributes:
        publishers: Names of the entities whose networks are believed; none: all.
        clean: The least SSIM with which the published reconstructor restores clean features of public images. A module
            is trained against that reconstructor: one that restores nothing hides nothing.
        poisoned: The largest SSIM, of an image or its negative, with which a reconstructor that the entity trained
            itself on public images restores its own images from poisoned features.
    """

    publishers: frozenset[str] = frozenset()
    clean: float = 0.0
    poisoned: float = 1.0

    def check_publisher(self, who: Identity | None) -> None:
        """Refuse networks of others than those who are believed; where there are no certificates, nobody is."""
        if self.publishers and (who is None or who.name not in self.publishers):
            name = "nobody who can be told" if who is None else who.name
            raise PolicyRefusal(
                f"the networks are published by {name}, and believed of {', '.join(sorted(self.publishers))}"
            )

    def check_reconstructor(self, shared: Published, public: Batches, device: torch.device) -> None:
        """Refuse a published reconstructor that does not restore public images, (n, 3, side, side) in 0..1."""
        if not self.clean:
            return
        if not len(public):
            _log.warning("there are no public images here: the published reconstructor is not tried")
            return
        images = _some(public)
        features = apply(images, shared.network.featurizer.to(device))
        found = disclosure(apply(features, shared.reconstructor.to(device)), images).ssim
        if found < self.clean:
            raise PolicyRefusal(
                f"the published reconstructor restores public images with an SSIM of {found:.2f}, and {self.clean:g} is"
                " the least: modules that are trained against it may hide nothing"
            )

    def check_module(
        self,
        shared: Published,
        public: Batches,
        images: Batches,
        poisoned: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Refuse to contribute poisoned features from which the own images are restored.

        Args:
            poisoned: Returns the poisoned features of images, (n, 3, side, side).
        """
        if self.poisoned >= 1 or not len(images):
            return
        if not len(public):
            _log.warning("there are no public images here: the own poisoned features are not tried")
            return
        known, own = _some(public), _some(images)
        features = apply(known, shared.network.featurizer.to(device))
        plan = Plan.lasting(STEPS, len(known), BATCH, LEARNING_RATE)
        attacker = train_reconstructor(features, known, generator, plan, device=device)
        found = disclosure(apply(poisoned(own), attacker), own).either_polarity
        if found > self.poisoned:
            raise PolicyRefusal(
                f"images are restored from this entity's poisoned features with an SSIM of {found:.2f}, and"
                f" {self.poisoned:g} is the most"
            )


def _some(images: Batches) -> Tensor:
    return images[torch.arange(min(TRIED, len(images)))]
