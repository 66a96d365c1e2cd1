"""How an extractor is trained: hybrid training, in turns (PRIC, Eq. 6 and Fig. 2).

    max over phi of ( min over psi L(C) + max over omega lambda I(x; z, u) )

In each step the extractor phi takes one step up in both terms, the bound omega one step to be tighter, and the
classifier psi some steps down in L(C). The published recipe moves all at one speed, which fools the classifier that is
trained along and no other. Two time-scales (a slow extractor against a fast classifier) protect against fresh
classifiers as well.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.learning.batches import Batches
from strategies.pric.information import Bound, new_bound
from strategies.pric.networks import Classifier, new_classifier, new_extractor

Ascent = Literal["entropy", "flipped", "uniform", "none"]
WEIGHT_DECAY = 1e-4
SMALLEST = 16
"""Sides of a picture that is tried on an extractor to see how many channels come out."""


@dataclass(frozen=True)
class Recipe:
    """How to train an extractor.

    Attributes:
        weight: Lambda: more is more utility and less privacy.
        bound: On the information: a key of `information.BOUNDS`.
        conditional: I(x; z, u); otherwise I(x; z), the ablation.
        ascent: What the extractor does about the classifier: raise its cross entropy, without limit as Eq. 6 says;
            lower its cross entropy with the opposite, or with even odds, which both have a limit; or nothing, the
            baseline.
        adversary_steps: Steps of the classifier for each of the extractor, on the latest batches.
        learning_rate, adversary_learning_rate, bound_learning_rate: Of Adam, for extractor, classifier and bound.
        warm_up, epochs: Rounds over the whole set: first all three together, extractor and classifier on the same side,
            as the follow-up does; then in turns.
        batch: Pictures per step.
    """

    weight: float = 0.5
    bound: str = "decoder"
    conditional: bool = True
    ascent: Ascent = "entropy"
    adversary_steps: int = 4
    learning_rate: float = 3e-4
    adversary_learning_rate: float = 2e-3
    bound_learning_rate: float = 1e-3
    warm_up: int = 1
    epochs: int = 8
    batch: int = 64

    @property
    def learning_rates(self) -> tuple[float, float, float]:
        """Those of extractor, classifier and bound."""
        return self.learning_rate, self.adversary_learning_rate, self.bound_learning_rate


PUBLISHED = Recipe(bound="global", adversary_steps=1, learning_rate=1e-3, adversary_learning_rate=1e-3)
"""As the paper and its follow-up have it, but for the learning rate, which is higher for small networks."""


@dataclass(frozen=True)
class Progress:
    """Where training is.

    Attributes:
        epoch: How many are over, the warm-up's included.
        cross_entropy: Of the classifier that is trained along, in nats, summed over attributes; more is more private.
        information: The bound, in nats up to a constant.
    """

    epoch: int
    cross_entropy: float
    information: float


@dataclass(frozen=True)
class Trained:
    """The three networks: what comes of training, all in evaluation mode.

    Attributes:
        extractor: E_phi.
        adversary: E_psi, which it was trained against.
        bound: E_omega.
    """

    extractor: nn.Sequential
    adversary: Classifier
    bound: Bound

    def networks(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """Return extractor, classifier and bound."""
        return self.extractor, self.adversary, self.bound

    def to(self, device: torch.device) -> "Trained":
        """Move all of them to a device, in place."""
        for network in self.networks():
            network.to(device)
        return self

    def eval(self) -> "Trained":
        """Put all of them into evaluation mode, in place."""
        for network in self.networks():
            network.eval()
        return self


def train_extractor(
    pictures: Batches,
    private: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    architecture: str = "compact",
    device: torch.device | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train an extractor that hides attributes and keeps the rest.

    Args:
        pictures: (n, 3, height, width) in 0..1; sides are multiples of 4.
        private: (n, attributes); those to hide, each 0 or 1; several are hidden at once.
        generator: On the CPU; draws weights and order.
        architecture: A key of `networks.EXTRACTORS`.
        device: Where to compute; None for the CPU.
        progress: Told as each epoch ends.

    Raises:
        ValueError: When pictures and labels differ in number, or there are fewer than two.

    Examples:
        >>> from dataclasses import replace
        >>> generator = torch.Generator().manual_seed(1)
        >>> pictures, private = torch.rand(8, 3, 16, 16, generator=generator), torch.tensor([[0], [1]] * 4)
        >>> trained = train_extractor(pictures, private, replace(PUBLISHED, epochs=1, batch=4), generator)
        >>> trained.extractor(pictures).shape
        torch.Size([8, 32, 4, 4])
    """
    if private.ndim != 2 or len(pictures) != len(private) or len(private) < 2:
        raise ValueError(f"{len(pictures)} pictures and labels of shape {tuple(private.shape)}: it takes two or more "
                         "pictures, each with a row of private attributes")  # fmt: skip
    device = device or torch.device("cpu")
    game = Game(new_players(architecture, recipe, private.shape[1], generator).to(device), recipe)
    batch = min(recipe.batch, len(private))
    for epoch in range(recipe.warm_up + recipe.epochs):
        take_step = game.together if epoch < recipe.warm_up else game.in_turns
        order = torch.randperm(len(private), generator=generator)[: len(private) // batch * batch]
        for chosen in torch.split(order, batch):
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                last = take_step(pictures[chosen].to(device), private[chosen].to(device).float())
        progress(Progress(epoch + 1, *(value.item() for value in last)))
    return game.players.eval()


def new_players(architecture: str, recipe: Recipe, private: int, generator: torch.Generator) -> Trained:
    """Return an untrained extractor, a classifier of so many private attributes and a bound, on the CPU."""
    extractor = new_extractor(architecture, generator)
    with torch.no_grad():
        channels = extractor.eval()(torch.zeros(1, 3, SMALLEST, SMALLEST)).shape[1]
    adversary = new_classifier(channels, private, generator)
    return Trained(
        extractor, adversary, new_bound(recipe.bound, channels, private, generator, conditional=recipe.conditional)
    )


class Game:
    """Three networks and their optimisers, which begin afresh.

    Args:
        players: Trained in place.
    """

    def __init__(self, players: Trained, recipe: Recipe) -> None:
        self.players, self._recipe = players, recipe
        self._latest: deque[tuple[Tensor, Tensor]] = deque(maxlen=max(recipe.adversary_steps, 1))
        rated = zip(players.networks(), recipe.learning_rates, strict=True)
        self._extractor, self._adversary, self._bound = (
            torch.optim.AdamW(network.train().parameters(), rate, weight_decay=WEIGHT_DECAY) for network, rate in rated
        )

    def together(self, pictures: Tensor, private: Tensor) -> tuple[Tensor, Tensor]:
        """Warm up: everybody makes the attributes plain and the bound tight."""
        representations = self.players.extractor(pictures)
        wrong = cross_entropy(self.players.adversary(representations), private)
        information = self.players.bound(pictures, representations, private)
        descend(wrong - information, self._extractor, self._adversary, self._bound)
        return wrong.detach(), information.detach()

    def in_turns(self, pictures: Tensor, private: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step of Eq. 6."""
        representations = self.players.extractor(pictures)
        information = self.players.bound(pictures, representations, private)
        shown = exposed(self._recipe.ascent, self.players.adversary(representations), private)
        # The classifier's gradients of this pass are dropped: it is on the other side.
        descend(shown - self._recipe.weight * information, self._extractor, self._bound)
        self._latest.append((representations.detach(), private))
        for told, labels in self._latest:
            wrong = cross_entropy(self.players.adversary(told), labels)
            descend(wrong, self._adversary)
        return wrong.detach(), information.detach()


def exposed(ascent: Ascent, logits: Tensor, private: Tensor) -> Tensor:
    """Return what an extractor lowers for privacy's sake, given what the classifier says of its representations."""
    if ascent == "none":
        return logits.new_zeros(())
    if ascent == "entropy":
        return -cross_entropy(logits, private)
    return cross_entropy(logits, 1 - private if ascent == "flipped" else torch.full_like(private, 0.5))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return L(C) of Eq. 1: the sum over attributes, and the mean over pictures."""
    return F.binary_cross_entropy_with_logits(logits, labels) * labels.shape[1]


def descend(loss: Tensor, *optimisers: torch.optim.Optimizer) -> None:
    """Take one step down with these optimisers alone; gradients of other networks are left to be dropped."""
    for optimiser in optimisers:
        optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimiser in optimisers:
        optimiser.step()
