"""What models are worth, and what the cloud and the public make of them: attacks, scored against the truth."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from parties.federate.workflow import STRATEGIES, Federation
from parties.workflow import WorkflowFailed
from simulations.data.people import ATTRIBUTES
from simulations.runs.seeding import numpy_generator
from simulations.workflows.federate.attackers import Attackers, Shadow, Trials
from simulations.workflows.federate.report import Attack, MethodResult, Promise, Robustness
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import CLASSES, Labelled, People
from strategies.attacks.adversarial_examples import perturb
from strategies.attacks.membership import (
    Scores,
    by_likelihood_ratio,
    by_loss,
    by_shadow_models,
    membership,
)
from strategies.attacks.property_inference import infer_property
from strategies.learning.batches import accuracy
from strategies.learning.group_normalised import GroupNormalisedClassifier, inputs_of, new_group_normalised
from strategies.learning.weights import Weights, to_row, weights
from strategies.privacy.accounting import advantage_bound, dp_sgd_epsilon, noise_for, prv_epsilon
from strategies.privacy.distributed_noise import noise_of
from strategies.privacy.sum_graph import choose_graph

LEVELS = (0.5, 1.0, 2.0)
"""Levels of grey by which adversarial examples differ."""
_ATTACKED = 300
"""Pictures that are made adversarial."""


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


def promise_of(scenario: FederateScenario, name: str) -> Promise | None:
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
    return Promise(
        unit=unit,
        sigma=sigma,
        epsilon=epsilon,
        delta=scenario.delta,
        epsilon_prv=prv,
        epsilon_person=person,
        bound=advantage_bound(epsilon, scenario.delta),
    )


def _promise_of_sums(scenario: FederateScenario, epsilon: float, clipping: float) -> Promise:
    """Choose the noise of every client so that those are enough without whom none goes on with a sum."""
    count, rounds = scenario.clients.count, scenario.training.rounds
    survivors = choose_graph(count).least
    noise = noise_of(epsilon, _parameters(), clipping, survivors, rounds, scenario.delta)
    found = noise.epsilon(survivors, rounds, scenario.delta)
    return Promise(
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
    scenario: FederateScenario, name: str, promise: Promise | None, start: Weights, clients: int
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


def score(
    device: torch.device,
    name: str,
    scenario: FederateScenario,
    people: People,
    attackers: Attackers,
    model: Weights,
    start: Weights,
    curve: Sequence[float],
    promise: Promise | None,
    updates: Mapping[int, Weights],
) -> MethodResult:
    """Attack one method's model, and the first updates that the cloud saw, and compare with the truth; a job.

    Args:
        scenario, people, attackers: As prepared.
        model, start: The model in the end and at the beginning.
        curve: Accuracies by round.
        updates: What clients sent in the first round, by their numbers; empty where the cloud does not see it.
    """
    network = network_of(model)
    fresh, labels = inputs_of(people.fresh.pictures), torch.from_numpy(people.fresh.labels)
    known = inputs_of(people.known.pictures), torch.from_numpy(people.known.labels)
    pictures, truth = people.candidates
    candidates = inputs_of(pictures), torch.from_numpy(truth)
    members = np.arange(len(truth)) < len(people.trained)
    shadows, ratio = _models(attackers.shadows), _models(attackers.ratio)

    def attack(scores: Scores) -> Attack:
        return Attack(**vars(membership(scores, members, numpy_generator(scenario.seed, "membership"))))

    groups = {
        group: accuracy(network, fresh[chosen], labels[chosen]) for group, chosen in _groups(people.fresh).items()
    }
    attacked = fresh[:_ATTACKED], labels[:_ATTACKED]
    return MethodResult(
        strategy=STRATEGIES[scenario.methods[name].strategy],
        promise=promise,
        accuracy=accuracy(network, fresh, labels),
        trained_accuracy=accuracy(network, candidates[0][members], candidates[1][members]),
        curve=list(curve),
        by_loss=attack(by_loss(network, *candidates)),
        by_shadows=attack(by_shadow_models(network, *candidates, shadows, known)),
        by_likelihood=attack(by_likelihood_ratio(network, *candidates, ratio)) if ratio else None,
        property_told=_property(attackers.trials, people, start, updates) if updates else None,
        groups=groups,
        gap=max(groups.values()) - min(groups.values()),
        robustness=[
            Robustness(
                levels=levels, accuracy=accuracy(network, perturb(network, *attacked, 2 * levels / 255), attacked[1])
            )
            for levels in LEVELS
        ],
        digest=hashlib.sha256(to_row(model).numpy().tobytes()).hexdigest(),
    )


def _models(shadows: Sequence[Shadow]) -> list[tuple[nn.Module, NDArray[np.bool_]]]:
    return [(network_of(shadow.model), shadow.inside) for shadow in shadows]


def _property(trials: Trials, people: People, start: Weights, updates: Mapping[int, Weights]) -> float:
    """Return of how many clients the property is told from their first update."""
    numbers = sorted(updates)
    sent = np.stack([(to_row(updates[number]) - to_row(start)).numpy() for number in numbers])
    told = infer_property(sent, trials.updates, trials.has) > 0
    return float((told == people.has_property[numbers]).mean())


def _groups(pictures: Labelled) -> dict[str, Tensor]:
    """Return who is in each group by sex and age."""
    male, young = (pictures.attributes[:, ATTRIBUTES.index(name)] for name in ("Male", "Young"))
    return {
        "younger women": torch.from_numpy(~male & young),
        "older women": torch.from_numpy(~male & ~young),
        "younger men": torch.from_numpy(male & young),
        "older men": torch.from_numpy(male & ~young),
    }
