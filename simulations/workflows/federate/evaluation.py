"""All attacks on models and updates, side by side."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from parties.workflow import Progress
from protocol.compute.workshop import Done, Handle, Workshop
from simulations.evaluation import Guesses
from simulations.runs.workshops import finished
from simulations.workflows.federate.attackers import Attackers
from simulations.workflows.federate.attacks import (
    MembershipAttack,
    invert,
    land_fished,
    members,
    read_planted,
    tell_property,
)
from simulations.workflows.federate.methods import network_of
from simulations.workflows.federate.probes import Asked, Planted
from simulations.workflows.federate.scenario import NOISY, FederateScenario
from simulations.workflows.federate.scoring import Outcome, Restored, Tests, majority, tested
from simulations.workflows.federate.world import Candidates, Labelled, People
from strategies.attacks.fishing import feature
from strategies.attacks.membership import Scores
from strategies.attacks.planted_weights import Read, brightness
from strategies.learning.classifier import classify
from strategies.learning.group_normalised import inputs_of
from strategies.learning.weights import Weights
from strategies.scores.image_quality import ssim

ATTACKING = "attacking models and updates"
_PUBLIC = 200
"""Public pictures that attackers of single steps look at."""


class Learnt(Protocol):
    """What came of a method: its model, and the first updates that the cloud saw, by client."""

    model: Weights
    updates: dict[int, Weights]


def evaluate(
    workshop: Workshop,
    scenario: FederateScenario,
    people: People,
    candidates: Candidates,
    attackers: Attackers,
    learnt: Mapping[str, Learnt],
    start: Weights,
    asked: Asked,
    progress: Progress,
) -> dict[str, Outcome]:
    """Attack what came of each method and of asking; compare with the truth.

    Raises:
        RunFailed: When a job failed.
    """
    public, seed = people.strangers.pictures[:_PUBLIC], scenario.seed
    inversions = {
        (method, probe, number): workshop.submit(
            invert, start, answer, probe, public, seed, f"{method} {probe.words} {number}"
        )
        for (method, probe), answers in asked.steps.items()
        for number, answer in answers.items()
    }
    readings = {
        (method, number): workshop.submit(
            read_planted, start, planted.limits, answers, _pictures(scenario, number), public, planted.clipping
        )
        for method, planted in asked.planted.items()
        for number, answers in planted.answers.items()
    }
    landings = {
        (method, number): workshop.submit(
            land_fished, start, planted, answers, _pictures(scenario, number), public,
            scenario.attacker.fished, seed, f"{method} {number}",
        )
        for method, planted in asked.fished.items()
        for number, answers in planted.answers.items()
    }  # fmt: skip
    scores: list[Handle[dict[MembershipAttack, Scores]]] = []
    tests: list[Handle[Tests]] = []
    told: dict[str, Handle[NDArray[np.bool_]]] = {}
    fresh, trained = ((each.pictures, each.labels) for each in (people.fresh, people.trained))
    for name, each in learnt.items():
        scores.append(workshop.submit(members, each.model, candidates.pictures, candidates.labels, attackers))
        tests.append(workshop.submit(tested, each.model, fresh, trained))
        if each.updates and scenario.methods[name].features == "own":
            updates = [each.updates[number] for number in sorted(each.updates)]
            told[name] = workshop.submit(tell_property, updates, start, attackers.trials)
    scored = finished(workshop, scores, ATTACKING, progress)
    done = finished(workshop, tests, "testing models", progress)
    properties = dict(zip(told, finished(workshop, list(told.values()), ATTACKING), strict=True))
    found = dict(zip(inversions, finished(workshop, list(inversions.values()), ATTACKING, progress), strict=True))
    reads = dict(zip(readings, finished(workshop, list(readings.values()), ATTACKING, progress), strict=True))
    landed = dict(zip(landings, finished(workshop, list(landings.values()), ATTACKING, progress), strict=True))
    truth = Truth(scenario, people.trained, attackers, start)
    outcomes = {}
    for number, (name, each) in enumerate(learnt.items()):
        noisy = scenario.methods[name].strategy in NOISY
        own = scenario.methods[name].features == "own"  # what is asked of others shows nothing of these
        view = name if noisy or not each.updates or not own else ""
        outcomes[name] = Outcome(
            tests=done[number].result(),
            candidates=candidates,
            scores=scored[number].result(),
            told=Guesses.of(
                properties[name].result() == people.has_property[sorted(each.updates)], sorted(each.updates)
            )
            if name in properties
            else None,
            restored={
                probe: truth.restored(
                    {who: end.result() for (method, of, who), end in found.items() if (method, of) == (view, probe)}
                )
                for method, probe in asked.steps
                if method == view and asked.steps[method, probe]
            },
            planted=truth.read(asked.planted, reads, view),
            fished=truth.read(asked.fished, landed, view),
            noisy=noisy,
            seed=seed,
        )
    return outcomes


def _pictures(scenario: FederateScenario, client: int) -> int:
    """Return how many pictures a client has; -1 for all clients together."""
    return scenario.clients.pictures * (scenario.clients.count if client < 0 else 1)


class Truth:
    """What clients trained on, beside what is restored of it.

    Args:
        trained: All pictures of clients, one client after the other.
        attackers: Their recogniser names who is shown.
        start: The model that clients begin with.
    """

    def __init__(self, scenario: FederateScenario, trained: Labelled, attackers: Attackers, start: Weights) -> None:
        self._start = start
        self._scenario, self._trained, self._recogniser = scenario, trained, attackers.recogniser
        self._pictures = (inputs_of(trained.pictures) + 1) / 2
        self._groups = trained.groups

    def restored(self, found: Mapping[int, Tensor]) -> Restored:
        """Compare what was found of the first pictures of clients: each with the one that it is most like."""
        pictures, places = [], []
        for client, several in found.items():
            first = client * self._scenario.clients.pictures
            originals = self._pictures[first : first + len(several)]
            alike = torch.stack([ssim(several, one.expand_as(several)) for one in originals])
            rows, columns = linear_sum_assignment(-alike.numpy())
            pictures.append(several[columns])
            places += (first + rows).tolist()
        whole = sum(len(several) for several in found.values())
        return self._compared(torch.cat(pictures), np.array(places), len(places) / whole)

    def read(
        self,
        asked: Mapping[str, Planted],
        ends: Mapping[tuple[str, int], Done[Read]],
        view: str,
    ) -> Restored | None:
        """Compare what was read of bins with the pictures in them; None where nothing was asked, or answered.

        A guess is about a bin that holds one picture, or seems to: what is read where there are several, or none, is
        wrong, and so is what is not read where there is one.

        Args:
            ends: By view and client, or all together by -1.
        """
        if view not in asked or not asked[view].answers:
            return None
        planted, found = asked[view], {who: end.result() for (method, who), end in ends.items() if method == view}
        pictures, places, missed, total = [], [], 0, 0
        for client, each in found.items():
            count = _pictures(self._scenario, client)
            first = max(0, client) * count
            bins = torch.bucketize(self._compares(planted, first, count), planted.limits) - 1
            alone = [place for place in range(len(planted.limits) - 1) if int((bins == place).sum()) == 1]
            total += count
            wanted = len(alone) if planted.bait is None else min(len(alone), self._scenario.attacker.fished)
            missed += max(0, wanted - len(set(alone) & set(each.bins.tolist())))
            for picture, place in zip(each.pictures, each.bins.tolist(), strict=True):
                pictures.append(picture)
                places.append(first + int((bins == place).nonzero()[0]) if place in alone else -1)
        size = self._pictures.shape[1:]
        right = sum(place >= 0 for place in places)
        shown = torch.stack(pictures) if pictures else torch.zeros(0, *size)
        return self._compared(shown, np.array(places, dtype=np.int64), right / total, missed)

    def _compares(self, planted: Planted, first: int, count: int) -> Tensor:
        """Return what thresholds compare, of some pictures, (count,)."""
        inputs = 2 * self._pictures[first : first + count] - 1
        if planted.bait is None:
            return brightness(inputs)
        return feature(network_of(self._start), inputs, planted.bait.direction)

    def _compared(self, found: Tensor, places: NDArray[np.int64], coverage: float, missed: int = 0) -> Restored:
        """Compare pictures with those at these places; -1 for pictures of nothing.

        Args:
            missed: Pictures that were not restored.
        """
        is_one = places >= 0
        originals = self._pictures[places] * torch.from_numpy(is_one)[:, None, None, None]
        pixels = (found.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        named = classify(self._recogniser, pixels) == self._groups[places]
        persons = np.unique(self._trained.persons, return_inverse=True)[1][places]
        whose = np.where(is_one, persons, -1 - np.arange(len(places)))
        alike = ssim(found, originals).double().numpy() if len(found) else np.zeros(0)
        hits = np.concatenate([named & is_one, np.zeros(missed, dtype=bool)])
        right = Guesses.of(hits, np.concatenate([whose, -1 - len(places) - np.arange(missed)]))
        return Restored(found, originals, alike, right, majority(self._groups), coverage)
