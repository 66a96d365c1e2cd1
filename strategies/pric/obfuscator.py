"""DeepObfuscator, for tasks that are known beforehand: the authors' earlier work (Li et al. 2019, arXiv 1909.04126).

In place of the information bound it keeps what a classifier of the known tasks needs, and it hides the picture as well,
from a reconstructor that is trained along. What other tasks would need it may lose: so PRIC.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strategies.deep_poisoning.reconstructor import PUBLISHED, Reconstructor, new_reconstructor
from strategies.learning.batches import Batches
from strategies.pric.networks import SCALE, Classifier, new_classifier, new_extractor
from strategies.pric.training import WEIGHT_DECAY, Recipe, cross_entropy, descend, exposed
from strategies.scores.image_quality import ssim


@dataclass(frozen=True)
class Obfuscated:
    """What comes of training, all in evaluation mode.

    Attributes:
        classifier: Of the known tasks.
        adversary: Of the private attributes.
        reconstructor: The other adversary.
    """

    extractor: nn.Sequential
    classifier: Classifier
    adversary: Classifier
    reconstructor: Reconstructor

    def networks(self) -> tuple[nn.Module, ...]:
        """Return all four."""
        return self.extractor, self.classifier, self.adversary, self.reconstructor


def train_obfuscator(
    pictures: Batches,
    private: Tensor,
    tasks: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    disclosure: float = 1.0,
    architecture: str = "compact",
    device: torch.device | None = None,
) -> Obfuscated:
    """Train an extractor that serves known tasks, and hides attributes and the picture.

    Per batch, the extractor and the tasks' classifier take one step down in
    weight L(tasks) - L(private) + disclosure (SSIM(r, x) + 1 - SSIM(r, noise)), where r is what the reconstructor
    paints and the noise is one fixed image; then the reconstructor takes one step up in SSIM(r, x), and the adversary
    some down in L(private). The authors use SSIM at several scales, which takes larger images.

    Args:
        pictures: (n, 3, height, width) in 0..1, 11 pixels wide and high at least; sides are multiples of 4.
        private, tasks: (n, attributes), (n, tasks), each 0 or 1.
        recipe: Its bound is of no consequence: the tasks are in its place, with its rate and weight.
        generator: On the CPU; draws weights, noise and order.
        disclosure: How much it counts that the picture is hidden; 0: it is not.
        architecture: A key of `networks.EXTRACTORS`.
        device: Where to compute; None for the CPU.

    Raises:
        ValueError: When pictures and labels differ in number, or there are fewer than two.
    """
    if not len(pictures) == len(private) == len(tasks) >= 2:
        raise ValueError(f"{len(pictures)} pictures with {len(private)} and {len(tasks)} rows of labels: it takes two "
                         "pictures or more, each with a row of both")  # fmt: skip
    device = device or torch.device("cpu")
    extractor = new_extractor(architecture, generator)
    one = pictures[torch.zeros(1, dtype=torch.int64)]
    with torch.no_grad():
        channels = extractor.eval()(one).shape[1]
    players = Obfuscated(
        extractor,
        new_classifier(channels, tasks.shape[1], generator),
        new_classifier(channels, private.shape[1], generator),
        new_reconstructor(PUBLISHED, channels, SCALE, generator),
    )
    noise = torch.rand(one.shape, generator=generator).to(device)
    extractor_rate, adversary_rate, bound_rate = recipe.learning_rates
    rates = (extractor_rate, bound_rate, adversary_rate, adversary_rate)
    slow, serving, reading, painting = (
        torch.optim.AdamW(network.to(device).train().parameters(), rate, weight_decay=WEIGHT_DECAY)
        for network, rate in zip(players.networks(), rates, strict=True)
    )
    latest: deque[tuple[Tensor, Tensor]] = deque(maxlen=recipe.adversary_steps)
    batch = min(recipe.batch, len(private))
    for epoch in range(recipe.warm_up + recipe.epochs):
        warming = epoch < recipe.warm_up
        order = torch.randperm(len(private), generator=generator)[: len(private) // batch * batch]
        for chosen in torch.split(order, batch):
            shown, hidden, wanted = (part[chosen].to(device) for part in (pictures, private.float(), tasks.float()))
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                told = players.extractor(shown)
                served = recipe.weight * cross_entropy(players.classifier(told), wanted)
                if not warming:
                    painted = players.reconstructor(told)
                    seen = ssim(painted, shown).mean() + 1 - ssim(painted, noise.expand_as(shown)).mean()
                    served = served + disclosure * seen + exposed(recipe.ascent, players.adversary(told), hidden)
                descend(served, slow, serving)
                descend(1 - ssim(players.reconstructor(told.detach()), shown).mean(), painting)
                latest.append((told.detach(), hidden))
                for representations, labels in latest:
                    descend(cross_entropy(players.adversary(representations), labels), reading)
    for network in players.networks():
        network.eval()
    return players
