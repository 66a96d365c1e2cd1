"""The methods of federated learning: what the cloud asks for, and what each promises."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from parties.federate.workflow import Federation
from parties.workflow import WorkflowFailed
from simulations.runs.seeding import torch_generator
from simulations.workflows.federate.report import Guarantee
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import CLASSES
from strategies.learning.fit import Plan, fit
from strategies.learning.group_normalised import GroupNormalisedClassifier, inputs_of, new_group_normalised
from strategies.learning.weights import Weights, to_row, weights
from strategies.privacy.accounting import advantage_bound, dp_sgd_epsilon, noise_for, prv_epsilon
from strategies.privacy.distributed_noise import noise_of
from strategies.privacy.sum_graph import choose_graph

PRETRAINING = 8
"""Epochs on strangers' pictures."""
_RATE = 4e-3


def finite(model: Weights, name: str) -> Weights:
    """Return a model; raise `WorkflowFailed` when training has diverged, and nothing can be told of it."""
    if not all(bool(values.isfinite().all()) for values in model.values()):
        raise WorkflowFailed(
            f"{name}: training has diverged to numbers that are not finite; set a lower training.learning_rate, or more"
            " moderate numbers for this method"
        )
    return model


def network_of(weights: Weights) -> GroupNormalisedClassifier:
    """Return the network with these weights."""
    network = new_group_normalised(CLASSES, torch.Generator())
    network.load_state_dict(weights)
    return network.eval()


def on_public_features(
    device: torch.device, pictures: NDArray[np.uint8], attributes: NDArray[np.bool_], seed: int
) -> Weights:
    """Train features on strangers' pictures, and return a model with these and a head that knows nothing; a job.

    Args:
        attributes: (n, k), of the pictures, without the one that is to be learnt.
    """
    generator = torch_generator(seed, "public features")
    network = new_group_normalised(attributes.shape[1], generator)
    inputs, targets = inputs_of(pictures), torch.from_numpy(attributes).float()

    def loss(chosen: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(inputs[chosen]), targets[chosen])

    fit(network, loss, len(inputs), generator, Plan(PRETRAINING, min(32, len(inputs)), _RATE))
    start = new_group_normalised(CLASSES, generator)
    start.convolutions.load_state_dict(network.convolutions.state_dict())
    nn.init.zeros_(start.head.weight)
    nn.init.zeros_(start.head.bias)
    return weights(start)


def promise_of(scenario: FederateScenario, name: str) -> Guarantee | None:
    """Choose the noise of a method, and say what it promises; None where it promises nothing."""
    method, training = scenario.methods[name], scenario.training
    if method.epsilon is None:
        return None
    if method.strategy == "dp-sum":
        return _promise_of_sums(scenario, method.epsilon, method.clipping)
    if method.strategy == "dp-clients":
        sampling_rate, steps, unit = 1.0, training.rounds, "client"
    else:
        unit = "person" if method.strategy == "dp-people" else "image"
        sampling_rate, steps = training.sampling_rate, training.rounds * training.steps
    sigma = noise_for(method.epsilon, sampling_rate, steps, scenario.delta)
    epsilon = dp_sgd_epsilon(sigma, sampling_rate, steps, scenario.delta)
    person = (
        epsilon
        if unit != "image"
        else dp_sgd_epsilon(sigma, sampling_rate, steps, scenario.delta, scenario.clients.per_person)
    )
    prv = prv_epsilon(sigma, sampling_rate, steps, scenario.delta)
    return Guarantee(
        unit=unit,
        sigma=sigma,
        epsilon=epsilon,
        delta=scenario.delta,
        epsilon_prv=prv,
        epsilon_person=person,
        bound=advantage_bound(epsilon, scenario.delta),
    )


def _promise_of_sums(scenario: FederateScenario, epsilon: float, clipping: float) -> Guarantee:
    """Choose the noise of every client so that those are enough without whom none goes on with a sum."""
    count, rounds = scenario.clients.count, scenario.training.rounds
    survivors = choose_graph(count).least
    noise = noise_of(epsilon, _parameters(), clipping, survivors, rounds, scenario.delta)
    found = noise.epsilon(survivors, rounds, scenario.delta)
    return Guarantee(
        unit="client",
        sigma=noise.sigma / clipping,
        epsilon=found,
        delta=scenario.delta,
        epsilon_prv=found,
        epsilon_person=found,
        bound=advantage_bound(found, scenario.delta),
    )


def _parameters() -> int:
    return to_row(weights(new_group_normalised(CLASSES, torch.Generator()))).numel()


def federation_of(
    scenario: FederateScenario, name: str, promise: Guarantee | None, start: Weights, clients: int
) -> Federation:
    """Return what the cloud does."""
    method, training = scenario.methods[name], scenario.training
    public = method.features == "public"
    settings = {
        "epochs": training.epochs,
        "batch": training.batch,
        "learning-rate": training.head_learning_rate if public else training.learning_rate,
    }
    sigma = promise.sigma if promise else 0.0
    if method.strategy in ("dp-images", "dp-people"):
        settings |= {
            "learning-rate": training.head_learning_rate if public else training.dp_learning_rate,
            "sigma": sigma,
            "sampling-rate": training.sampling_rate,
            "steps": training.steps,
            "clipping": method.clipping,
        }
    if method.strategy == "dp-people":
        settings |= {"per-person": scenario.clients.per_person}
    if public:
        settings["head-only"] = 1.0
    return Federation(
        name,
        method.strategy,
        training.rounds,
        settings,
        start,
        clients,
        mu=method.mu,
        malicious=method.malicious,
        beta=method.beta,
        sigma=sigma,
        clipping=method.clipping,
    )
