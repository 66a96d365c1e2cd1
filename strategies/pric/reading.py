"""What can be read from representations: by a collector, for its tasks, and by an attacker, for what is private.

Both train a fresh classifier: the accuracy of the classifier that the extractor was trained against says nothing about
protection. Accuracy alone says little as well: the majority class is a baseline, and tasks may reveal a private
attribute by themselves. So there are two floors below which no extractor can go: `majority`, and `task_induced`, unless
the tasks suffer.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from strategies.deep_poisoning.training import train_decider
from strategies.learning.batches import Batches, Mirrored, apply
from strategies.learning.fit import Plan
from strategies.pric.networks import Classifier, new_classifier

READING = Plan(epochs=10, batch=64, learning_rate=5e-3)
DEEP = Plan(epochs=4, batch=64, learning_rate=3e-3)


def train_reader(
    representations: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan = READING,
    *,
    strength: str = "plain",
    device: torch.device | None = None,
) -> Classifier:
    """Train a fresh classifier on representations whose attributes are known.

    Args:
        representations: (n, channels, h, w).
        labels: (n, attributes), each 0 or 1.
        generator: On the CPU; draws weights and order.
        strength: "plain", as that which the extractor was trained against, or "strong" or "deep", which are larger.

    Raises:
        ValueError: When representations and labels differ in number, or there are fewer than two.
    """
    channels = representations[torch.zeros(1, dtype=torch.int64)].shape[1]
    fresh = new_classifier(channels, labels.shape[1], generator, strength)
    trained = train_decider(fresh, representations, labels, generator, plan, device=device)
    assert isinstance(trained, Classifier)
    return trained


def train_deep_reader(
    representations: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan = DEEP,
    *,
    budget: int = 1,
    device: torch.device | None = None,
) -> Classifier:
    """Train a deeper classifier, on mirrored representations as well; its answers are `read_both_ways`.

    Args:
        representations, labels, generator: See `train_reader`.
        budget: How many times as long to train.
    """
    longer = replace(plan, epochs=budget * plan.epochs)
    return train_reader(
        Mirrored(representations), labels.repeat(2, 1), generator, longer, strength="deep", device=device
    )


def read_both_ways(reader: Classifier, representations: Tensor) -> NDArray[np.float64]:
    """Return the logits (n, attributes) of what a classifier reads, the mean over both mirror images."""
    return (read(reader, representations) + read(reader, representations.flip(3))) / 2


def read(reader: Classifier, representations: Batches) -> NDArray[np.float64]:
    """Return the logits (n, attributes) of what a classifier reads."""
    return np.asarray(apply(representations, reader).double().numpy())


@dataclass(frozen=True)
class Read:
    """How well one attribute was inferred, or guessed.

    Attributes:
        balanced: Balanced accuracy, .5 for a guess; an answer is positive when it is likelier than the attribute's
            frequency.
        auc: Area under the ROC curve: over all thresholds; .5 for a guess.
    """

    accuracy: float
    balanced: float
    auc: float


def scored(logits: NDArray[np.float64], truth: NDArray[np.bool_], frequency: float) -> Read:
    """Score what was read of one attribute.

    Args:
        logits: (n,)
        truth: (n,), with both values.
        frequency: Of the attribute where the reader learned, inside 0..1.

    Raises:
        ValueError: When the truth has one value alone.

    Examples:
        >>> scored(np.array([-3.0, -2.0, -1.0, 0.5]), np.array([False, False, True, True]), 0.2)
        Read(accuracy=0.75, balanced=1.0, auc=1.0)
    """
    if truth.all() or not truth.any():
        raise ValueError(f"all {len(truth)} pictures have the same value of the attribute, which allows no score")
    said = logits > np.log(frequency / (1 - frequency))
    return Read(
        accuracy=float(((logits > 0) == truth).mean()),
        balanced=float((said[truth].mean() + (~said[~truth]).mean()) / 2),
        auc=float(roc_auc_score(truth, logits)),
    )


def majority(truth: NDArray[np.bool_]) -> Read:
    """Score the majority-class baseline: always the more frequent value."""
    frequency = float(truth.mean())
    return Read(max(frequency, 1 - frequency), 0.5, 0.5)


def task_induced(
    known_tasks: NDArray[np.bool_],
    known_private: NDArray[np.bool_],
    tasks: NDArray[np.bool_],
    private: NDArray[np.bool_],
) -> Read:
    """Score the guess from the tasks' labels alone, which no extractor can hide while the tasks stay accurate.

    For each combination of labels it goes by how frequent the private attribute was with it (one half of each value
    is added to every combination).

    Args:
        known_tasks, tasks: (n, tasks), (m, tasks); labels, or what was read of them; at most 16 tasks.
        known_private, private: (n,), (m,)

    Raises:
        ValueError: When there are more than 16 tasks.

    Examples:
        >>> makeup = np.array([[True], [True], [False], [False]])
        >>> smiling = np.array([False, False, True, True])
        >>> task_induced(makeup, smiling, makeup, smiling).auc
        1.0
    """
    if tasks.shape[1] > 16:
        raise ValueError(f"combinations of at most 16 tasks are counted, not of {tasks.shape[1]}")
    powers = 1 << np.arange(tasks.shape[1])
    met, counts = (
        np.bincount(known_tasks @ powers, weights=weights, minlength=2 ** tasks.shape[1])
        for weights in (known_private.astype(float), np.ones(len(known_private)))
    )
    share = (met + 0.5) / (counts + 1)
    found = share[tasks @ powers]
    return scored(np.log(found / (1 - found)), private, float(known_private.mean()))
