"""Scores of the attacks: the one place that compares what attackers make of the view with the truth."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest
from torch import Tensor, nn

from parties.outsource.owner import Owner
from parties.workflow import Progress, unwatched
from protocol.compute.workshop import Done, Handle, Workshop
from simulations.runs.seeding import secret
from simulations.runs.workshops import finished
from simulations.workflows.outsource.attacks import (
    ATTACKS,
    LESSONS,
    RESTORERS,
    DoesNotApply,
    Lesson,
    PublicKnowledge,
    ServiceView,
    attempted,
    learn_to_recognise,
    name_class,
    name_hidden_task,
    name_shown,
    reconstruction,
    unmixing,
)
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.tradeoff import Labels
from simulations.workflows.outsource.world import Labelled, OutsourceWorld
from strategies.learning.classifier import classify
from strategies.obfuscation.unmixing import detail
from strategies.pixels import to_pictures, to_tensor
from strategies.scores.privacy_scores import dssim

T = TypeVar("T")
Found = dict[str, Any]
"""Fields of an `AttackScore`."""

SHOWN = 8
"""Mixtures that are shown in the report's grid."""
ALIKE = 0.6
"""Below this dSSIM people recognise images (Tables 2 and 3: thresholds of .61 to .66)."""


class AttackScore(BaseModel):
    """How well one attack does.

    Attributes:
        title, knows: What the attack is, and what it needs beside the view.
        fails: Why it does not apply; then all numbers are None.
        measure: What `after` is a share of, in words.
        scored: Pictures on which it was scored.
        after: The attack's share.
        low, high: Its 95 % interval (Wilson) over the pictures.
        before: The same without the attack, where that makes sense.
        chance: What guessing gives: the share of the most frequent answer.
        dissimilarity: Mean dSSIM between a restored picture and the nearest of its images.
        dissimilarity_before: The same of the published pictures.
        alike: Share of restored pictures whose dSSIM is below `ALIKE`.
        seconds: Wall time of the attack.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    knows: str
    fails: str | None = None
    measure: str = ""
    scored: int = 0
    after: float | None = None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    chance: float | None = None
    dissimilarity: float | None = None
    dissimilarity_before: float | None = None
    alike: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Truth:
    """What is behind the mixtures of one owner's last epoch.

    Attributes:
        groups: (m, k) int64; positions of the images in each mixture, the one that contributes most first.
        images: (n, 3, side, side) uint8, all of the owner's.
        held: The same with what they show.
    """

    groups: Tensor
    images: Tensor
    held: Labelled

    def shows(self, role: int) -> Labels:
        """Return the class of the image in a role of each mixture, 0 for the one that contributes most."""
        classes: Labels = self.held.classes[self.groups[:, role].numpy()]
        return classes


def truth_of(owner: Owner, held: Labelled, epoch: int) -> Truth:
    """Look behind the mixtures of an epoch."""
    mixtures, groups = owner.mixtures, owner.mixtures.groups(epoch)
    parts = [mixtures.obfuscated(epoch, number) for number in range(-(-len(groups) // mixtures.part))]
    weights, labels = torch.cat([part.weights for part in parts]), torch.cat([part.labels for part in parts])
    if labels.ndim == 2:
        labels = labels.argmax(1)
    # Of equal weights, the image that the published label is of counts as the one that contributes most.
    labelled = torch.from_numpy(held.tasks)[groups] == labels[:, None]
    ranked = (weights + 1e-4 * labelled).argsort(dim=1, descending=True, stable=True)
    return Truth(groups.gather(1, ranked), to_tensor(held.pictures).contiguous(), held)


def public_knowledge(scenario: OutsourceScenario, world: OutsourceWorld) -> PublicKnowledge:
    """Return what the scenario's attackers have beside the view, as long as no original has leaked."""
    public, assignment = world.public, scenario.assignment(world.task_names)
    images = to_tensor(public.pictures).contiguous()
    return PublicKnowledge(
        setting=assignment.obfuscation,
        intra_class=assignment.intra_class,
        repeat=assignment.repeat,
        images=images,
        classes=torch.from_numpy(public.classes),
        tasks=torch.from_numpy(public.tasks),
        task_of=torch.from_numpy(world.task_of),
        known=torch.zeros(0, dtype=torch.int64),
        originals=images[:0],
        seed=int.from_bytes(secret(scenario.seed, "attackers")[:4]),
    )


def with_leaks(public: PublicKnowledge, truth: Truth, pairs: int) -> PublicKnowledge:
    """Add the originals of the last mixtures: those that leaked."""
    count = len(truth.groups)
    known = torch.arange(count - min(pairs, count // 2), count)
    return replace(public, known=known, originals=truth.images[truth.groups[known, 0]])


class Recognisers:
    """The attacker's networks, which are trained while the workflow runs.

    Args:
        public: What they learn from.
    """

    def __init__(self, workshop: Workshop, public: PublicKnowledge) -> None:
        self._workshop = workshop
        self._handles = {lesson: workshop.submit(attempted, learn_to_recognise, public, lesson) for lesson in LESSONS}

    def done(self) -> dict[Lesson, nn.Module | DoesNotApply]:
        """Wait for them."""
        ends = finished(self._workshop, list(self._handles.values()), "training recognisers")
        return {lesson: end.result() for lesson, end in zip(self._handles, ends, strict=True)}


@dataclass
class Attacked:
    """What came of all attacks.

    Attributes:
        grid: Each (SHOWN, 3, side, side) uint8, what is seen of the first mixtures: their images, what the service
            sees, and what restoring attacks make of it.
    """

    scores: dict[str, AttackScore] = field(default_factory=dict)
    grid: dict[str, Tensor] = field(default_factory=dict)


class Scoring:
    """Lets attackers work on a view and compares what they say with the truth.

    Args:
        truth: Of the view's last epoch.
        most: Pictures to score on, at most.
        recognisers: The attacker's.
    """

    def __init__(
        self, view: ServiceView, public: PublicKnowledge, truth: Truth, most: int, recognisers: Recognisers
    ) -> None:
        self.view, self.public, self.truth = view, public, truth
        leaked = set(public.known.tolist())
        fresh = [place for place in range(len(truth.groups)) if place not in leaked]
        self.places = torch.tensor(fresh[:most], dtype=torch.int64)
        self.pictures, self.labels = view.epochs[-1][self.places], view.labels[-1][self.places]
        self.done = Attacked()
        self._recognisers = recognisers
        self._learned: dict[Lesson, nn.Module | DoesNotApply] = {}

    def run(self, workshop: Workshop, progress: Progress = unwatched) -> Attacked:
        """Let every attack of `ATTACKS` try.

        Raises:
            RunFailed: When one of them failed.
        """
        shown = self.places[:SHOWN]
        groups = self.truth.groups[shown]
        for role in range(min(2, groups.shape[1])):
            name = "dominant image" if role == 0 else "mixed with"
            self.done.grid[name] = self.truth.images[groups[:, role]]
        self.done.grid["sent to the service"] = self.pictures[:SHOWN]
        jobs: dict[str, Handle[Any]] = {
            "unmixing": workshop.submit(attempted, unmixing, self.view, self.public),
            "reconstruction": workshop.submit(attempted, reconstruction, self.pictures, self.view, self.public),
        }
        jobs |= {
            name: workshop.submit(attempted, restore, self.pictures, self.public) for name, restore in RESTORERS.items()
        }
        ends = dict(zip(jobs, finished(workshop, list(jobs.values()), "attacking", progress), strict=True))
        self._learned = self._recognisers.done()
        found: dict[str, Callable[[], Found]] = {
            "unmixing": lambda: self._unmix(_applied(ends["unmixing"].result()).pictures),
            **{name: partial(self._restored, name, ends[name]) for name in (*RESTORERS, "reconstruction")},
            "cnn": self._cnn,
            "label": self._label,
            "attribute": self._attribute,
        }
        for name, score in found.items():
            self._try(name, score, ends[name].seconds if name in ends else 0.0)
        return self.done

    def _try(self, name: str, score: Callable[[], Found], seconds: float) -> None:
        info, start = ATTACKS[name], perf_counter()
        try:
            found = score()
        except DoesNotApply as reason:
            found = {"fails": str(reason)}
        seconds = round(seconds + perf_counter() - start, 3)
        self.done.scores[name] = AttackScore(title=info.title, knows=info.knows, seconds=seconds, **found)

    def _recogniser(self, lesson: Lesson) -> nn.Module:
        return _applied(self._learned[lesson])

    def _unmix(self, found: Tensor) -> Found:
        """Match what was recovered with the owner's images by fine detail, each image with its best match."""
        images = self.truth.images
        best = (detail(images, 3) @ detail(found, 3).T).argmax(1)
        chosen = torch.arange(len(images))[: len(self.places)]
        restored = found[best[chosen]]
        named = self._right(restored, self.truth.held.classes[chosen.numpy()])
        self.done.grid["unmixing"] = found[best[self.truth.groups[self.places[:SHOWN], 0]]]
        return {
            "measure": "accuracy of a CNN on the class of the owner's images, as recovered by unmixing",
            **named,
            "before": self._recognised_before(),
            **self._likeness(dssim(images[chosen], restored)),
            "dissimilarity_before": self._dissimilarity_before(),
        }

    def _restored(self, name: str, end: Done[Tensor | DoesNotApply]) -> Found:
        restored = _applied(end.result())
        self.done.grid[name] = restored[:SHOWN]
        return {
            "measure": "accuracy of a CNN for clean images on the class of the dominant image, after restoration",
            **self._right(restored, self.truth.shows(0)[self.places.numpy()]),
            "before": self._recognised_before(),
            **self._likeness(self._nearest(restored)),
            "dissimilarity_before": self._dissimilarity_before(),
        }

    def _cnn(self) -> Found:
        answers = self.truth.shows(0)[self.places.numpy()]
        named = name_shown(self.pictures, self._recogniser("shown"))
        return {
            "measure": "accuracy on the class of the dominant image, from the mixture alone",
            **share(named == answers),
            "chance": most_frequent(answers),
            "before": self._recognised_before(),
        }

    def _label(self) -> Found:
        if self.truth.groups.shape[1] < 2:
            raise DoesNotApply("nothing is mixed: no image is hidden")
        answers = self.public.task_of.numpy()[self.truth.shows(1)[self.places.numpy()]]
        named = name_hidden_task(self.pictures, self.labels, self._recogniser("hidden"), self.public)
        return {
            "measure": "accuracy on the label of the image that is not labelled",
            **share(named == answers),
            "chance": most_frequent(answers),
        }

    def _attribute(self) -> Found:
        answers = self.truth.shows(0)[self.places.numpy()]
        named = name_class(self.pictures, self.labels, self._recogniser("shown"), self.public)
        kinds = self.public.task_of.numpy()[answers]
        return {
            "measure": "accuracy on the class of the dominant image, given its label",
            **share(named == answers),
            "chance": float(np.mean([most_frequent(answers[kinds == kind]) for kind in kinds])),
        }

    def _right(self, pictures: Tensor, answers: Labels) -> Found:
        try:
            named = classify(self._recogniser("clean"), to_pictures(pictures))
        except DoesNotApply:
            return {"scored": len(pictures)}
        return {**share(named == answers), "chance": most_frequent(answers)}

    def _recognised_before(self) -> float | None:
        after = self._right(self.pictures, self.truth.shows(0)[self.places.numpy()]).get("after")
        return after if isinstance(after, float) else None

    def _nearest(self, pictures: Tensor) -> Tensor:
        """Return the dSSIM between each picture and the most similar of its images."""
        groups = self.truth.groups[self.places]
        return torch.stack([dssim(self.truth.images[role], pictures) for role in groups.T]).min(0).values

    def _dissimilarity_before(self) -> float:
        return float(self._nearest(self.pictures).mean())

    def _likeness(self, dissimilarity: Tensor) -> Found:
        return {
            "dissimilarity": float(dissimilarity.mean()),
            "alike": float((dissimilarity < ALIKE).double().mean()),
        }


def _applied(found: T | DoesNotApply) -> T:
    if isinstance(found, DoesNotApply):
        raise found
    return found


def share(right: NDArray[np.bool_]) -> Found:
    """Return a share with its 95 % interval."""
    low, high = interval(int(right.sum()), len(right))
    return {"scored": len(right), "after": float(right.mean()), "low": low, "high": high}


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927).

    Examples:
        >>> [round(end, 2) for end in interval(8, 10)]
        [0.49, 0.94]
    """
    found = binomtest(right, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def most_frequent(answers: Labels) -> float:
    """Return the share of the most frequent answer."""
    return float(np.bincount(answers).max() / len(answers))
