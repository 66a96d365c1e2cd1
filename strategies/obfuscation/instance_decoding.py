"""The break of InstaHide: images out of encodings whose signs were flipped at random.

Carlini et al. 2020, "Is Private Learning Possible with Instance Encoding?". Flipped signs hide nothing but the sign, so

1. a network learns from public images which encodings share one, and encodings are clustered by image
   (`instance_similarity`);
2. absolute values of mixtures are a system of equations, whose unknown signs make it hard to start: a second network
   guesses each image from the absolute values of its cluster, as it learned on public images. The paper starts at
   random and has fifty encodings of each image; the guess does with ten;
3. gradients from there give the images, and the weights of every mixture, that explain the absolute values best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.learning.fit import Descent
from strategies.learning.initialise import built
from strategies.obfuscation.instance_similarity import Draw, clusters, mixed, similarities, train_similarity
from strategies.obfuscation.reconstruction import LEARNING_RATE, UNet
from strategies.obfuscation.unmixing import Unmixed
from strategies.pixels import centred, to_pixels

BATCH = 16
"""Clusters in a step of training of the guesser."""
PURE = 0.85
"""Of a cluster, what part is taken to be right as the guesser learns."""
TRUST = 0.05
"""How much a solution costs that differs from the guess, against one that does not explain the encodings."""
QUANTILES = 5
_SOLVED, _PIXELS_RATE, _WEIGHTS_RATE = 150, 0.01, 0.02


@dataclass(frozen=True)
class Effort:
    """Steps of training: of the network that compares encodings, and of the one that guesses images."""

    comparing: int = 400
    guessing: int = 250


def decode(
    epochs: Sequence[Tensor],
    public: Tensor,
    sources: int,
    draw: Draw,
    generator: torch.Generator,
    effort: Effort = Effort(),
) -> Unmixed:
    """Recover original images from epochs of encodings in which every image is used once.

    Args:
        epochs: Each (m, 3, height, width) uint8; the encodings of two or more epochs, in any order within each; sides
            are multiples of 4.
        public: (n, 3, height, width) uint8, images like the owner's.
        sources: How many images there are, at most.
        draw: Gives the weights of so many mixtures, as the owner draws them.
        generator: On the CPU.

    Returns:
        Pictures of the images that were told apart, and of which of them each encoding is taken to be; -1: of none.

    Raises:
        ValueError: When there is one epoch alone, epochs differ in size, or there are too few public images.
    """
    if len(epochs) < 2 or len({len(each) for each in epochs}) > 1:
        raise ValueError(f"decoding takes two epochs or more of one size, not {[len(each) for each in epochs]}")
    images = draw(1).shape[1]
    encodings, known = centred(torch.cat(list(epochs))).abs(), centred(public)
    network = train_similarity(known, draw, generator, effort.comparing)
    members = clusters(similarities(network, encodings), len(epochs), images, sources)
    guesser = train_guesser(known, len(epochs), draw, generator, effort.guessing)
    guessed = guess(guesser, encodings, members)
    groups = _groups(members, len(encodings), images)
    solved = solve(encodings.flatten(1), groups, guessed.flatten(1)).reshape(guessed.shape)
    return Unmixed(to_pixels(solved.add(1).mul(127.5)), groups)


def seen(encodings: Tensor) -> Tensor:
    """Return what does not depend on the order of a cluster's encodings: mean, deviation and quantiles by pixel.

    Args:
        encodings: (n, members, 3, height, width), absolute values.

    Returns:
        (n, channels, height, width), the mean first.
    """
    ordered = encodings.sort(dim=1).values
    places = torch.linspace(0, encodings.shape[1] - 1, QUANTILES).round().long().tolist()
    return torch.cat([ordered.mean(1), ordered.std(1), *(ordered[:, place] for place in places)], dim=1)


def train_guesser(public: Tensor, members: int, draw: Draw, generator: torch.Generator, steps: int) -> UNet:
    """Learn from public images to guess an image from a cluster's encodings; some are of other images (`PURE`)."""
    network = built(lambda: UNet(3 * (2 + QUANTILES)), generator, mode="fan_in", layout=torch.contiguous_format)
    nn.init.zeros_(network.head.weight)
    descent = Descent(network, steps, LEARNING_RATE)

    def loss() -> Tensor:
        weights = draw(BATCH * members)
        drawn = torch.randint(len(public), (BATCH, members, weights.shape[1]), generator=generator)
        right = torch.rand(BATCH, members, generator=generator) < PURE
        drawn[..., 0] = torch.where(right, drawn[:, :1, 0], drawn[..., 0])
        encodings = mixed(public[drawn.flatten(0, 1)], weights).abs()
        encodings = encodings.reshape(BATCH, members, *public.shape[1:])
        return F.l1_loss(network(seen(encodings)), public[drawn[:, 0, 0]])

    network.train()
    for _ in range(steps):
        descent.step(loss)
    return network.eval()


@torch.inference_mode()
def guess(guesser: UNet, encodings: Tensor, members: Tensor) -> Tensor:
    """Guess the image of every cluster, (n, 3, height, width) in about -1..1."""
    return torch.cat([guesser(seen(encodings[some])) for some in torch.split(members, BATCH)])


def solve(values: Tensor, groups: Tensor, guessed: Tensor) -> Tensor:
    """Find the images, and weights, whose mixtures have these absolute values, near what was guessed.

    Args:
        values: (m, pixels), absolute values of mixtures.
        groups: (m, k) int64, which images each is of; -1: of one that is not among them.
        guessed: (n, pixels), where the search begins.

    Returns:
        (n, pixels) in -1..1.
    """
    images = guessed.clone().requires_grad_()
    logits = torch.zeros(groups.shape).requires_grad_()
    present, places = groups >= 0, groups.clamp(min=0)
    optimiser = torch.optim.Adam([{"params": [images], "lr": _PIXELS_RATE}, {"params": [logits], "lr": _WEIGHTS_RATE}])
    for _ in range(_SOLVED):
        weights = logits.softmax(dim=1) * present
        parts = [images[places[:, role]] * weights[:, role, None] for role in range(groups.shape[1])]
        mixture = torch.stack(parts).sum(dim=0)
        loss = (mixture.abs() - values).abs().mean() + TRUST * (images - guessed).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return images.detach().clamp_(-1, 1)


def _groups(members: Tensor, encodings: int, images: int) -> Tensor:
    """Return which clusters each encoding belongs to, (encodings, images), -1 where it lacks one."""
    groups = torch.full((encodings, images), -1)
    filled = [0] * encodings
    for cluster, held in enumerate(members.tolist()):
        for encoding in held:
            if filled[encoding] < images:
                groups[encoding, filled[encoding]] = cluster
                filled[encoding] += 1
    return groups
