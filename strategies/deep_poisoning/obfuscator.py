"""DeepObfuscator, the competitor: a featurizer trained against adversaries of its own (Li et al. 2019).

It protects features from the adversaries that it was trained against (arXiv 1909.04126). But where images are pooled,
every entity needs the obfuscator, and who has it can make pairs of images and features, and learn to reverse it
(`attacks.reverse`). And it serves only tasks that are known beforehand, which PRIC does not need.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import SplitNetwork
from strategies.learning.batches import Batches
from strategies.learning.fit import Plan, classification_loss
from strategies.scores.image_quality import ssim


@dataclass(frozen=True)
class DeepObfuscator:
    """What the training yields.

    Attributes:
        network: Its featurizer is the obfuscator, its decider the classifier of obfuscated features.
        reconstructor: The adversary after the image.
    """

    network: SplitNetwork
    reconstructor: Reconstructor


@dataclass(frozen=True)
class Hidden:
    """Private attributes that features are not to show.

    Attributes:
        labels: (n, attributes), each 0 or 1.
        adversary: A trained classifier of them, to start from; it is copied.
        learning_rate, steps: The adversary's learning rate, and its steps per batch: it has to be ahead of the
            obfuscator, or only this adversary is fooled.
    """

    labels: Tensor
    adversary: nn.Module
    learning_rate: float
    steps: int = 4


def train_obfuscator(
    network: SplitNetwork,
    reconstructor: Reconstructor,
    images: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan,
    *,
    weight: float = 2.0,
    hidden: Hidden | None = None,
    device: torch.device | None = None,
) -> DeepObfuscator:
    """Train obfuscator, adversaries and classifier in turns, one step each per batch.

    The obfuscator minimises L_C + weight * (SSIM(r, x) + 1 - SSIM(r, noise)), where r is the reconstruction from its
    features and the noise is one fixed image, and the cross entropy of private attributes with their opposites; then
    the reconstructor maximises SSIM(r, x), and the classifiers minimise their cross entropies. The authors use SSIM at
    several scales, which needs larger images than ours.

    Args:
        network, reconstructor: Trained ones to start from; both are copied.
        images, labels: (n, 3, height, width) in 0..1, with (n,) classes or (n, attributes).
        generator: On the CPU; draws the noise image and the order.
        plan: Its learning rate is constant.
        hidden: Private attributes to hide; None for none.

    Raises:
        ValueError: When images and labels differ in number, or there are fewer than two.
    """
    private = torch.empty(len(labels), 0) if hidden is None else hidden.labels.float()
    if not len(images) == len(labels) == len(private) >= 2:
        raise ValueError(
            f"{len(images)} images with {len(labels)} and {len(private)} labels: training needs two images or more, "
            "each with its labels"
        )
    device = device or torch.device("cpu")
    done = DeepObfuscator(copy.deepcopy(network).to(device), copy.deepcopy(reconstructor).to(device))
    obfuscator, classifier = done.network.featurizer, done.network.decider
    parts = (obfuscator, done.reconstructor, classifier)
    hiding, reconstructing, deciding = (_adam(part, plan.learning_rate) for part in parts)
    reader = None if hidden is None else _Reader(hidden, device)
    noise = torch.rand(images[torch.zeros(1, dtype=torch.int64)].shape, generator=generator).to(device)
    batch = min(plan.batch, len(labels))
    for _ in range(plan.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for chosen in torch.split(order[: len(labels) // batch * batch], batch):
            shown, classes, secret = (part[chosen].to(device) for part in (images, labels, private))
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                features = obfuscator(shown)
                guess = done.reconstructor(features)
                disclosed = ssim(guess, shown).mean() + 1 - ssim(guess, noise.expand_as(shown)).mean()
                loss = classification_loss(classifier(features), classes) + weight * disclosed
                _step(hiding, loss if reader is None else loss + reader.loss(features, 1 - secret))
                features = features.detach()
                _step(reconstructing, 1 - ssim(done.reconstructor(features), shown).mean())
                _step(deciding, classification_loss(classifier(features), classes))
                if reader is not None:
                    reader.learn(features, secret)
    done.network.eval()
    done.reconstructor.eval()
    return done


class _Reader:
    """The adversary after private attributes, in training."""

    def __init__(self, hidden: Hidden, device: torch.device) -> None:
        self._network = copy.deepcopy(hidden.adversary).to(device)
        self._optimiser = _adam(self._network, hidden.learning_rate)
        self._steps = hidden.steps

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return its cross entropy with labels."""
        return classification_loss(self._network(features), labels)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Take its steps on a batch."""
        for _ in range(self._steps):
            _step(self._optimiser, self.loss(features, labels))


def _adam(part: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(part.requires_grad_(True).train().parameters(), learning_rate)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
