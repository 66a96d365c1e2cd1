"""DeepObfuscator, the competitor: a featurizer trained against a reconstructor of its own (Li et al. 2019).

It protects features from the reconstructor that it was trained against (arXiv 1909.04126). But where images are pooled,
every entity needs the obfuscator, and who has it can make pairs of images and features, and learn to reverse it
(`attacks.reverse`).
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
class Obfuscated:
    """What comes of the training.

    Attributes:
        network: Its featurizer is the obfuscator, its decider the classifier of obfuscated features.
        adversary: What the obfuscator was trained against.
    """

    network: SplitNetwork
    adversary: Reconstructor


def train_obfuscator(
    network: SplitNetwork,
    reconstructor: Reconstructor,
    images: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan,
    *,
    weight: float = 2.0,
    device: torch.device | None = None,
) -> Obfuscated:
    """Train obfuscator, classifier and adversary in turns, one step each per batch.

    The obfuscator minimises L_C + weight * (SSIM(r, x) + 1 - SSIM(r, noise)), where r is what the adversary makes of
    its features and the noise is one fixed image; then the adversary maximises SSIM(r, x), and the classifier minimises
    L_C. The authors use SSIM at several scales, which needs larger images than ours, and an adversary for private
    attributes as well, which is not here.

    Args:
        network, reconstructor: Trained ones to start from; both are copied.
        images, labels: (n, 3, height, width) in 0..1, with (n,) classes or (n, attributes).
        generator: On the CPU; draws the noise image and the order.
        plan: Its rate is constant.

    Raises:
        ValueError: When images and labels differ in number, or there are fewer than two.
    """
    if len(images) != len(labels) or len(labels) < 2:
        raise ValueError(f"{len(images)} images and {len(labels)} labels: it takes two images, each with its label")
    device = device or torch.device("cpu")
    network, adversary = copy.deepcopy(network).to(device), copy.deepcopy(reconstructor).to(device)
    obfuscator, classifier = network.featurizer, network.decider
    parts: list[nn.Module] = [obfuscator, adversary, classifier]
    optimisers = [
        torch.optim.Adam(part.requires_grad_(True).train().parameters(), plan.learning_rate) for part in parts
    ]
    noise = torch.rand(images[torch.zeros(1, dtype=torch.int64)].shape, generator=generator).to(device)
    batch = min(plan.batch, len(labels))

    def step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    for _ in range(plan.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for chosen in torch.split(order[: len(labels) // batch * batch], batch):
            shown, classes = images[chosen].to(device), labels[chosen].to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                features = obfuscator(shown)
                guess = adversary(features)
                disclosed = ssim(guess, shown).mean() + 1 - ssim(guess, noise.expand_as(shown)).mean()
                step(optimisers[0], classification_loss(classifier(features), classes) + weight * disclosed)
                features = features.detach()
                step(optimisers[1], 1 - ssim(adversary(features), shown).mean())
                step(optimisers[2], classification_loss(classifier(features), classes))
    return Obfuscated(network.eval(), adversary.eval())
