"""Attacks on poisoned features: images, and attributes that were not published.

Every attack is a function of what the attacker has: published networks, public or own images, features from the pool,
and for one of them leaked pairs. None sees the originals; scoring does (`image_quality.disclosure`).

The simplest is no function here: the published reconstructor, or one of another design that the attacker trained on
public images (`training.train_reconstructor` with one of `reconstructor.UNSEEN`), is applied to the features
(`reconstructed`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strategies.deep_poisoning.reconstructor import PUBLISHED, Reconstructor
from strategies.deep_poisoning.training import train_decider, train_reconstructor
from strategies.learning.batches import Batches, Joined, apply
from strategies.learning.fit import UNWATCHED, Plan, Watch


def reconstructed(reconstructor: Reconstructor, features: Batches) -> Tensor:
    """Turn (n, channels, h, w) features into (n, 3, height, width) images in 0..1, on the CPU."""
    return apply(features, reconstructor)


def reverse(
    featurizer: nn.Module,
    public_images: Batches,
    generator: torch.Generator,
    plan: Plan,
    *,
    design: str = PUBLISHED,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> Reconstructor:
    """Learn to reverse a featurizer that the attacker holds, as a black box: why DeepObfuscator fails in a pool.

    Section 4.2.3, Table 4, columns "image sharing".

    Args:
        featurizer: What everybody shares: the featurizer, or an obfuscator in its place.
        public_images: (n, 3, height, width) in 0..1, of anything.
    """
    features = apply(public_images, featurizer.to(device or torch.device("cpu")))
    return train_reconstructor(features, public_images, generator, plan, design=design, device=device, watch=watch)


def from_leaked_pairs(
    published: Reconstructor,
    features: Tensor,
    images: Tensor,
    generator: torch.Generator,
    *,
    steps: int = 300,
    batch: int = 64,
    learning_rate: float = 1e-3,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> Reconstructor:
    """Learn to reverse one entity's secret module from pairs that leaked. The paper's "denied" supposes that none do.

    Args:
        published: To start from; it is copied. With fewer than two pairs it is returned.
        features: (n, channels, h, w); poisoned, by the entity's module.
        images: (n, 3, height, width); their originals, in 0..1.
        steps, batch, learning_rate: Least number of steps, largest number of pairs in each, highest learning rate.

    Raises:
        ValueError: When there are not as many features as images.
    """
    if len(features) != len(images):
        raise ValueError(f"{len(features)} features but {len(images)} images")
    if len(images) < 2:
        return published
    plan = Plan.lasting(steps, len(images), batch, learning_rate)
    return train_reconstructor(features, images, generator, plan, start=published, device=device, watch=watch)


def from_modules(
    modules: Sequence[nn.Module],
    features: Batches,
    images: Batches,
    generator: torch.Generator,
    plan: Plan,
    *,
    start: Reconstructor | None = None,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> Reconstructor:
    """Learn to reverse modules of the attacker's own; it may transfer to those of others.

    The attacker trains them as entities train theirs (`training.train_poisoning`), or so that what they make of its
    features has the statistics of what it found in the pool (`alignment.aligned_module`).

    Args:
        features, images: The attacker's own: phi_1 x, and x in 0..1.
        plan: Of the reconstructor, on the features of all modules together.
        start: A reconstructor to start from; None: a new one.

    Raises:
        ValueError: When there is not at least one module.
    """
    if not modules:
        raise ValueError("there is no module to reverse")
    poisoned = torch.cat([apply(features, module.to(device or torch.device("cpu"))) for module in modules])
    return train_reconstructor(
        poisoned, Joined([images] * len(modules)), generator, plan, start=start, device=device, watch=watch
    )


def inferred(
    recogniser: nn.Module,
    known_features: Batches,
    known_labels: Tensor,
    features: Batches,
    generator: torch.Generator,
    plan: Plan,
    *,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> Tensor:
    """Infer labels, or private attributes, from features without the images.

    The attacker trains a recogniser on features whose labels it knows, of its own or public images, clean, poisoned by
    modules of its own, or leaked, and applies it to the features that it is after.

    Args:
        recogniser: An untrained decider with one output per class or attribute; it is copied.
        known_features, known_labels: (m, channels, h, w), and (m,) classes or (m, attributes).
        features: (n, channels, h, w), from the pool.

    Returns:
        (n,) int64 or (n, attributes) bool; the inferred classes, or attributes.
    """
    trained = train_decider(recogniser, known_features, known_labels, generator, plan, device=device, watch=watch)
    logits = apply(features, trained)
    return logits.argmax(1) if known_labels.ndim == 1 else logits > 0
