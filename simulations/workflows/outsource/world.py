"""A world from a scenario: owners with images, what the public has, and the truth about all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from parties.adversaries import ADVERSARIES, Adversary
from parties.outsource.mixtures import Assignment
from parties.outsource.owner import Owner
from protocol.errors import BadScenario
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.storage.user_files import user_path
from simulations.data.cohort import Cohort, Part, draw_cohort
from simulations.data.labelled import LabelledImages, labelled_images
from simulations.evaluation import mean
from simulations.runs.seeding import numpy_generator, secret
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.outsource.scenario import OutsourceScenario
from strategies.features.featurizer import prepare
from strategies.obfuscation import Obfuscation
from strategies.obfuscation.least import MIXTURES, at_size, least_strength
from strategies.pixels import to_tensor
from strategies.scores.privacy_scores import SCORES

Labels = NDArray[np.int64]
Pictures = NDArray[np.uint8]
"""(n, side, side, 3)."""


@dataclass(frozen=True)
class Labelled:
    """Images with what they show.

    Attributes:
        pictures: (n, side, side, 3)
        classes: (n,), the data set's classes.
        tasks: (n,), what is to be learned: the classes, or their kinds.
        persons: (n,), who is in each; where that is not known, another number for each.
    """

    pictures: Pictures
    classes: Labels
    tasks: Labels
    persons: Labels

    def part(self, chosen: slice | Labels) -> "Labelled":
        """Return some of them."""
        return Labelled(self.pictures[chosen], self.classes[chosen], self.tasks[chosen], self.persons[chosen])


@dataclass(frozen=True)
class OutsourceWorld:
    """Everybody and everything in a scenario.

    Attributes:
        held: The images of each owner.
        assignment: What owners want trained, and how they hide images.
        tests, public: Clean images to test on; what attackers have.
        others: Images like the owners' that nobody sends.
        task_of: (classes,), the task label that follows from each class.
        notes: What a user should know about how the world was built.
    """

    owners: list[Owner]
    held: list[Labelled]
    assignment: Assignment
    tests: Labelled
    public: Labelled
    others: Labelled
    class_names: tuple[str, ...]
    task_names: tuple[str, ...]
    task_of: Labels
    notes: list[str]

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node."""
        return [owner.client_app() for owner in self.owners]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        owners = {FIRST_NODE_ID + number: f"owner-{number + 1}" for number in range(len(self.owners))}
        return {SERVER_NODE_ID: "service", **owners}


def build(scenario: OutsourceScenario, adversaries: Mapping[str, Adversary] = ADVERSARIES) -> OutsourceWorld:
    """Build the world of a scenario.

    Args:
        adversaries: The ways to cheat that the scenario chooses from.

    Raises:
        BadInput: When the data set or the folder cannot be used.
        BadScenario: When it knows no kinds of classes and the task is to tell these, or there are too few images.
    """
    drawn = _drawn(scenario) if scenario.cohort is None else _of_cohort(draw_cohort(scenario.cohort, scenario.seed))
    return _with_owners(scenario, drawn, adversaries)


@dataclass(frozen=True)
class _Drawn:
    """All images, and what they show; see `OutsourceWorld`."""

    held: list[Labelled]
    tests: Labelled
    public: Labelled
    others: Labelled
    class_names: tuple[str, ...]
    task_names: tuple[str, ...]
    task_of: Labels
    notes: list[str]


def _of_cohort(cohort: Cohort) -> _Drawn:
    def labelled(part: Part) -> Labelled:
        classes = cohort.classes_of(part)
        return Labelled(part.pictures, classes, classes // 2, part.persons)

    task = cohort.task.replace("_", " ").lower()
    return _Drawn(
        [labelled(cohort.held_by(owner)) for owner in range(cohort.owners)], labelled(cohort.fresh),
        labelled(cohort.public), labelled(cohort.control), cohort.classes, (f"not {task}", task),
        np.array([0, 0, 1, 1], dtype=np.int64), [],
    )  # fmt: skip


def _drawn(scenario: OutsourceScenario) -> _Drawn:
    """Draw images of the scenario's own."""
    section = scenario.images
    notes: list[str] = []
    images = open_images(scenario)
    task_names, task_of = tasks(images, scenario)
    wanted = {"tests": section.tests, "training": section.training, "public": scenario.attackers.public}
    if images.available is not None and images.available < sum(wanted.values()):
        share = images.available / sum(wanted.values())
        wanted = {what: int(count * share) for what, count in wanted.items()}
        said = ", ".join(f"{count} for {what}" for what, count in wanted.items())
        notes.append(f"There are {images.available:,} images of these classes, fewer than the scenario wants: {said}.")
        if min(wanted["tests"], wanted["training"] // scenario.owners) < 2:
            raise BadScenario(f"images: there are {images.available}, too few to train and to test")
    tests, training, public = (_labelled(images, count, what, task_of, section.side) for what, count in wanted.items())
    order = numpy_generator(scenario.seed, "owners").permutation(len(training.pictures))
    held = [training.part(order[number :: scenario.owners]) for number in range(scenario.owners)]
    return _Drawn(held, tests, public, tests, images.class_names, task_names, task_of, notes)


def _with_owners(scenario: OutsourceScenario, drawn: _Drawn, adversaries: Mapping[str, Adversary]) -> OutsourceWorld:
    held, tests = drawn.held, drawn.tests
    assignment = scenario.assignment(drawn.task_names, _setting(scenario, drawn.notes))
    generator = numpy_generator(scenario.seed, "cheats")
    owning = of_role(scenario.adversaries, adversaries, "owner")
    cheats = draw_adversaries(generator.permutation(scenario.owners).tolist(), owning, generator, least=1)
    roles = {number: adversaries[name].cast(**owning[name].settings) for number, name in cheats.items()}
    owners = [
        roles.get(number, Owner)(
            secret(scenario.seed, "owner", number),
            list(own.pictures),
            own.tasks,
            assignment,
            list(tests.pictures),
            tests.tasks,
        )
        for number, own in enumerate(held)
    ]
    return OutsourceWorld(
        owners, held, assignment, tests, drawn.public, drawn.others, drawn.class_names, drawn.task_names, drawn.task_of,
        drawn.notes,
    )  # fmt: skip


def _setting(scenario: OutsourceScenario, notes: list[str]) -> Obfuscation:
    """Return the owners' setting; where a threshold chooses it, say what it came to.

    Raises:
        BadScenario: When no strength of the technique reaches the threshold.
    """
    wanted, least = scenario.obfuscation.setting, scenario.obfuscation.least
    if least is None:
        return wanted
    # Images of the size that people were asked about: the first of an owner's.
    album, _ = open_images(scenario, least.side).take(max(MIXTURES, wanted.images), "training")
    asked = to_tensor([prepare(album[index], least.side) for index in range(len(album))]).contiguous()
    name, score = next((name, score) for name, score in SCORES.items() if name.lower() == least.score)
    try:
        chosen = least_strength(wanted, asked, score, least.at, secret(scenario.seed, "least strength"))
    except ValueError as error:
        raise BadScenario(f"obfuscation.least: {error}") from None
    setting, values = at_size(chosen.setting, least.side, scenario.images.side), mean(chosen.scores.numpy())
    found, sent = (" and ".join(f"{n} {v:g}" for n, v in each.strengths.items()) for each in (chosen.setting, setting))
    notes.append(
        f"The least {wanted.technique} at which {name} is {least.at:g} or more on images of {least.side} pixels, where"
        f" the threshold was asked, is {found}: {values.value:.2f} ({values.low:.2f} to {values.high:.2f}, {values.n}"
        f" mixtures). On images of {scenario.images.side} pixels that is {sent}."
    )
    return setting


def open_images(scenario: OutsourceScenario, side: int | None = None) -> LabelledImages:
    """Return where the scenario's images come from; painted ones are painted for this size, None: the scenario's."""
    section = scenario.images
    folder = scenario.images.folder
    root = user_path(folder) if folder is not None else Path(scenario.data_root) if scenario.data_root else None
    dataset = "folder" if folder is not None else scenario.dataset
    classes = None if folder is not None and "classes" not in section.model_fields_set else section.classes
    return labelled_images(dataset, root, scenario.seed, classes=classes, side=side or section.side)


def tasks(images: LabelledImages, scenario: OutsourceScenario) -> tuple[tuple[str, ...], Labels]:
    """Return the names of what is to be learned, and which of them each class is."""
    if scenario.task == "classes":
        return images.class_names, np.arange(len(images.class_names))
    if images.kinds is None or len(set(images.kinds)) < 2:
        raise BadScenario("task: these classes are not of two known kinds: set task to classes")
    names = tuple(sorted(set(images.kinds)))
    return names, np.array([names.index(kind) for kind in images.kinds], dtype=np.int64)


def _labelled(images: LabelledImages, count: int, purpose: str, task_of: Labels, side: int) -> Labelled:
    album, classes = images.take(count, purpose)
    opened = [prepare(album[index], side) for index in range(len(album))]
    pictures = np.stack(opened) if opened else np.empty((0, side, side, 3), np.uint8)
    persons = np.arange(len(pictures)) if purpose == "training" else -1 - np.arange(len(pictures))
    return Labelled(pictures, classes, task_of[classes], persons)
