"""Membership inference: whether a picture was in the training set, and how well attacks tell.

The attacker holds the model and candidate pictures with their labels, and scores each: more for more likely a member.
Only `membership` knows the members.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from strategies.learning.batches import apply

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Membership:
    """How well scores tell members from others.

    Attributes:
        auc: Area under the ROC curve; .5 for guessing.
        advantage: TPR - FPR on one half of the candidates, at the threshold that is best on the other half, the mean of
            both ways.
        margin: Of the advantage, with 95 % confidence.
        at_low_false_positives: TPR at a false-positive rate of 1 % (Carlini et al. 2022).
        right: (n,) bool; which candidates are told rightly at these thresholds.
        caught: (n,) bool; which are above the threshold of that false-positive rate.
    """

    auc: float
    advantage: float
    margin: float
    at_low_false_positives: float
    right: NDArray[np.bool_]
    caught: NDArray[np.bool_]


def membership(scores: Scores, members: NDArray[np.bool_], generator: np.random.Generator) -> Membership:
    """Compare scores with the truth.

    Args:
        scores: (n,)
        members: (n,), at least four members and four others.
        generator: Splits the candidates.

    Raises:
        ValueError: When there are fewer, or a score is not a number.

    Examples:
        >>> found = membership(np.arange(400.0), np.arange(400) >= 200, np.random.default_rng(1))
        >>> found.auc, found.advantage > 0.95
        (1.0, True)
    """
    if min(members.sum(), (~members).sum()) < 4 or np.isnan(scores).any():
        raise ValueError(
            f"{members.sum()} members and {(~members).sum()} others: 4 of each are needed, with numbers as scores"
        )
    halves = np.zeros(len(scores), dtype=bool)
    for kind in (members, ~members):
        places = generator.permutation(np.flatnonzero(kind))
        halves[places[: len(places) // 2]] = True
    found, right = [], np.zeros(len(scores), dtype=bool)
    for chosen in (halves, ~halves):
        false, true, limits = roc_curve(members[chosen], scores[chosen])
        taken = scores[~chosen] >= limits[np.argmax(true - false)]
        inside = members[~chosen]
        right[~chosen] = taken == inside
        found.append(taken[inside].mean() - taken[~inside].mean())
    false, true, limits = roc_curve(members, scores, drop_intermediate=False)
    least = limits[false <= 0.01].min()
    spread = math.sqrt(1 / (4 * members.sum()) + 1 / (4 * (~members).sum()))
    return Membership(
        auc=float(roc_auc_score(members, scores)),
        advantage=float(np.mean(found)),
        margin=float(ndtri(0.975)) * spread,
        at_low_false_positives=float(true[false <= 0.01].max()),
        right=right,
        caught=scores >= least,
    )


def by_loss(network: nn.Module, inputs: Tensor, labels: Tensor) -> Scores:
    """Score candidates by their loss, which is lower for training examples (Yeom et al. 2018)."""
    losses = F.cross_entropy(apply(inputs, network), labels, reduction="none")
    scores: Scores = -losses.double().numpy()
    return scores


def by_shadow_models(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    shadows: Sequence[tuple[nn.Module, NDArray[np.bool_]]],
    known: tuple[Tensor, Tensor],
) -> Scores:
    """Score candidates by a classifier that has seen members of other models (Shokri et al. 2017).

    Args:
        inputs, labels: (n, ...) float32 and (n,) int64, the candidates.
        shadows: Pairs (model, (k,)): models like this one, each with which of the `known` pictures it was trained on.
        known: (k, ...) float32 and (k,) int64; pictures of the attacker's own, and their labels.
    """
    features = np.concatenate([_answers(shadow, *known) for shadow, _ in shadows])
    inside = np.concatenate([members for _, members in shadows])
    attack = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(features, inside)
    scores: Scores = attack.decision_function(_answers(network, inputs, labels))
    return scores


def by_likelihood_ratio(
    seen: NDArray[np.float64], confidences: NDArray[np.float64], inside: NDArray[np.bool_]
) -> Scores:
    """Score candidates by how likely the model's confidence is with, and without them (LiRA, Carlini et al. 2022).

    The attacker trains models with each candidate and without it; logit-scaled confidences are taken for Gaussian, with
    one variance for all candidates, as the paper advises for few models.

    Args:
        seen: (n,), the model's confidences in the candidates.
        confidences: (k, n), those of the attacker's models.
        inside: (k, n), which candidates each of them was trained on; every candidate in some and not in others.

    Raises:
        ValueError: When a candidate is in all of them, or in none.
    """
    if inside.all(0).any() or not inside.any(0).all():
        raise ValueError("every candidate has to be in some of the shadow models and not in others")
    means, spreads = [], []
    for kind in (inside, ~inside):
        mean = np.where(kind, confidences, 0).sum(0) / kind.sum(0)
        means.append(mean)
        spreads.append(np.sqrt(((confidences - mean) ** 2)[kind].mean()) + 1e-6)
    likelihoods = [
        -(((seen - mean) / spread) ** 2) / 2 - math.log(spread) for mean, spread in zip(means, spreads, strict=True)
    ]
    scores: Scores = likelihoods[0] - likelihoods[1]
    return scores


def by_relative_likelihood(
    seen: NDArray[np.float64],
    confidences: NDArray[np.float64],
    others_seen: NDArray[np.float64],
    others_confidences: NDArray[np.float64],
) -> Scores:
    """Score candidates by how many other pictures gain less in the model than they do (RMIA, Zarifzadeh et al. 2024).

    What a picture gains is its probability in the model, divided by the mean of those in reference models. The score is
    the share of pictures of the population that gain less; where it is the same, who gains more comes first.

    Args:
        seen, confidences: (n,) and (k, n), as for `by_likelihood_ratio`.
        others_seen, others_confidences: (m,) and (k, m), the same for pictures that no model was trained on.

    Examples:
        >>> one, others = np.array([2.0, -1.0]), np.array([0.0, 0.5])
        >>> by_relative_likelihood(one, np.array([[0.0, 0.0]]), others, np.array([[0.0, 0.5]])).round(1).tolist()
        [1.0, 0.0]
    """
    gains, others = (
        expit(model) / expit(references).mean(0)
        for model, references in ((seen, confidences), (others_seen, others_confidences))
    )
    scores: Scores = np.searchsorted(np.sort(others), gains) / len(others) + 1e-6 * gains
    return scores


def halves(count: int, size: int, generator: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Draw the pictures that shadow models are trained on: random halves, in pairs of opposites.

    Args:
        count: How many halves.
        size: How many pictures there are.

    Returns:
        Each (size,): which are inside.
    """
    found: list[NDArray[np.bool_]] = []
    for number in range(count):
        inside = np.zeros(size, dtype=bool)
        if number % 2:
            inside = ~found[-1]
        else:
            inside[generator.permutation(size)[: size // 2]] = True
        found.append(inside)
    return found


def _answers(network: nn.Module, inputs: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return the inputs of the attack model: confidence in the label, entropy, and the gap to the next class."""
    chances = apply(inputs, network).double().softmax(1)
    ordered = chances.sort(1, descending=True).values
    entropy = -(chances * chances.clamp(min=1e-12).log()).sum(1)
    right = confidence(network, inputs, labels)
    return np.stack([right, entropy.numpy(), (ordered[:, 0] - ordered[:, 1]).numpy()], axis=1)


def confidence(network: nn.Module, inputs: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of the true class (Carlini et al. 2022, section IV.C)."""
    logits = apply(inputs, network).double()
    right = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    found: NDArray[np.float64] = (right - others).numpy()
    return found
