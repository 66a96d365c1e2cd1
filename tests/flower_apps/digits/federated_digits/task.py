"""The model and its data."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

CLASSES, PIXELS = 10, 64


@cache
def digits():
    """Return all digits: images of 64 pixels, 0 to 1, and labels."""
    images, labels = load_digits(return_X_y=True)
    return images / 16, labels


def load_data(partition: int, partitions: int):
    """Return the digits of one partition, four fifths to train with and one to evaluate with."""
    images, labels = digits()
    mine = np.arange(len(labels)) % partitions == partition
    images, labels = images[mine], labels[mine]
    split = len(labels) * 4 // 5
    return (images[:split], labels[:split]), (images[split:], labels[split:])


def make_model() -> SGDClassifier:
    """Return a model that knows nothing."""
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.05, random_state=0)
    model.classes_ = np.arange(CLASSES)
    model.coef_ = np.zeros((CLASSES, PIXELS))
    model.intercept_ = np.zeros(CLASSES)
    return model


def get_weights(model: SGDClassifier) -> list[np.ndarray]:
    """Return what clients and server exchange."""
    return [model.coef_, model.intercept_]


def set_weights(model: SGDClassifier, weights: list[np.ndarray]) -> None:
    """Take over weights."""
    model.coef_, model.intercept_ = weights
