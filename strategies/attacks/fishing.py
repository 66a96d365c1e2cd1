r"""Fishing: a malicious server changes the last layer so that one picture's gradient is all that remains of many.

After Wen et al. 2022, "Fishing for User Data in Large-Batch Federated Learning via Gradient Magnification" (feature
fishing). The body of the network stays as it is:

1. The head compares a direction of the features with a threshold, steeply: the gradient of the loss with respect to the
   logit is :math:`[f > t] - y` for feature f and label y, for every picture that is not right at the threshold.
2. The server asks again with other thresholds. The label cancels in the difference of two answers: what remains are the
   pictures with a feature between both, and the last bias says how many these are.
3. Of a single picture the last layer's gradient has all features, and the body's is that of one picture, magnified. The
   search of gradient inversion does the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from strategies.attacks.gradient_inversion import search
from strategies.learning.group_normalised import GroupNormalisedClassifier
from strategies.learning.weights import Weights

_STEEP = 1000.0
"""How many times as steep as the feature's standard deviation the comparison is."""
_ALONE = 0.1
_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True)
class Bait:
    """The feature that pictures are told apart by.

    Attributes:
        direction: (features,), of what the last layer takes.
        limits: Thresholds, ascending.
        steep: Of the comparison.
    """

    direction: Tensor
    limits: Tensor
    steep: float

    def weights(self, like: Weights, threshold: float) -> Weights:
        """Return the network's weights, with the last layer changed; it has two classes."""
        baited = {name: value.clone() for name, value in like.items()}
        head, bias = (baited[name].zero_() for name in _HEAD)
        head[1], bias[1] = self.steep * self.direction, -self.steep * threshold
        return baited


def learning_rate(pictures: int) -> float:
    """Return the rate at which a step on so many pictures is asked for: what one contributes is not lost in rounding.

    Examples:
        >>> learning_rate(60)
        60.0
    """
    return float(pictures)


@torch.no_grad()
def bait(network: GroupNormalisedClassifier, public: Tensor, bins: int, top: float = 1.0) -> Bait:
    """Choose the direction in which features of public pictures differ most, and limits of equally likely bins.

    Args:
        public: (n, 3, height, width), inputs of the same kind.
        top: The share of pictures with the largest feature, which bins are for.
    """
    features = network.convolutions(public)
    direction = torch.linalg.svd(features - features.mean(0), full_matrices=False).Vh[0]
    direction = direction * direction[direction.abs().argmax()].sign()  # the sign of a singular vector is anybody's
    values = features @ direction
    spread = float(values.std())
    limits = torch.quantile(values, torch.linspace(1 - top, 1, bins + 1))
    limits[0] -= 3 * spread if top == 1.0 else 0.0
    limits[-1] += 3 * spread
    return Bait(direction, limits, _STEEP / spread)


@torch.no_grad()
def feature(network: GroupNormalisedClassifier, inputs: Tensor, direction: Tensor) -> Tensor:
    """Return the feature that limits are compared with, (n,)."""
    found: Tensor = network.convolutions(inputs) @ direction
    return found


@dataclass(frozen=True)
class Catch:
    """The gradient of one picture.

    Attributes:
        bin: Between which limits its feature lies.
        features: (features,), all that the last layer takes.
        gradient: Of its feature, for every parameter of the body, in any unit.
    """

    bin: int
    features: Tensor
    gradient: list[Tensor]


def caught(like: Weights, chosen: Bait, answers: Sequence[Weights], pictures: int) -> list[Catch]:
    """Find the bins that hold one picture.

    Args:
        like: The weights of the network, whose last layer does not matter.
        answers: For each limit the model after one step on all pictures, at their `learning_rate`.
        pictures: How many the step was taken on.
    """
    scale = pictures / learning_rate(pictures)
    steps = [
        {name: (value - answer[name]).double() * scale for name, value in sent.items()}
        for sent, answer in zip((chosen.weights(like, limit) for limit in chosen.limits.tolist()), answers, strict=True)
    ]
    found = []
    for place, (one, other) in enumerate(pairwise(steps)):
        apart = {name: one[name] - other[name] for name in one}
        if abs(float(apart["head.bias"][1]) - 1) < _ALONE:
            body = [value.float() for name, value in apart.items() if name not in _HEAD]
            found.append(Catch(place, apart["head.weight"][1].float(), body))
    return found


def land(
    network: GroupNormalisedClassifier,
    chosen: Bait,
    catch: Catch,
    shape: tuple[int, int, int],
    generator: torch.Generator,
    steps: int = 400,
) -> Tensor:
    """Search the picture that has these features and this gradient, (3, height, width) in -1..1."""
    parameters: dict[str, Tensor] = dict(network.convolutions.named_parameters())

    def unlike(guess: Tensor) -> Tensor:
        features = functional_call(network.convolutions, parameters, (guess,))
        gradient = torch.autograd.grad(
            (features @ chosen.direction).sum(), list(parameters.values()), create_graph=True
        )
        return 2 - _cosine([features[0]], [catch.features]) - _cosine(list(gradient), catch.gradient)

    guess = 0.1 * torch.randn(1, *shape, generator=generator)
    return search(unlike, guess, steps)[0]


def _cosine(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    one, other = (torch.cat([part.flatten() for part in parts]) for parts in (found, wanted))
    return nn.functional.cosine_similarity(one, other, dim=0)
