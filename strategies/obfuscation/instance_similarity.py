"""Which of InstaHide's encodings share an image: a network that compares them, and clusters of encodings.

Carlini et al. 2020, "Is Private Learning Possible with Instance Encoding?", sections 4.1 and 4.2. Encodings are
absolute values, 0 to 1: the signs that InstaHide flips tell nothing.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from strategies.learning.fit import Descent
from strategies.learning.initialise import built

Draw = Callable[[int], Tensor]
"""Weights of so many mixtures, (m, k) float32, as the owner draws them."""

COMPARED = 48
"""Mixtures of each of two epochs that the network compares in a step of training."""
LEARNING_RATE, SHARPNESS = 2e-3, 40.0
SEEDED = 4
"""Epochs whose mixtures clusters are begun from."""
_WIDTH, _DEPTH = 24, 16
_ROUNDS, _MOST = 6, 6.0


class Similarity(nn.Module):
    """Maps an encoding to a vector of length 1, near to those of the encodings that it shares an image with.

    Vectors are feature maps of full size: what two encodings share is at the same place in both.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, _WIDTH, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True),
            nn.Conv2d(_WIDTH, _DEPTH, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, encodings: Tensor) -> Tensor:
        """Map (n, 3, height, width) absolute values to (n, values)."""
        maps = self.body(4 * encodings - 2)
        vectors: Tensor = F.normalize((maps - maps.mean(dim=(2, 3), keepdim=True)).flatten(1))
        return vectors


def train_similarity(public: Tensor, draw: Draw, generator: torch.Generator, steps: int) -> Similarity:
    """Learn from public images, mixed as the owner mixes, which mixtures of two epochs share one.

    Args:
        public: (n, 3, height, width) float32 in -1..1.
        generator: On the CPU; draws weights, images and order.

    Raises:
        ValueError: When there are fewer public images than two mixtures take.
    """
    images = draw(1).shape[1]
    mixtures = min(COMPARED, len(public) // images)
    if mixtures < 2:
        raise ValueError(f"comparing mixtures takes {2 * images} public images or more, not {len(public)}")
    network = built(Similarity, generator)
    descent = Descent(network, steps, LEARNING_RATE)

    def loss() -> Tensor:
        chosen = public[torch.randperm(len(public), generator=generator)[: mixtures * images]]
        orders = [torch.randperm(len(chosen), generator=generator).reshape(mixtures, images) for _ in range(2)]
        vectors = network(torch.cat([mixed(chosen[order], draw(mixtures)).abs() for order in orders]))
        logits = SHARPNESS * vectors[:mixtures] @ vectors[mixtures:].T
        held = [torch.zeros(mixtures, len(chosen)).scatter_(1, order, 1.0) for order in orders]
        shared = (held[0] @ held[1].T > 0).float()
        told = F.log_softmax(logits, dim=1) + F.log_softmax(logits, dim=0)
        return -(told * shared).sum() / shared.sum()

    network.train()
    for _ in range(steps):
        descent.step(loss)
    return network.eval()


@torch.inference_mode()
def similarities(network: Similarity, encodings: Tensor) -> Tensor:
    """Compare all encodings, (n, 3, height, width), with each other, (n, n)."""
    # Half the bytes: vectors are as long as pictures.
    vectors = torch.cat([network(part).half() for part in torch.split(encodings, 128)])
    rows = [torch.cat([part.float() @ other.float().T for other in torch.split(vectors, 512)], dim=1)
            for part in torch.split(vectors, 512)]  # fmt: skip
    return torch.cat(rows)


def mixed(sources: Tensor, weights: Tensor) -> Tensor:
    """Mix (..., k, 3, height, width) images by (..., k) weights."""
    return (sources * weights[..., None, None, None]).sum(dim=-4)


def clusters(similarity: Tensor, epochs: int, images: int, sources: int) -> Tensor:
    """Find, for every image that can be told apart, the encoding of each epoch that holds it.

    Every image is in one encoding of an epoch. A pair of alike encodings of two epochs begins a cluster; what is most
    like all of its members joins it from the others, again and again; of clusters with the same members one is kept.
    At last all images are assigned to places in the encodings of each epoch together, k to each (the paper's minimum
    cost flow).

    Args:
        similarity: (epochs * m, epochs * m), of encodings, epoch after epoch.
        images: In a mixture, k.
        sources: How many images there are, at most.

    Returns:
        (n, epochs) int64, positions of encodings.
    """
    count = len(similarity) // epochs
    place = torch.arange(len(similarity))
    elsewhere = place[:, None] // count != place // count
    spread = similarity[elsewhere]
    alike = ((similarity - spread.mean()) / spread.std()).clamp(max=_MOST) * elsewhere

    def best(scores: Tensor) -> Tensor:
        return scores.reshape(len(scores), epochs, count).argmax(dim=2) + torch.arange(epochs) * count

    begun = []
    for epoch in range(min(epochs, SEEDED)):
        following = (epoch + 1) % epochs
        own = torch.arange(count) + epoch * count
        others = alike[own][:, following * count : (following + 1) * count].topk(min(images, count), dim=1).indices
        one, other = own.repeat_interleave(others.shape[1]), others.flatten() + following * count
        members = best(alike[one] + alike[other])
        members[:, epoch], members[:, following] = one, other
        begun.append(members)
    members = torch.cat(begun)
    for _ in range(_ROUNDS):
        scores = _belonging(members, alike)
        members = best(scores)
    ranked = members[scores.gather(1, members).sum(dim=1).argsort(descending=True)]
    kept = ranked[:1]
    for each in ranked[1:]:
        if len(kept) == sources:
            break
        if (kept == each).sum(dim=1).max() < epochs / 2:
            kept = torch.cat([kept, each[None]])
    for _ in range(_ROUNDS):
        for epoch in range(epochs):
            rest = torch.cat([kept[:, :epoch], kept[:, epoch + 1 :]], dim=1)
            chances = _belonging(rest, alike)[:, epoch * count : (epoch + 1) * count]
            rows, columns = linear_sum_assignment(-chances.repeat(1, images).numpy())
            kept[rows, epoch] = torch.from_numpy(columns % count) + epoch * count
    return kept


def _belonging(members: Tensor, alike: Tensor) -> Tensor:
    """Return how like its members every encoding is, (clusters, encodings)."""
    return torch.zeros(len(members), len(alike)).scatter_(1, members, 1.0) @ alike
