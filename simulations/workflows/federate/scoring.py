"""What models are worth, and what the cloud and the public make of them, scored against the truth."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parties.federate.workflow import STRATEGIES
from simulations.evaluation import Guesses, mean, utility
from simulations.evaluation.estimates import estimate
from simulations.reports.evaluation import Estimate, Utility
from simulations.runs.seeding import numpy_generator
from simulations.workflows.federate.attacks import LIRA, LOSS, RMIA, SHADOWS, MembershipAttack
from simulations.workflows.federate.methods import network_of
from simulations.workflows.federate.probes import Probe
from simulations.workflows.federate.report import Attack, Audit, Guarantee, MethodResult, Robustness
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import Candidates, Labelled
from strategies.attacks.adversarial_examples import perturb
from strategies.attacks.membership import Membership, Scores, membership
from strategies.learning.batches import accuracy, guessed
from strategies.learning.group_normalised import inputs_of
from strategies.learning.weights import Weights, to_row
from strategies.privacy.auditing import audited_in_one_run

LEVELS = (0.5, 1.0, 2.0)
"""Levels of grey by which adversarial examples differ."""
_ATTACKED = 300
"""Pictures that are made adversarial."""
ERROR = 0.05
"""The probability that an audit says too much."""
GUESSED = 4
"""An audit guesses about one in so many canaries: those that an attack is surest of."""


@dataclass(frozen=True)
class Tests:
    """How a model does.

    Attributes:
        right: (m,) bool, which fresh pictures it names rightly.
        trained: Its accuracy on the pictures that it was trained on.
        robustness: Empty for a model that is not shown to beat the majority class.
    """

    right: NDArray[np.bool_]
    trained: float
    robustness: list[Robustness]


def tested(
    device: torch.device,
    model: Weights,
    fresh: tuple[NDArray[np.uint8], NDArray[np.int64]],
    trained: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> Tests:
    """Test a model on pictures with their labels; a job."""
    network = network_of(model)
    inputs, labels = inputs_of(fresh[0]), torch.from_numpy(fresh[1])
    right = guessed(network, inputs, labels).numpy()
    attacked = inputs[:_ATTACKED], labels[:_ATTACKED]
    return Tests(
        right,
        accuracy(network, inputs_of(trained[0]), torch.from_numpy(trained[1])),
        [
            Robustness(
                levels=levels, accuracy=accuracy(network, perturb(network, *attacked, 2 * levels / 255), attacked[1])
            )
            for levels in LEVELS
        ]
        if worth("", right, fresh[1], None).learns
        else [],
    )


def worth(
    name: str,
    right: NDArray[np.bool_],
    labels: NDArray[np.int64],
    ceiling: Guesses | None,
    people: NDArray[np.int64] | None = None,
) -> Utility:
    """Return what a model is worth that names these fresh pictures rightly.

    Args:
        people: (m,), who is in them; None: somebody else in each.
    """
    return utility(name, "the task, on fresh people", Guesses.of(right, people), majority(labels), ceiling)


def majority(answers: NDArray[np.int64] | NDArray[np.bool_]) -> float:
    """Return the share of the most frequent answer."""
    return float(np.unique(answers, return_counts=True)[1].max() / len(answers))


@dataclass(frozen=True, eq=False)
class Restored:
    """Pictures that an attack restored, beside the ones that they are of.

    Attributes:
        found, originals: (n, 3, size, size), in 0..1.
        alike: (n,), SSIM.
        named: Which show the right group of people to a recogniser.
        baseline: The share of the most frequent group.
        coverage: The share of the victims' pictures that are among them.
    """

    found: Tensor
    originals: Tensor
    alike: NDArray[np.float64]
    named: Guesses
    baseline: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one method, beside the truth.

    Attributes:
        scores: Of each candidate, by attack.
        told: Of which clients the property was told rightly; None where the cloud sees no update.
        restored: By probe, what was found behind single steps.
        planted, fished: What was read with planted weights, and with bait; None where nothing was.
        noisy: Whether clients add noise themselves.
    """

    tests: Tests
    candidates: Candidates
    scores: Mapping[MembershipAttack, Scores]
    told: Guesses | None
    restored: Mapping[Probe, Restored]
    planted: Restored | None
    fished: Restored | None
    noisy: bool
    seed: int

    @cached_property
    def members(self) -> dict[MembershipAttack, Membership]:
        """How well each attack tells who was trained on."""
        return {
            name: membership(scores, self.candidates.members, numpy_generator(self.seed, "membership"))
            for name, scores in self.scores.items()
        }

    def right(self, attack: MembershipAttack) -> Guesses:
        """Which candidates an attack tells rightly, at a threshold chosen on others."""
        return Guesses.of(self.members[attack].right, self.candidates.persons)

    def caught(self, attack: MembershipAttack) -> Guesses:
        """Which members an attack finds at a false-positive rate of 1 %."""
        inside = self.candidates.members
        return Guesses.of(self.members[attack].caught[inside], self.candidates.persons[inside])

    def auc(self, attack: MembershipAttack) -> Estimate:
        """The area under an attack's ROC curve, over people (DeLong et al. 1988)."""
        scores, inside, persons = self.scores[attack], self.candidates.members, self.candidates.persons
        below = _placed(scores[inside], scores[~inside])
        above = 1 - _placed(scores[~inside], scores[inside])
        halves = [mean(each, persons[kind]) for each, kind in ((below, inside), (above, ~inside))]
        one, other = ((each.high - each.low) / 2 for each in halves)
        half = float(np.hypot(one, other))
        return estimate(halves[0].value, halves[0].value - half, halves[0].value + half, len(scores))


def _placed(scores: Scores, others: Scores) -> NDArray[np.float64]:
    """Return the share of others that are below each score; of equal ones, half."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    found: NDArray[np.float64] = places / (2 * len(others))
    return found


def audit(outcome: Outcome, guarantee: Guarantee | None) -> Audit:
    """Return the largest epsilon that an attack proves to be lost, of people, or of clients where these have a promise.

    All attacks are tried: each may err with its share of the probability.
    """
    candidates, by_client = outcome.candidates, guarantee is not None and guarantee.unit == "client"
    whose = candidates.clients if by_client else candidates.persons
    _, place, counts = np.unique(whose, return_inverse=True, return_counts=True)
    inside = np.bincount(place, candidates.members) > 0
    guesses = max(2, len(counts) // GUESSED // 2 * 2)
    delta = 0.0 if guarantee is None else guarantee.delta
    found = []
    for (name, _), scores in outcome.scores.items():
        order = np.argsort(np.bincount(place, scores) / counts, kind="stable")
        right = int(inside[order[-(guesses // 2) :]].sum() + (~inside[order[: guesses // 2]]).sum())
        lost = audited_in_one_run(right, guesses, len(counts), delta, ERROR / len(outcome.scores))
        found.append((lost, right, name))
    epsilon, right, attack = max(found)
    return Audit(
        unit="client" if by_client else "person",
        epsilon=round(epsilon, 4),
        promised=None if guarantee is None else guarantee.epsilon_person,
        attack=attack,
        right=right,
        guesses=guesses,
        canaries=len(counts),
    )


def score(
    name: str,
    scenario: FederateScenario,
    outcome: Outcome,
    fresh: Labelled,
    learns: bool,
    model: Weights,
    curve: Sequence[float],
    guarantee: Guarantee | None,
) -> MethodResult:
    """Write down what came of one method.

    Args:
        learns: Whether the model is shown to beat the majority class; else nothing is said of groups and robustness.
        curve: Accuracies by round.
    """
    groups = (
        {group: float(outcome.tests.right[chosen].mean()) for group, chosen in _groups(fresh).items()} if learns else {}
    )
    best = {name: attack for (name, _), attack in sorted(outcome.members.items(), key=lambda each: each[1].advantage)}
    likelihood, relative = (_attack(best[attack]) if attack in best else None for attack in (LIRA, RMIA))
    return MethodResult(
        strategy=STRATEGIES[scenario.methods[name].strategy],
        promise=guarantee,
        accuracy=float(outcome.tests.right.mean()),
        trained_accuracy=outcome.tests.trained,
        curve=list(curve),
        by_loss=_attack(best[LOSS]),
        by_shadows=_attack(best[SHADOWS]),
        by_likelihood=likelihood,
        by_relative=relative,
        audited=audit(outcome, guarantee),
        property_told=None if outcome.told is None else outcome.told.rate.value,
        groups=groups,
        gap=max(groups.values()) - min(groups.values()) if groups else None,
        robustness=outcome.tests.robustness,
        digest=hashlib.sha256(to_row(model).numpy().tobytes()).hexdigest(),
    )


def _attack(found: Membership) -> Attack:
    return Attack(
        auc=found.auc,
        advantage=found.advantage,
        margin=found.margin,
        at_low_false_positives=found.at_low_false_positives,
    )


def _groups(pictures: Labelled) -> dict[str, NDArray[np.bool_]]:
    """Return who is in each group by sex and age, or where these are not known, by the private attribute."""
    if not {"Male", "Young"} <= set(pictures.names):
        private, name = pictures.column(pictures.grouped_by[0]), pictures.grouped_by[0]
        return {name: private, f"not {name}": ~private}
    male, young = map(pictures.column, ("Male", "Young"))
    return {
        "younger women": ~male & young,
        "older women": ~male & ~young,
        "younger men": male & young,
        "older men": male & ~young,
    }
