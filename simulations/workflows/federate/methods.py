"""The methods of federated learning: what the cloud asks for, and what each promises."""

import torch

from parties.federate.workflow import Federation
from parties.workflow import WorkflowFailed
from simulations.workflows.federate.report import Guarantee
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import CLASSES
from strategies.learning.group_normalised import GroupNormalisedClassifier, new_group_normalised
from strategies.learning.weights import Weights, to_row, weights
from strategies.privacy.accounting import advantage_bound, dp_sgd_epsilon, noise_for, prv_epsilon
from strategies.privacy.distributed_noise import noise_of
from strategies.privacy.sum_graph import choose_graph


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
    settings = {
        "epochs": training.epochs,
        "batch": training.batch,
        "learning-rate": training.learning_rate,
    }
    sigma = promise.sigma if promise else 0.0
    if method.strategy in ("dp-images", "dp-people"):
        settings |= {
            "learning-rate": training.dp_learning_rate,
            "sigma": sigma,
            "sampling-rate": training.sampling_rate,
            "steps": training.steps,
            "clipping": method.clipping,
        }
    if method.strategy == "dp-people":
        settings |= {"per-person": scenario.clients.per_person}
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
