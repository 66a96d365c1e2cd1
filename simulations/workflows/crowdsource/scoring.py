"""How well attributes are read, scored against the truth, and the numbers that sum a round up."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from parties.crowdsource.workflow import CrowdsourceRecord
from protocol.encoding.canonical import canonical
from protocol.flower import FIRST_NODE_ID
from simulations.workflows.crowdsource.attacks import SUSPECTS, Clues, Findings, Further, Guess, Knowledge
from simulations.workflows.crowdsource.report import (
    Attack,
    CrowdsourceOutcome,
    OtherLeaks,
    Reading,
    Readings,
    Setting,
)
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.world import CrowdsourceWorld, Portraits
from strategies.learning.batches import Images
from strategies.pric.reading import Read, majority, scored, task_induced
from strategies.scores.image_quality import disclosure

SHOWN = 10
"""Reconstructions on the report's sheet."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What only the simulation knows.

    Attributes:
        held: The participants' pictures, of those who sent representations and labels, in their order.
        test: Those of other people, which models are tested on.
        hide, tasks: Attributes.
    """

    held: Portraits
    test: Portraits
    hide: tuple[str, ...]
    tasks: tuple[str, ...]

    @classmethod
    def of(cls, scenario: CrowdsourceScenario, world: CrowdsourceWorld, senders: Sequence[int]) -> "Truth":
        """Look up what participants sent representations of.

        Args:
            senders: Node ids.
        """
        album, held, section = scenario.participants.album, world.held, scenario.collector
        rows = np.concatenate([np.arange(album) + (node_id - FIRST_NODE_ID) * album for node_id in senders])
        kept = Portraits(held.images[rows], held.attributes[rows], held.persons[rows], held.names)
        return cls(kept, world.test, section.hide, section.tasks)

    @property
    def private(self) -> NDArray[np.bool_]:
        """What is hidden, of participants, (n, hide)."""
        return self.held.columns(self.hide)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """What the tasks ask, of other people, (m, tasks)."""
        return self.test.columns(self.tasks)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """The place of each participant's first picture."""
        return np.sort(np.unique(self.held.persons, return_index=True)[1]).astype(np.int64)

    def clues(self, few: Sequence[int], leaked: float) -> Clues:
        """Return what some attackers are told.

        Args:
            few: How many of the collector's pictures some learn from.
            leaked: The share of participants whose attributes have leaked, for another one.
        """
        suspects = np.concatenate([part[slice(SUSPECTS)].images for part in (self.held, self.test)])
        told = self.private[: round(leaked * len(self.private))]
        return Clues(few, told, self.firsts, suspects, self.tested)

    def was_sent(self) -> NDArray[np.bool_]:
        """Return which of the suspects were sent."""
        sent, others = (min(SUSPECTS, len(part.images)) for part in (self.held, self.test))
        return np.arange(sent + others) < sent

    def suspected(self) -> NDArray[np.int64]:
        """Return who is in each of the suspects."""
        return np.concatenate([part.persons[:SUSPECTS] for part in (self.held, self.test)])

    def was_learnt(self) -> NDArray[np.bool_]:
        """Return which of the pictures, received and fresh, the tasks' model learned from."""
        return np.arange(len(self.held.images) + len(self.test.images)) < len(self.held.images)


@dataclass(frozen=True, eq=False)
class Scored:
    """An extractor's numbers beside what they come from.

    Attributes:
        reconstructions: (m, side, side, 3), of the first participants' first pictures; none where that was not
            attacked.
    """

    setting: Setting
    findings: Findings
    reconstructions: NDArray[np.uint8]


def score(findings: Findings, truth: Truth, knows: Knowledge, weight: float | None, together: bool = False) -> Scored:
    """Compare what a collector made of representations with the truth.

    Args:
        weight: Lambda of the extractor.
        together: Whether participants trained it.
    """
    hide, known, further = truth.hide, knows.public.columns(truth.hide), findings.further
    guesses = [*(further.few if further else ()), *findings.guesses]
    setting = Setting(
        weight=weight,
        together=together,
        tasks=readings(truth.tasks, findings.tasks, truth.tested, findings.frequencies),
        in_loop=readings(hide, findings.in_loop, truth.private, known.mean(0)),
        fresh=private(findings.guesses[0], truth),
        induced=induced(hide, findings.own > 0, known, findings.tasks > 0, truth.test.columns(hide)),
        attacks=[
            Attack(
                name=each.attack, source=each.source, pictures=each.pictures, budget=each.budget,
                private=private(each, truth),
            )
            for each in guesses
        ],
        leaks=None if further is None else _other_leaks(further, truth),
    )  # fmt: skip
    if further is None:
        return Scored(setting, findings, np.empty((0, *truth.held.images.shape[1:]), dtype=np.uint8))
    return Scored(setting, findings, as_pictures(further.pictures[truth.firsts[:SHOWN]]))


def as_pictures(restored: Tensor) -> NDArray[np.uint8]:
    """Return images in 0..1 as pictures, (n, side, side, 3)."""
    return restored.mul(255).round().byte().permute(0, 2, 3, 1).numpy()


def private(guess: Guess, truth: Truth) -> Readings:
    """Score what one attack says of private attributes."""
    return readings(truth.hide, guess.logits, truth.private[-len(guess.logits) :], guess.frequencies)


def _other_leaks(further: Further, truth: Truth) -> OtherLeaks:
    shown = disclosure(further.pictures, Images(truth.held.images)[torch.arange(len(further.pictures))])
    return OtherLeaks(
        ssim=shown.ssim,
        l1=shown.l1,
        recognised=float((further.named == np.arange(len(further.named))).mean()),
        owners=len(further.named),
        membership=float(roc_auc_score(truth.was_learnt(), further.learnt)),
        presence=float(roc_auc_score(truth.was_sent(), further.sent)),
    )


def readings(
    names: Sequence[str], logits: NDArray[np.float64], truth: NDArray[np.bool_], frequencies: NDArray[np.float64]
) -> Readings:
    """Score what was read of several attributes."""
    return {
        name: _reading(scored(logits[:, column], truth[:, column], float(np.clip(frequencies[column], 0.01, 0.99))))
        for column, name in enumerate(names)
    }


def induced(
    names: Sequence[str],
    known_tasks: NDArray[np.bool_],
    known: NDArray[np.bool_],
    tasks: NDArray[np.bool_],
    truth: NDArray[np.bool_],
) -> Readings:
    """Score what the tasks tell of several private attributes."""
    return {
        name: _reading(task_induced(known_tasks, known[:, column], tasks, truth[:, column]))
        for column, name in enumerate(names)
    }


def guesses(names: Sequence[str], truth: NDArray[np.bool_]) -> Readings:
    """Score the guess without a look for several attributes."""
    return {name: _reading(majority(truth[:, column])) for column, name in enumerate(names)}


def _reading(found: Read) -> Reading:
    return Reading(accuracy=found.accuracy, balanced=found.balanced, auc=found.auc)


def outcome_of(
    scenario: CrowdsourceScenario,
    record: CrowdsourceRecord,
    undefended: Setting,
    chosen: Setting,
    floor: Readings,
    told: Readings,
) -> CrowdsourceOutcome:
    """Return the numbers that sum a round up.

    Args:
        undefended, chosen: The extractor that hides nothing, and the one that was published.
        floor: What guessing without a look reaches.
        told: What the tasks tell of the hidden attributes.
    """
    sent = list(record.contributions.values())
    pictures = sum(map(len, sent))
    representations = record.representations()
    low, high = mean(floor), mean(undefended.fresh)
    strongest = chosen.strongest
    assert chosen.leaks is not None
    return CrowdsourceOutcome(
        participants=len(record.participants),
        contributed=len(sent),
        pictures=pictures,
        labelled=sum(len(each.labels) for each in record.labels.values()),
        bytes_sent=sum(
            each.nbytes for part in sent for each in (part.values, part.codes, part.highest) if each is not None
        ),
        bytes_as_numbers=representations.nbytes,
        bytes_as_pictures=pictures * 3 * scenario.side**2,
        fresh=mean(chosen.fresh),
        strongest=mean(strongest),
        strongest_balanced=mean(strongest, "balanced"),
        strongest_auc=mean(strongest, "auc"),
        in_loop=mean(chosen.in_loop),
        undefended=high,
        majority=low,
        induced=mean(told),
        way=closed(undefended.strongest, strongest, floor, "accuracy"),
        way_balanced=closed(undefended.strongest, strongest, floor, "balanced"),
        way_auc=closed(undefended.strongest, strongest, floor, "auc"),
        utility=mean(chosen.tasks),
        undefended_utility=mean(undefended.tasks),
        worst_loss=max(undefended.tasks[name].accuracy - found.accuracy for name, found in chosen.tasks.items()),
        ssim=chosen.leaks.ssim,
        recognised=chosen.leaks.recognised,
        membership=chosen.leaks.membership,
        presence=chosen.leaks.presence,
        digest=digest(record, [undefended, chosen]),
    )


def mean(found: Readings, scale: str = "accuracy") -> float:
    """Return the mean over attributes, of accuracy or of another scale of `Reading`."""
    return float(np.mean([getattr(each, scale) for each in found.values()]))


def closed(undefended: Readings, found: Readings, floor: Readings, scale: str) -> float:
    """Return how much of the way from what is undefended down to a guess an attack fell, on one scale."""
    high, low = mean(undefended, scale), mean(floor, scale)
    return (high - mean(found, scale)) / (high - low) if high > low else 0.0


def digest(record: CrowdsourceRecord, settings: list[Setting]) -> str:
    """Hash what must not depend on the grid: what every participant sent, and what was measured, to six digits."""
    hashed = hashlib.sha256()
    for part in (record.contributions, record.labels):
        for node_id, message in part.items():
            hashed.update(node_id.to_bytes(8) + canonical(message))
    for setting in settings:
        for found in (setting.tasks, setting.in_loop, setting.fresh):
            for name, each in found.items():
                hashed.update(f"{name} {each.accuracy:.6f} {each.balanced:.6f}".encode())
    return hashed.hexdigest()
