"""Scores of the attacks: the one place that compares what attackers make of the view with the truth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from parties.workflow import Progress, unwatched
from protocol.compute.workshop import Done, Handle, Workshop
from simulations.evaluation import Guesses, mean
from simulations.reports.evaluation import Estimate
from simulations.runs.workshops import finished
from simulations.workflows.outsource.attacks import (
    ATTACKS,
    IN_ANY_ORDER,
    LESSONS,
    MORE,
    RESTORERS,
    DoesNotApply,
    Lesson,
    PublicKnowledge,
    ServiceView,
    attempted,
    decoding,
    learn_to_recognise,
    membership,
    name_class,
    name_hidden_task,
    name_shown,
    reconstruction,
    unmixing,
)
from simulations.workflows.outsource.scores import (
    ALIKE,
    AS_SENT,
    AttackScore,
    Found,
    Guessed,
    most_frequent,
    of_first_people,
    share,
    told_apart,
)
from simulations.workflows.outsource.tradeoff import Labels
from simulations.workflows.outsource.truth import Truth
from simulations.workflows.outsource.world import Labelled
from strategies.attacks.membership import Scores
from strategies.learning.classifier import classify
from strategies.obfuscation.unmixing import Unmixed, detail
from strategies.pixels import to_pictures, to_tensor
from strategies.scores.privacy_scores import dssim

T = TypeVar("T")

SHOWN = 8
"""Mixtures that are shown in the report's grid."""


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
        scores: By attack; see `ATTACKS`.
        guesses: By attack and budget; the attack "as sent" is none but a CNN for clean images.
        grid: Each (SHOWN, 3, side, side) uint8, what is seen of the first mixtures: their images, what the service
            sees, and what restoring attacks make of it.
    """

    scores: dict[str, AttackScore] = field(default_factory=dict)
    guesses: dict[tuple[str, float], Guessed] = field(default_factory=dict)
    grid: dict[str, Tensor] = field(default_factory=dict)


class Scoring:
    """Lets attackers work on a view and compares what they say with the truth.

    Args:
        truth: Of the view's last epoch.
        most: Pictures to score on, at most.
        recognisers: The attacker's.
        others: Images like the owner's that are not among them.
    """

    def __init__(
        self,
        view: ServiceView,
        public: PublicKnowledge,
        truth: Truth,
        most: int,
        recognisers: Recognisers,
        others: Labelled,
    ) -> None:
        self._others = others
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
            "decoding": workshop.submit(attempted, decoding, self.view, self.public),
            "reconstruction": workshop.submit(attempted, reconstruction, self.pictures, self.view, self.public),
        }
        jobs |= {
            name: workshop.submit(attempted, restore, self.pictures, self.public) for name, restore in RESTORERS.items()
        }
        candidates, order = self._candidates()
        jobs["membership"] = workshop.submit(attempted, membership, self.view, candidates, self.public)
        ends = dict(zip(jobs, finished(workshop, list(jobs.values()), "attacking", progress), strict=True))
        self._learned = self._recognisers.done()
        found: dict[str, Callable[[], Found]] = {
            **{name: partial(self._recovered, name, ends[name]) for name in IN_ANY_ORDER},
            **{name: partial(self._restored, name, ends[name]) for name in (*RESTORERS, "reconstruction")},
            "cnn": self._cnn,
            "label": self._label,
            "attribute": self._attribute,
            "membership": lambda: self._members(_applied(ends["membership"].result()), candidates, order),
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

    def _candidates(self) -> tuple[Tensor, NDArray[np.int64]]:
        """Return images of the owner and as many others in an order that does not tell, and which they are."""
        count = min(len(self.truth.images), len(self._others.pictures))
        both = torch.cat([self.truth.images[:count], to_tensor(self._others.pictures[:count]).contiguous()])
        order = np.random.default_rng(self.public.seed).permutation(2 * count)
        return both[order], order

    def _members(self, scores: Scores, candidates: Tensor, order: NDArray[np.int64]) -> Found:
        plain = membership(ServiceView([self.truth.images], []), candidates, self.public)
        count = len(order) // 2
        people = np.concatenate([self.truth.held.persons[:count], self._others.persons[:count]])
        found = told_apart(scores, plain, order, self.public.seed, people)
        self.done.guesses["membership", 1] = found
        right = found.shared.hits > 0
        return {"measure": "accuracy on whether an image is among the owner's", **share(right), "chance": 0.5}

    def _recovered(self, name: str, end: Done[Unmixed | DoesNotApply]) -> Found:
        """Match what was recovered with the owner's images by fine detail, each image with its best match."""
        found, images = _applied(end.result()).pictures, self.truth.images
        best = (detail(images, 3) @ detail(found, 3).T).argmax(1)
        chosen = torch.arange(len(images))[: len(self.places)]
        restored = found[best[chosen]]
        unlike = dssim(images[chosen], restored)
        named = self._right(name, restored, chosen, unlike)
        self.done.grid[name] = found[best[self.truth.groups[self.places[:SHOWN], 0]]]
        return {
            "measure": "accuracy of a CNN on the class of the owner's images, as recovered",
            **named,
            "before": self._recognised_before(),
            **self._likeness(unlike),
            "dissimilarity_before": self._dissimilarity_before(),
        }

    def _restored(self, name: str, end: Done[Tensor | DoesNotApply]) -> Found:
        restored = _applied(end.result())
        self.done.grid[name] = restored[:SHOWN]
        unlike = self._nearest(restored)
        return {
            "measure": "accuracy of a CNN for clean images on the class of the dominant image, after restoration",
            **self._right(name, restored, self._dominant, unlike),
            "before": self._recognised_before(),
            **self._likeness(unlike),
            "dissimilarity_before": self._dissimilarity_before(),
        }

    def _cnn(self) -> Found:
        answers = self._classes(self._dominant)
        longer = name_shown(self.pictures, self._recogniser("shown-longer"))
        self._keep("cnn", longer == answers, self._clean(self._dominant) == answers, self._dominant, answers, MORE)
        named = name_shown(self.pictures, self._recogniser("shown"))
        self._keep("cnn", named == answers, self._clean(self._dominant) == answers, self._dominant, answers)
        return {
            "measure": "accuracy on the class of the dominant image, from the mixture alone",
            **share(named == answers),
            "chance": most_frequent(answers),
            "before": self._recognised_before(),
        }

    def _label(self) -> Found:
        if self.truth.groups.shape[1] < 2:
            raise DoesNotApply("nothing is mixed: no image is hidden")
        hidden, tasks = self.truth.groups[self.places, 1], self.public.task_of.numpy()
        answers = tasks[self._classes(hidden)]
        named = name_hidden_task(self.pictures, self.labels, self._recogniser("hidden"), self.public)
        self._keep("label", named == answers, tasks[self._clean(hidden)] == answers, hidden, answers)
        return {
            "measure": "accuracy on the label of the image that is not labelled",
            **share(named == answers),
            "chance": most_frequent(answers),
        }

    def _attribute(self) -> Found:
        answers = self._classes(self._dominant)
        named = name_class(self.pictures, self.labels, self._recogniser("shown"), self.public)
        kinds = self.public.task_of.numpy()[answers]
        chance = float(np.mean([most_frequent(answers[kinds == kind]) for kind in kinds]))
        originals = self.truth.images[self._dominant]
        clean = name_class(originals, torch.from_numpy(kinds), self._recogniser("clean"), self.public)
        self._keep("attribute", named == answers, clean == answers, self._dominant, answers, baseline=chance)
        return {
            "measure": "accuracy on the class of the dominant image, given its label",
            **share(named == answers),
            "chance": chance,
        }

    @property
    def _dominant(self) -> Tensor:
        """The images that contribute most to the mixtures."""
        return self.truth.groups[self.places, 0]

    def _classes(self, images: Tensor) -> Labels:
        classes: Labels = self.truth.held.classes[images.numpy()]
        return classes

    def _clean(self, images: Tensor) -> Labels:
        """Return what a CNN for clean images names in the originals."""
        return classify(self._recogniser("clean"), to_pictures(self.truth.images[images]))

    def _keep(
        self,
        name: str,
        right: NDArray[np.bool_],
        undefended: NDArray[np.bool_],
        images: Tensor,
        answers: Labels,
        budget: int = 1,
        *,
        baseline: float | None = None,
        measures: dict[str, Estimate] | None = None,
        restored: Tensor | None = None,
    ) -> None:
        """Keep guesses about images for the report's rows."""
        people = self.truth.held.persons[images.numpy()]
        shared, ceiling = (Guesses.of(each, people) for each in (right, undefended))
        chance = most_frequent(answers) if baseline is None else baseline
        shown = {} if restored is None else of_first_people(to_pictures(restored), people)
        self.done.guesses[name, budget] = Guessed(shared, ceiling, chance, measures or {}, shown)

    def _right(self, name: str, pictures: Tensor, images: Tensor, unlike: Tensor) -> Found:
        """Return of how many pictures of images a CNN for clean images names the class."""
        answers = self._classes(images)
        try:
            named = classify(self._recogniser("clean"), to_pictures(pictures))
            clean = self._clean(images) == answers
        except DoesNotApply:
            return {"scored": len(pictures)}
        measures = {"dssim": mean(unlike.double().numpy(), self.truth.held.persons[images.numpy()])}
        self._keep(name, named == answers, clean, images, answers, measures=measures, restored=pictures)
        return {**share(named == answers), "chance": most_frequent(answers)}

    def _recognised_before(self) -> float | None:
        after = self._right(AS_SENT, self.pictures, self._dominant, self._nearest(self.pictures)).get("after")
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
