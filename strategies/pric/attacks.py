"""What else representations give away: the picture, the person, and whether a picture is among them.

Reading a private attribute is `reading.train_reader`. Every attack is a function of what the attacker has: the public
extractor, pictures of its own, and representations; the truth is for scoring.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.deep_poisoning.attacks import reverse
from strategies.deep_poisoning.training import train_decider
from strategies.learning.batches import Batches, apply
from strategies.learning.fit import Plan
from strategies.pric.networks import Classifier, new_classifier

__all__ = ["nearest", "passport", "presence", "reverse", "suspicion"]

RECOGNITION = Plan(epochs=12, batch=64, learning_rate=5e-3)


def passport(
    representations: Batches,
    persons: NDArray[np.int64],
    generator: torch.Generator,
    plan: Plan = RECOGNITION,
    *,
    device: torch.device | None = None,
) -> nn.Module:
    """Learn to recognise people across pictures, from other people of whom there are several pictures each.

    Returns:
        A network from representations to (n, width) vectors of length 1: the more alike, the likelier the same person.
    """
    _, numbers = np.unique(persons, return_inverse=True)
    channels = representations[torch.zeros(1, dtype=torch.int64)].shape[1]
    fresh = new_classifier(channels, int(numbers.max()) + 1, generator, "strong")
    trained = train_decider(fresh, representations, torch.from_numpy(numbers), generator, plan, device=device)
    assert isinstance(trained, Classifier)
    return nn.Sequential(trained.embed, _Unit()).eval()


class _Unit(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=1)


def nearest(recogniser: nn.Module, gallery: Batches, persons: NDArray[np.int64], probes: Batches) -> NDArray[np.int64]:
    """Name the person of each probe: that of the most similar representation in the gallery.

    Args:
        recogniser: A `passport`.
        gallery, probes: (n, channels, h, w) and (m, channels, h, w) representations.
        persons: (n,), of the gallery.

    Returns:
        (m,)
    """
    alike = apply(probes, recogniser) @ apply(gallery, recogniser).T
    return np.asarray(persons[alike.argmax(1).numpy()])


def suspicion(model: nn.Module, representations: Batches, labels: Tensor) -> NDArray[np.float64]:
    """Suspect that a task's model was trained on what it fits well (Yeom et al. 2018): minus the loss, (n,).

    Args:
        model: As the collector gives it away.
        representations, labels: Of the suspects: (n, channels, h, w), (n, attributes) of 0 and 1.
    """
    logits = apply(representations, model)
    losses = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none").mean(1)
    return -np.asarray(losses.double().numpy())


def presence(collected: Tensor, suspects: Tensor) -> NDArray[np.float64]:
    """Suspect that a picture is among those collected, by its representation: minus the distance to the nearest, (n,).

    Args:
        collected, suspects: (m, channels, h, w), (n, channels, h, w); what was received, and what the public extractor
            makes of pictures that the attacker holds.
    """
    distances = torch.cdist(suspects.flatten(1), collected.flatten(1)).amin(1)
    return -np.asarray(distances.double().numpy())
