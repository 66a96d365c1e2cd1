"""All attacks on publications and all trainings on them, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from parties.publish.publisher import mechanism_of
from parties.publish.workflow import Collection
from parties.workflow import Progress
from protocol.compute.workshop import Handle, Workshop
from protocol.messages.publish import CallForPictures, Gallery
from simulations.evaluation import Guesses
from simulations.runs.workshops import finished
from simulations.workflows.publish.attacks import Classes, Findings, Knowledge, attack, audit, learn, presence
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.scoring import Outcome, Truth, told_apart
from simulations.workflows.publish.world import People
from strategies.dp_images import Mechanism
from strategies.dp_images.baselines import Plain
from strategies.pixels import to_pictures

WORK = "attacking what was published"


def evaluate(
    workshop: Workshop,
    scenario: PublishScenario,
    people: People,
    calls: Mapping[str, CallForPictures],
    collections: Mapping[str, Collection],
    seen: Mapping[str, Sequence[Gallery]],
    progress: Progress,
) -> tuple[dict[str, Outcome], Outcome]:
    """Attack what was published by each method, and the originals; train on them; compare with the truth.

    Args:
        calls: What owners were asked for by each method.
        collections: Whose pictures came of each.
        seen: What the reader received of each, one gallery for each time the cloud asked.

    Returns:
        What came of each method, and of the originals: those of the first method that publishes them as they are, or
        of what the first method published.

    Raises:
        RunFailed: When a job failed.
    """
    mechanisms: dict[str, Mechanism] = {name: mechanism_of(call) for name, call in calls.items()}
    truths = {name: Truth.of(collections[name], people, scenario) for name in calls}
    shown = dict(seen)
    plain = next((name for name, each in mechanisms.items() if each == Plain() and len(seen[name]) == 1), None)
    if plain is None:
        first, plain = next(iter(calls)), ""
        originals = to_pictures(truths[first].originals)
        mechanisms[plain], truths[plain] = Plain(), truths[first]
        shown[plain] = [seen[first][0].model_copy(update={"pictures": originals})]
    attacker = scenario.attacker
    attacks: list[Handle[Findings]] = []
    trainings: list[Handle[Classes]] = []
    audits: list[Handle[float | None]] = []
    suspicions: list[Handle[NDArray[np.float64]]] = []
    candidates = None if people.others is None else torch.cat([people.albums.pictures, people.others.pictures])
    for name, mechanism in mechanisms.items():
        knows = Knowledge(
            name, mechanism, people.known, people.strangers, scenario.owners.count, len(shown[name]), attacker.epochs,
            scenario.seed,
        )  # fmt: skip
        attacks.append(workshop.submit(attack, shown[name], knows))
        trainings.append(workshop.submit(learn, shown[name], knows, people.fresh.pictures))
        audits.append(workshop.submit(audit, name, mechanism, scenario.seed))
        if candidates is not None:
            suspicions.append(workshop.submit(presence, shown[name], knows, candidates))
    findings = finished(workshop, attacks, WORK, progress)
    classes = finished(workshop, trainings, "training on what was published", progress)
    shares = finished(workshop, audits, "auditing mechanisms", progress)
    scored = finished(workshop, suspicions, WORK, progress)
    suspected = [each.result() for each in scored] if scored else [None] * len(shares)
    outcomes = {}
    for name, found, named, share, scores in zip(mechanisms, findings, classes, shares, suspected, strict=True):
        right, alike = (Guesses.of(each == people.fresh.labels, people.fresh.persons) for each in named.result())
        present = None if scores is None else told_apart(scores, people.albums.persons)
        outcomes[name] = Outcome(truths[name], found.result(), right, alike, share.result(), present)
    return {name: outcomes[name] for name in calls}, outcomes[plain]
