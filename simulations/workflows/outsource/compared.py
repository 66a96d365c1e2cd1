"""The other settings of the privacy-utility plot, attacked: as if an owner of some images had chosen them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from parties.workflow import Progress
from protocol.compute.workshop import Workshop
from simulations.evaluation import Guesses, mean
from simulations.runs.seeding import stream
from simulations.runs.workshops import finished
from simulations.workflows.outsource.attacks import (
    CNN_EPOCHS,
    IN_ANY_ORDER,
    RESTORERS,
    DoesNotApply,
    PublicKnowledge,
    ServiceView,
    decoding,
    learn_to_recognise,
    membership,
    name_class,
    name_shown,
    unmixing,
)
from simulations.workflows.outsource.scores import AS_SENT, Guessed, most_frequent, of_first_people, told_apart
from simulations.workflows.outsource.world import Labelled
from strategies.attacks.membership import Scores
from strategies.learning.classifier import classify
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.obfuscation.unmixing import detail
from strategies.pixels import to_pictures, to_tensor
from strategies.scores.privacy_scores import dssim

IMAGES = 200
"""Images of such an owner, at most."""
SHORTER = 4
"""What part of the usual training the CNNs get."""
WORK = "attacking other settings"


@dataclass(frozen=True)
class Study:
    """What attackers make of one setting, as far as they apply.

    Attributes:
        restored: By attack: pictures, of the owner's images (`IN_ANY_ORDER`), else of the last mixtures.
        named: The classes of the dominant images of the last mixtures, by a CNN that learned from such mixtures.
        given: The same, of the classes that go with the published label.
        scores: Of candidates, how likely each is the owner's.
    """

    restored: dict[str, Tensor]
    named: NDArray[np.int64] | None
    given: NDArray[np.int64] | None
    scores: Scores | None


def study(device: torch.device, view: ServiceView, public: PublicKnowledge, candidates: Tensor) -> Study:
    """Attack what an owner sends with one setting; a job.

    Args:
        candidates: (n, 3, side, side) uint8, images that may be the owner's.
    """
    restored: dict[str, Tensor] = {}
    named: NDArray[np.int64] | None = None
    given: NDArray[np.int64] | None = None
    scores: Scores | None = None
    last = view.epochs[-1]
    for name, attack in RESTORERS.items():
        with suppress(DoesNotApply):
            restored[name] = attack(last, public)
    with suppress(DoesNotApply):
        restored["unmixing"] = unmixing(view, public).pictures
    with suppress(DoesNotApply):
        restored["decoding"] = decoding(view, public).pictures
    with suppress(DoesNotApply):
        recogniser = learn_to_recognise(public, "shown", max(1, CNN_EPOCHS // SHORTER))
        named = name_shown(last, recogniser)
        given = name_class(last, view.labels[-1], recogniser, public)
    with suppress(DoesNotApply):
        scores = membership(view, candidates, public)
    return Study(restored, named, given, scores)


@dataclass(frozen=True)
class Sample:
    """An owner who chose a setting: what the service sees, and what is behind the last epoch's mixtures."""

    view: ServiceView
    dominant: Tensor


def sample(setting: Obfuscation, held: Labelled, public: PublicKnowledge, epochs: int) -> Sample:
    """Obfuscate an owner's images in every epoch."""
    images, labels = to_tensor(held.pictures).contiguous(), torch.from_numpy(held.tasks)
    drawn = stream(public.seed, "an owner who chose", repr(setting))
    pictures, told = [], []
    for _ in range(epochs):
        groups = group(labels, setting.images, drawn, intra_class=public.intra_class, repeat=public.repeat)
        batch = obfuscate(setting, images[groups], labels[groups], int(public.task_of.max()) + 1, drawn)
        pictures.append(batch.pictures)
        told.append(batch.labels if batch.labels.ndim == 1 else batch.labels.argmax(1))
    most = batch.weights.argmax(dim=1, keepdim=True)
    return Sample(ServiceView(pictures, told), groups.gather(1, most)[:, 0])


def attack_compared(
    workshop: Workshop,
    settings: Sequence[Obfuscation],
    held: Labelled,
    others: Labelled,
    public: PublicKnowledge,
    epochs: int,
    clean: nn.Module | DoesNotApply,
    progress: Progress,
) -> list[dict[tuple[str, float], Guessed]]:
    """Attack each setting, and compare with the truth.

    Args:
        held: The owner's images; some are used.
        others: Images like these that are not the owner's.
        clean: A CNN for clean images.

    Returns:
        For each setting what was guessed, by attack and budget.

    Raises:
        RunFailed: When a job failed.
    """
    some = held.part(slice(IMAGES))
    count = min(len(some.pictures), len(others.pictures))
    order = np.random.default_rng(public.seed).permutation(2 * count)
    candidates = to_tensor(np.concatenate([some.pictures[:count], others.pictures[:count]])[order]).contiguous()
    samples = [sample(setting, some, public, epochs) for setting in settings]
    handles = [
        workshop.submit(study, each.view, replace(public, setting=setting), candidates)
        for setting, each in zip(settings, samples, strict=True)
    ]
    ends = finished(workshop, handles, WORK, progress)
    network = None if isinstance(clean, DoesNotApply) else clean
    originals = ServiceView([to_tensor(some.pictures).contiguous()], [])
    plain = membership(originals, candidates, replace(public, setting=Obfuscation("mix")))
    people = np.concatenate([some.persons[:count], others.persons[:count]])
    return [
        _scored(each, end.result(), some, network, plain, order, people, public)
        for each, end in zip(samples, ends, strict=True)
    ]


def _scored(
    one: Sample,
    found: Study,
    held: Labelled,
    clean: nn.Module | None,
    plain: Scores,
    order: NDArray[np.int64],
    people: NDArray[np.int64],
    public: PublicKnowledge,
) -> dict[tuple[str, float], Guessed]:
    rows: dict[tuple[str, float], Guessed] = {}
    images = to_tensor(held.pictures).contiguous()
    named = None if clean is None else classify(clean, held.pictures)

    def keep(
        attack: str,
        budget: float,
        told: NDArray[np.int64],
        places: Tensor,
        unlike: Tensor | None,
        pictures: Tensor | None,
    ) -> None:
        answers, whose = held.classes[places.numpy()], held.persons[places.numpy()]
        undefended = None if named is None else Guesses.of(named[places.numpy()] == answers, whose)
        measures = {} if unlike is None else {"dssim": mean(unlike.double().numpy(), whose)}
        right, chance = Guesses.of(told == answers, whose), most_frequent(answers)
        restored = {} if pictures is None else of_first_people(to_pictures(pictures), whose)
        rows[attack, budget] = Guessed(right, undefended, chance, measures, restored)

    if clean is not None:
        restored: Mapping[str, Tensor] = {AS_SENT: one.view.epochs[-1], **found.restored}
        for attack, pictures in restored.items():
            places, shown = one.dominant, pictures
            if attack in IN_ANY_ORDER:  # each image with its best match
                places = torch.arange(len(images))
                shown = pictures[(detail(images, 3) @ detail(pictures, 3).T).argmax(1)]
            keep(attack, 1, classify(clean, to_pictures(shown)), places, dssim(images[places], shown), shown)
    if found.given is not None and clean is not None:
        answers, whose = held.classes[one.dominant.numpy()], held.persons[one.dominant.numpy()]
        kinds = public.task_of.numpy()[answers]
        baseline = float(np.mean([most_frequent(answers[kinds == kind]) for kind in kinds]))
        bare = name_class(images[one.dominant], torch.from_numpy(kinds), clean, public)
        rows["attribute", 1 / SHORTER] = Guessed(
            Guesses.of(found.given == answers, whose), Guesses.of(bare == answers, whose), baseline, {}
        )
    if found.named is not None:
        keep("cnn", 1 / SHORTER, found.named, one.dominant, None, None)
    if found.scores is not None:
        rows["membership", 1] = told_apart(found.scores, plain, order, 1, people)
    return rows
