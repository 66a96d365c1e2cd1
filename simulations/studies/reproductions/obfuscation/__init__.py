"""Image obfuscation, Tables 2 to 7 and Figs. 1 to 5: the paper's numbers and ours, and which of its claims hold.

For each seed: a model for every setting of Table 7 and Fig. 5, mixed without and within classes; two recognisers that
answer surveys (Tables 2 to 5); McPherson's CNN for every technique of Table 6; restoring attacks of section 4.4.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from parties.workflow import Progress
from protocol.compute.workshop import Handle, Workshop
from protocol.errors import BadInput
from simulations.data.labelled import LabelledImages, labelled_images
from simulations.reports.model import versions
from simulations.reports.plot import Plot
from simulations.reports.reproduction import ReproductionReport
from simulations.runs.seeding import secret
from simulations.runs.workshops import finished
from simulations.studies.reproductions.obfuscation.claims import claims, settings, summary
from simulations.studies.reproductions.obfuscation.figures import (
    Curves,
    agreement_plot,
    curves,
    example_plot,
    examples,
    false_positive_plot,
)
from simulations.studies.reproductions.obfuscation.jobs import (
    Asked,
    Set,
    attack,
    attack_above,
    recognition,
    restoration,
)
from simulations.studies.reproductions.obfuscation.paper import AGREEMENT
from simulations.studies.reproductions.obfuscation.scale import ASKED, PAPER_SIDE, SCALES, Scale
from simulations.studies.reproductions.obfuscation.tables import (
    ABOVE,
    ACCURACY,
    ATTACKED,
    CLASSES,
    INTRA,
    PRIVACY,
    PRIVACY_INTRA,
    SETTINGS,
    Numbers,
    agreement_tables,
    attack_table,
    points,
    restoration_table,
    tradeoff_rows,
)
from simulations.workflows.outsource.page import tradeoff_plot
from simulations.workflows.outsource.report import TradeOff
from simulations.workflows.outsource.tradeoff import Lesson, train_and_test
from strategies.features.featurizer import prepare
from strategies.obfuscation.least import MIXTURES
from strategies.scores.recognition import Agreement


class TradeOffReport(ReproductionReport):
    """The reproduction, with the points of Fig. 5.

    Attributes:
        tradeoffs: Means over seeds, intra-class, as in the figure.
        reference: Mean accuracy without obfuscation.
        curves: Of Figs. 3 and 4.
        examples: Pictures of Fig. 1, data URIs.
    """

    tradeoffs: list[TradeOff]
    reference: float
    curves: list[Curves]
    examples: dict[str, str]


def reproduce(
    seeds: Sequence[int],
    workshop: Workshop,
    progress: Progress,
    dataset: str = "pets",
    root: Path | None = None,
    scale: Scale | None = None,
) -> TradeOffReport:
    """Run the experiments.

    Args:
        seeds: Worlds; at least two, for an interval.
        workshop: Where everything is trained.
        dataset, root: See `labelled_images`.
        scale: None: the scale of the data set.

    Raises:
        BadInput: When the data set cannot be used.
        RunFailed: When a job failed.
    """
    start = time.perf_counter()
    scale = scale or SCALES[dataset]
    jobs: dict[tuple[object, ...], Handle[Any]] = {}
    photos = "stl10" if dataset == "stl10" else "dogs"
    for number, seed in enumerate(seeds):
        progress("preparing images", number, len(seeds))
        images = labelled_images(dataset, root, seed, classes=CLASSES, side=scale.side)
        asked = _asked(dataset, root, seed, scale, photos)
        if not number:
            shown = examples(asked.pictures[:2], Scale(**{**asdict(scale), "side": asked.pictures.shape[1]}), seed)
        jobs |= _jobs(workshop, scale, images, seed, asked)
    ends = finished(workshop, list(jobs.values()), "training models, recognisers and attackers", progress)
    results = dict(zip(jobs, (end.result() for end in ends), strict=True))
    strengths: dict[str, list[str]] = defaultdict(list)
    agreements: dict[tuple[str, str], list[Agreement]] = defaultdict(list)
    for key, result in results.items():
        if key[0] == "attack" and key[1] in ABOVE:
            results[key], strength = result
            strengths[str(key[1])].append(strength)
        if key[0] == "recognition":
            for name, each in result.items():
                agreements[name].append(each)
    found = _numbers(list(results), list(results.values()))
    judged = claims(found)
    return TradeOffReport(
        name="obfuscation",
        title="Image obfuscation, Table 7: accuracy and privacy",
        summary=summary(found, judged),
        settings=settings(scale, dataset, strengths),
        columns=[ACCURACY, INTRA, PRIVACY, PRIVACY_INTRA],
        rows=tradeoff_rows(found, scale),
        more=[*agreement_tables(found, photos), attack_table(found), restoration_table(found)],
        claims=judged,
        seeds=list(seeds),
        equipment=workshop.equipment,
        devices=dict(Counter(end.device for end in ends)),
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
        tradeoffs=points(found, scale),
        reference=float(np.mean(found[ACCURACY, None])),
        curves=curves(agreements),
        examples=shown,
    )


def figures(report: TradeOffReport) -> list[Plot]:
    """Draw Figs. 1 to 5."""
    drawn, seeds = tradeoff_plot(report.tradeoffs, report.reference), len(report.seeds)
    return [
        example_plot(report.examples),
        agreement_plot(report.curves, "people", seeds),
        false_positive_plot(report.curves, seeds),
        agreement_plot(report.curves, "vision", seeds),
        replace(drawn, alt=f"Fig. 5: means over seeds, mixed within classes. {drawn.alt}"),
    ]


def _asked(dataset: str, root: Path | None, seed: int, scale: Scale, photos: str) -> Asked:
    """Return the paper's threshold t_acc on dSSIM, and images of the size that it was asked at."""
    side = max(scale.side, ASKED.get(dataset, PAPER_SIDE))
    album, _ = labelled_images(dataset, root, seed, classes=CLASSES, side=side).take(MIXTURES, "training")
    threshold = AGREEMENT["people", photos]["dSSIM"][1]
    assert threshold is not None
    return Asked(np.stack([prepare(album[place], side) for place in range(len(album))]), threshold)


def _jobs(
    workshop: Workshop, scale: Scale, images: LabelledImages, seed: int, asked: Asked
) -> dict[tuple[object, ...], Handle[Any]]:
    """Hand in all jobs of a seed."""
    training, tests, public = _sets(images, scale)
    task_of = np.array([sorted(set(images.kinds)).index(kind) for kind in images.kinds]) if images.kinds else None
    draw = int.from_bytes(secret(seed, "obfuscation")[:6])
    jobs: dict[tuple[object, ...], Handle[Any]] = {
        ("recognition", seed): workshop.submit(recognition, scale, public, tests, draw % 10**6),
        ("restoration", seed): workshop.submit(restoration, scale, tests, draw),
    }
    for name, setting in ATTACKED.items():
        chosen = None if setting is None else scale.setting(*setting)
        if chosen is not None and name in ABOVE:
            jobs["attack", name, seed] = workshop.submit(attack_above, scale, public, tests, chosen, draw, asked)
        else:
            jobs["attack", name, seed] = workshop.submit(attack, scale, public, tests, chosen, draw)
    for intra in (False, True):
        labels, test_labels = (each.classes if task_of is None else task_of[each.classes] for each in (training, tests))
        lesson = Lesson(
            pictures=training.pictures, labels=labels, tests=tests.pictures, test_labels=test_labels,
            classes=int(labels.max()) + 1, architecture=scale.architecture, epochs=scale.epochs, batch=scale.batch,
            intra_class=intra, repeat=True,
        )  # fmt: skip
        for each in (*([] if intra else [None]), *SETTINGS):
            chosen = None if each is None else scale.setting(*each)
            jobs["tradeoff", intra, each, seed] = workshop.submit(train_and_test, lesson, chosen, draw)
    return jobs


def _sets(images: LabelledImages, scale: Scale) -> list[Set]:
    wanted = {"training": scale.training, "tests": scale.tests, "public": scale.public}
    share = 1.0 if images.available is None else min(1.0, images.available / sum(wanted.values()))
    sets = []
    for what, count in wanted.items():
        album, classes = images.take(int(count * share), what)
        if len(classes) < 4 * CLASSES:
            raise BadInput(f"there are {len(classes)} images for {what}: a reproduction needs {4 * CLASSES} or more")
        sets.append(Set(np.stack([prepare(album[place], scale.side) for place in range(len(album))]), classes))
    return sets


def _numbers(keys: Sequence[tuple[object, ...]], results: Sequence[Any]) -> Numbers:
    found: Numbers = defaultdict(list)
    for key, result in zip(keys, results, strict=True):
        match key:
            case ("tradeoff", intra, setting, _):
                found[INTRA if intra else ACCURACY, setting].append(result.accuracy)
                found[PRIVACY_INTRA if intra else PRIVACY, setting].append(result.privacy)
            case ("attack", name, _):
                found["attack", name].append(result)
            case ("recognition", _):
                for (who, score), each in result.items():
                    found["AUC", who, score].append(each.auc)
                    found["t_acc", who, score].append(each.t_acc.value)
                    found["t_cut-off", who, score].append(each.t_cut_off.value)
            case _:
                for name, (before, after) in result.items():
                    found["before", name].append(before)
                    found["after", name].append(after)
    return found
