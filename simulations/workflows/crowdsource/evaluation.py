"""All attacks on representations by every extractor, side by side with the trainings of other extractors."""

from dataclasses import dataclass

from parties.crowdsource.workflow import CrowdsourceRecord
from parties.workflow import Progress
from protocol.compute.workshop import Handle, Workshop
from simulations.runs.workshops import finished
from simulations.workflows.crowdsource.attacks import Findings, Knowledge, Received, attack, trained
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.scoring import Scored, Truth, score
from simulations.workflows.crowdsource.world import CrowdsourceWorld
from strategies.pric.training import Recipe, Trained

Trainings = dict[float | None, Handle[Trained]]
"""By lambda; None: the extractor that hides nothing."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What came of all extractors.

    Attributes:
        knows: What the collector has.
        truth: About the participants.
        undefended: The extractor that hides nothing.
        scored: That one first, then one for each lambda, ascending, and last what participants trained.
    """

    knows: Knowledge
    truth: Truth
    undefended: Trained
    scored: list[Scored]


def train(scenario: CrowdsourceScenario, world: CrowdsourceWorld, workshop: Workshop) -> Trainings:
    """Hand in one extractor for each lambda, the one to publish first, and one that hides nothing."""
    section = scenario.collector
    recipes: dict[float | None, Recipe] = {
        weight: section.recipe(weight) for weight in (section.weight, *sorted(section.curve))
    }
    recipes[None] = section.undefended()
    return {
        weight: workshop.submit(trained, world.public, section.hide, recipe, section.extractor, scenario.seed)
        for weight, recipe in recipes.items()
    }


def evaluate(
    scenario: CrowdsourceScenario,
    world: CrowdsourceWorld,
    record: CrowdsourceRecord,
    published: Trained,
    trainings: Trainings,
    workshop: Workshop,
    progress: Progress,
) -> Evaluated:
    """Attack what was received, and what would have been with other extractors; compare with the truth.

    Args:
        published: What participants ran.
        trainings: Of the other extractors; what honest participants would send is attacked as soon as each is trained.

    Raises:
        RunFailed: When an extractor could not be trained, or a job failed.
    """
    section, attackers = scenario.collector, scenario.attackers
    knows = Knowledge(
        world.public, world.test.images, section.hide, section.tasks, section.quantised, attackers.budget, scenario.seed
    )
    truth = Truth.of(scenario, world, list(record.labels))
    clues = truth.clues(attackers.pictures, attackers.leaked)
    representations, labels = record.labelled()
    together = scenario.federated.rounds > 0
    jobs: dict[float | None, Handle[Findings]] = {}

    def attack_published() -> Handle[Findings]:
        received = Received(representations, labels.astype(bool))
        return workshop.submit(attack, received, published, knows, clues, True)

    if not together:
        jobs[section.weight] = attack_published()
    extractors = {}
    for weight, training in trainings.items():
        extractors[weight] = finished(workshop, [training], "training extractors", progress)[0].result()
        received = Received(knows.arriving(extractors[weight], truth.held.images), labels.astype(bool))
        jobs[weight] = workshop.submit(
            attack,
            received,
            extractors[weight],
            knows,
            clues if weight is None or scenario.cohort is not None else None,
        )
    weights = [None, *sorted(weight for weight in jobs if weight is not None)]
    handles = [jobs[weight] for weight in weights]
    if together:
        handles.append(attack_published())
        weights.append(section.weight)
    ends = finished(workshop, handles, "measuring", progress)
    scored = [
        score(end.result(), truth, knows, weight, together and place == len(weights) - 1)
        for place, (weight, end) in enumerate(zip(weights, ends, strict=True))
    ]
    return Evaluated(knows, truth, extractors[None], scored)
