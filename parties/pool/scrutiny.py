"""What an entity finds out itself before it contributes: who published, and whether its features hide its images."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from parties.pool.published import Published
from protocol.crypto.certificates import Identity
from protocol.errors import PolicyRefusal
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.training import train_reconstructor
from strategies.learning.batches import Batches, apply
from strategies.learning.fit import Plan
from strategies.scores.image_quality import disclosure

TRIED, STEPS, BATCH, LEARNING_RATE = 128, 60, 32, 5e-3
"""Images that are tried, and how a reconstructor is trained for that: some seconds."""
NOTHING = 0.05
"""A reconstructor that restores less of clean features restores nothing."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scrutiny:
    """How sceptical an entity is.

    Attributes:
        publishers: Names of the entities whose networks are believed; none: all.
        clean: The least SSIM with which the published reconstructor restores public images from clean features. A
            module is trained against that reconstructor: against one that restores nothing it hides nothing.
        published: The largest share of what the published reconstructor restores of the entity's own images from clean
            features that it restores from poisoned ones (see `restored`). Honest modules leave it up to .06, and those
            that were trained without hiding .2 to .7.
        unseen: The same of a reconstructor that the entity trains on public images, and no module was trained against.
            Honest modules of tiny networks leave it up to three quarters: it finds those that do next to nothing.
    """

    publishers: frozenset[str] = frozenset()
    clean: float = 0.0
    published: float = 1.0
    unseen: float = 1.0

    def check_publisher(self, who: Identity | None) -> None:
        """Refuse networks of others than those who are believed; where there are no certificates, nobody is."""
        if self.publishers and (who is None or who.name not in self.publishers):
            name = "nobody who can be told" if who is None else who.name
            believed = " and ".join(sorted(self.publishers))
            raise PolicyRefusal(f"the networks are published by {name}, and those of {believed} are believed")

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
        if not len(images):
            return
        own, featurizer = _some(images), shared.network.featurizer.to(device)
        clean, hidden = apply(own, featurizer), poisoned(own)
        if self.published < 1:
            share = _share(shared.reconstructor.to(device), clean, hidden, own)
            self._refuse("the published reconstructor", share, self.published)
        if self.unseen < 1 and not len(public):
            _log.warning("there are no public images here: no reconstructor is trained to try the own features")
        elif self.unseen < 1:
            known = _some(public)
            plan = Plan.lasting(STEPS, len(known), BATCH, LEARNING_RATE)
            unseen = train_reconstructor(apply(known, featurizer), known, generator, plan, device=device)
            self._refuse("a reconstructor of its own", _share(unseen, clean, hidden, own), self.unseen)

    def _refuse(self, what: str, share: float, most: float) -> None:
        if share > most:
            raise PolicyRefusal(
                f"{what} restores {share:.0%} as much of this entity's images from poisoned features as from clean"
                f" ones, and {most:.0%} is the most"
            )


def restored(reconstructions: Tensor, originals: Tensor) -> float:
    """Return how much alike images, or their negatives, and their reconstructions are, beyond those of other images.

    It is the difference of mean SSIM: any reconstruction is somewhat like any image.

    Examples:
        >>> images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        >>> restored(images, images) > 0.9, restored(1 - images, images) > 0.9
        (True, True)
    """
    same, others = disclosure(reconstructions, originals), disclosure(reconstructions, originals.roll(1, 0))
    return max(same.ssim - others.ssim, same.ssim_of_negative - others.ssim_of_negative)


def _share(reconstructor: Reconstructor, clean: Tensor, poisoned: Tensor, images: Tensor) -> float:
    most = restored(apply(clean, reconstructor), images)
    return restored(apply(poisoned, reconstructor), images) / most if most > NOTHING else 0.0


def _some(images: Batches) -> Tensor:
    return images[torch.arange(min(TRIED, len(images)))]
