"""How well attributes are read, scored against the truth, and the numbers that sum a round up."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parties.crowdsource.workflow import CrowdsourceRecord
from protocol.encoding.canonical import canonical
from simulations.workflows.crowdsource.report import CrowdsourceOutcome, Reading, Readings, Setting
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from strategies.pric.reading import Read, majority, scored, task_induced


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
    low, high, fresh = mean(floor), mean(undefended.fresh), mean(chosen.fresh)
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
        fresh=fresh,
        in_loop=mean(chosen.in_loop),
        undefended=high,
        majority=low,
        induced=mean(told),
        way=(high - fresh) / (high - low) if high > low else 0.0,
        utility=mean(chosen.tasks),
        undefended_utility=mean(undefended.tasks),
        worst_loss=max(undefended.tasks[name].accuracy - found.accuracy for name, found in chosen.tasks.items()),
        ssim=chosen.leaks.ssim,
        recognised=chosen.leaks.recognised,
        membership=chosen.leaks.membership,
        presence=chosen.leaks.presence,
        digest=digest(record, [undefended, chosen]),
    )


def mean(found: Readings) -> float:
    """Return the mean accuracy over attributes."""
    return float(np.mean([each.accuracy for each in found.values()]))


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
