"""Clients of federated learning that poison the model, or free-ride."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from parties.adversaries.adversary import adversary
from parties.federate.client import Client
from protocol.messages.federate import TrainCall
from protocol.messages.secure_sum import MaskedValues
from strategies.learning.weights import Weights


@adversary("label-flipping-client", knowledge="nothing beyond its role", profit="none; the model learns the opposite")
class LabelFlippingClient(Client):
    """Trains on pictures with inverted labels (Tolpegin et al. 2020)."""

    def examples(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the pictures with inverted labels."""
        return self.pictures, self.classes - 1 - self.labels


@adversary("model-poisoning-client", knowledge="nothing beyond its role", profit="none; the model unlearns")
class ModelPoisoningClient(Client):
    """Sends its update negated and scaled up (Blanchard et al. 2017)."""

    strength: float = 5.0

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Return the model with the opposite of the update."""
        learnt = super().learn(model, config, training)
        return {name: value - self.strength * (learnt[name] - value) for name, value in model.items()}


@adversary("free-riding-client", knowledge="nothing beyond its role", profit="the model, without pictures or work")
class FreeRidingClient(Client):
    """Sends back the model unchanged."""

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Return the model."""
        return model


@adversary("non-finite-client", knowledge="nothing beyond its role", profit="none; nobody has a model any more")
class NonFiniteClient(Client):
    """Sends NaN as each number of its model."""

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Return no numbers."""
        return {name: torch.full_like(value, torch.nan) for name, value in model.items()}


@adversary("dropping-client", knowledge="nothing beyond its role", profit="none")
class DroppingClient(Client):
    """Does not send its update."""

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Send nothing."""
        raise TimeoutError("no answer")

    def add(self, call: TrainCall) -> MaskedValues:
        """Send nothing."""
        raise TimeoutError("no answer")
