"""The rows of the report: what representations leak, what they are worth, and what is promised of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from simulations.evaluation import Guesses, leak, mean, utility
from simulations.reports.evaluation import NOTHING, Estimate, Leak, Promise, Utility
from simulations.reports.model import Seen
from simulations.reports.words import count
from simulations.workflows.crowdsource.attacks import Guess
from simulations.workflows.crowdsource.report import Setting
from simulations.workflows.crowdsource.scoring import Scored, Truth, as_pictures
from strategies.learning.batches import Images
from strategies.pric.attacks import nearest
from strategies.pric.encoding import encode
from strategies.scores.image_quality import l1, ssim

COLLECTOR, TOLD, ANYONE = (
    "the collector", "the collector, told by some participants", "anyone with the tasks' model",
)  # fmt: skip
LEAST = 1e-6
"""The least probability that an attacker gives to anything, so that one mistake costs no more than 14 nats."""


def method(setting: Setting) -> str:
    """Name a way of sharing: the undefended extractor, or one by its lambda."""
    if setting.weight is None:
        return "undefended"
    return f"lambda {setting.weight:g}{', trained by participants' if setting.together else ''}"


def leaks(scored: Sequence[Scored], truth: Truth, extractor: nn.Module) -> Iterator[Leak]:
    """Score all attacks on representations by all extractors.

    Args:
        scored: The undefended extractor first.
        extractor: That one, by which reconstructions are recognised.
    """
    undefended = scored[0]
    for each in scored:
        others = {_key(guess): guess for guess in _guesses(undefended)}
        for guess in _guesses(each):
            yield from _private(each, guess, truth, None if each is undefended else others[_key(guess)])
        yield from _further(each, undefended, truth, extractor)


def _guesses(scored: Scored) -> list[Guess]:
    further = scored.findings.further
    return [*(further.few if further else ()), *scored.findings.guesses]


def _key(guess: Guess) -> tuple[str, str, int]:
    """Tell attacks apart: what is undefended is attacked once, however large the budget is elsewhere."""
    return guess.attack, guess.source, guess.pictures


def _private(scored: Scored, guess: Guess, truth: Truth, undefended: Guess | None) -> Iterator[Leak]:
    """Score an attack on each private attribute: picture by picture, and on pairs of which one picture has it.

    Of a pair the likelier one is taken: the rate is the area under the ROC curve, which no threshold, and no frequency
    of the attribute, flatters.
    """
    if guess.source == "leaked":
        knowledge = f"{count(guess.pictures, 'picture')} whose owners told"
    else:
        knowledge = f"{count(guess.pictures, 'labelled picture')} of its own"
    for column, name in enumerate(truth.hide):
        words = name.replace("_", " ").lower()
        has, people = _victims(truth, guess, column)
        share = float(has.mean())
        found, open_ = guess.logits[:, column], None if undefended is None else undefended.logits[:, column]
        measures = scales(found, has, people, float(guess.frequencies[column]))
        for what, scorer, baseline in (
            (f"{words}, picture by picture", answers, max(share, 1 - share)),
            (f"{words}, which of two pictures shows it", pairs, 0.5),
        ):
            yield leak(
                method(scored.setting), TOLD if guess.source == "leaked" else COLLECTOR, "inference", what,
                attack=f"{guess.attack}, from {guess.pictures:,} pictures", knows=f"the extractor, {knowledge}",
                budget=guess.budget, shared=scorer(found, has, people), baseline=baseline,
                ceiling=None if open_ is None else scorer(open_, has, people), measures=measures,
            )  # fmt: skip


def _victims(truth: Truth, guess: Guess, column: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    last = len(guess.logits)
    return truth.private[-last:, column], truth.held.persons[-last:]


def answers(logits: NDArray[np.float64], has: NDArray[np.bool_], people: NDArray[np.int64]) -> Guesses:
    """Return which pictures were told rightly."""
    return Guesses.of((logits > 0) == has, people)


def pairs(scores: NDArray[np.float64], has: NDArray[np.bool_], people: NDArray[np.int64]) -> Guesses:
    """Return for each picture that has it beside how many of those that have it not it has the higher score.

    Examples:
        >>> pairs(np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True]), np.arange(4)).hits.tolist()
        [0.5, 1.0]
    """
    return Guesses.of(_above(scores[has], scores[~has]), people[has])


def _above(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the others that each of some exceeds; a tie counts half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, some, "left") + np.searchsorted(ordered, some, "right")) / (2 * len(others))


def scales(
    logits: NDArray[np.float64], has: NDArray[np.bool_], people: NDArray[np.int64], frequency: float
) -> dict[str, Estimate]:
    """Score an attack on other scales, with intervals over people.

    Balanced accuracy and the area under the ROC curve are means of two means, and each picture's part in them is what
    their variance is made of (Obuchowski 1997). Information is a lower bound of I(z; u) in nats (Barber and Agakov):
    the entropy of the attribute less the attacker's cross entropy, on people that it has not learned from.

    Args:
        frequency: Of the attribute where the attacker learned.
    """
    certain = np.log(frequency / (1 - frequency)) if 0 < frequency < 1 else 0.0
    right = ((logits > certain) == has).astype(np.float64)
    over = np.empty(len(has))
    over[has], over[~has] = _above(logits[has], logits[~has]), 1 - _above(logits[~has], logits[has])
    share = float(has.mean())
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    said = np.clip(1 / (1 + np.exp(-logits)), LEAST, 1 - LEAST)
    return {
        "accuracy": mean((logits > 0) == has, people),
        "balanced accuracy": mean(_of_halves(right, has), people),
        "auc": mean(_of_halves(over, has), people),
        "information, nats": mean(entropy + np.log(np.where(has, said, 1 - said)), people),
        "entropy, nats": mean(np.full(len(has), entropy), people),
    }


def _of_halves(values: NDArray[np.float64], has: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return numbers whose mean is that of the means of both halves, and that vary as it does."""
    total = (values[has].mean() + values[~has].mean()) / 2
    parts = np.empty(len(values))
    for half in (has, ~has):
        parts[half] = total + (values[half] - values[half].mean()) * len(values) / (2 * half.sum())
    return parts


def _further(scored: Scored, undefended: Scored, truth: Truth, extractor: nn.Module) -> Iterator[Leak]:
    """Score the other attacks, where they were tried."""
    further, open_ = scored.findings.further, undefended.findings.further
    if further is None or open_ is None:
        return
    name, same = method(scored.setting), scored is undefended
    people, firsts = truth.held.persons, truth.firsts
    numbers, owners = np.arange(len(firsts)), people[firsts]
    yield leak(
        name, COLLECTOR, "linkability", "whose picture it is",
        attack="a recogniser of people on representations, then the nearest",
        knows=f"the extractor, its own pictures, and one picture of each of {count(len(firsts), 'participant')}",
        shared=Guesses.of(further.named == numbers, owners), baseline=1 / len(firsts),
        ceiling=None if same else Guesses.of(open_.named == numbers, owners),
    )  # fmt: skip
    for observer, what, attack, knows, scores, plain, member, whose in (
        (COLLECTOR, "which of two pictures was sent", "the nearest of what was received", "the extractor and pictures",
         further.sent, open_.sent, truth.was_sent(), truth.suspected()),
        (ANYONE, "which of two pictures the model learned from", "the smaller loss", "pictures and their labels",
         further.learnt, open_.learnt, truth.was_learnt(), np.concatenate([people, truth.test.persons])),
    ):  # fmt: skip
        yield leak(
            name, observer, "membership", what, attack=attack, knows=knows, shared=pairs(scores, member, whose),
            baseline=0.5, ceiling=None if same else pairs(plain, member, whose),
            measures={"true positives at 1 % false ones": caught(scores, member)},
        )  # fmt: skip
    yield _recognised(scored, undefended, truth, extractor)


def caught(scores: NDArray[np.float64], member: NDArray[np.bool_]) -> Estimate:
    """Return the share of members above all but one in a hundred of the others."""
    return mean(scores[member] > np.quantile(scores[~member], 0.99))


def _recognised(scored: Scored, undefended: Scored, truth: Truth, extractor: nn.Module) -> Leak:
    """Score who is recognised in restored pictures: by a recogniser of people that knows public pictures alone."""
    further, open_ = scored.findings.further, undefended.findings.further
    assert further is not None
    assert open_ is not None
    people, count_ = truth.held.persons, len(further.pictures)
    gallery = truth.firsts[truth.firsts < count_]
    probes = np.setdiff1d(np.arange(count_), gallery)
    known = encode(extractor, truth.held.images[gallery])

    def named(pictures: torch.Tensor) -> Guesses:
        restored = encode(extractor, as_pictures(pictures)[probes])
        return Guesses.of(nearest(open_.recogniser, known, people[gallery], restored) == people[probes], people[probes])

    originals = Images(truth.held.images)[torch.arange(count_)]
    return leak(
        method(scored.setting), COLLECTOR, "reconstruction", "whom a recogniser names in what is restored",
        attack="a network that reverses the extractor", knows="the extractor and pictures of its own",
        shared=named(further.pictures), baseline=1 / len(gallery),
        ceiling=None if scored is undefended else named(open_.pictures),
        measures={
            "ssim": mean(ssim(further.pictures, originals), people[:count_]),
            "l1": mean(l1(further.pictures, originals), people[:count_]),
        },
    )  # fmt: skip


def pictures_seen(scored: Sequence[Scored], truth: Truth) -> dict[str, Seen]:
    """Return what the collector restores of the first participants' first pictures, by each extractor."""
    people = truth.held.persons[truth.firsts].tolist()
    return {
        method(each.setting): Seen(
            COLLECTOR, "a network that reverses the extractor", dict(zip(people, each.reconstructions, strict=False))
        )
        for each in scored
        if len(each.reconstructions)
    }


def worth(scored: Sequence[Scored], truth: Truth) -> Iterator[Utility]:
    """Say how well the collector's models do their tasks on other people."""
    for each in scored:
        for column, name in enumerate(truth.tasks):
            has = truth.tested[:, column]
            right, best = (
                Guesses.of((one.findings.tasks[:, column] > 0) == has, truth.test.persons) for one in (each, scored[0])
            )
            share = float(has.mean())
            task = f"{name.replace('_', ' ').lower()}, by the collector"
            yield utility(method(each.setting), task, right, max(share, 1 - share), best)


def promises(settings: Sequence[Setting]) -> list[Promise]:
    """Say that nothing is proven of any extractor."""
    labels = "labels of the tasks are sent as they are"
    against = "it was trained against one classifier, and others read more"
    return [
        Promise(
            method=method(each),
            proven=f"{NOTHING}; {labels}" if each.weight is None else f"{NOTHING}; {against}; {labels}",
        )
        for each in settings
    ]
