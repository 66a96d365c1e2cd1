"""CrowdBuy's Fig. 10: "we use the selected data of different mechanisms to train a CNN" (section VI.D).

The paper's text does not say which classes the CNN has. It knows ten categories of dogs, and it is also tested on "dog
images from unknown categories", which it cannot name. So two accuracies of one CNN are measured, whose classes are the
known categories and "no dog":

- *naming*: accuracy of the category on fresh pictures of known categories. Chance is one in six.
- *recognising*: balanced accuracy of dogs or cats on fresh dogs, of known or of unknown categories, and as many fresh
  cats. Chance is one half.

For each seed and each spread of categories over pictures on offer (uniform, or normal: those in the middle of the list
are frequent):

1. draw which five of the ten painted breeds of dogs are known, two samples of each, and the pictures on offer, at
   identical prices ("to eliminate the effect caused by uneven selected image dataset sizes");
2. for each privacy level and mechanism, find the least budget that buys `BOUGHT` pictures, with the cloud's selection
   on the same truthful bids, and keep exactly as many, in the public order of ties;
3. train a CNN on these and as many cats, with the same initial weights for each mechanism; test it.

Labels are the truth: the buyer labels the pictures that it bought.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from parties.featurizers import load_featurizer
from parties.workflow import Progress
from protocol.compute.workshop import Workshop
from simulations.data.breeds import CATS
from simulations.reports.model import versions
from simulations.reports.reproduction import Cell, Claim, Interval, ReproductionReport, Row, judge
from simulations.reports.words import percent
from simulations.runs.seeding import numpy_generator
from simulations.runs.workshops import finished
from simulations.studies.reproductions.crowdbuy.buying import (
    BOUGHT,
    KNOWN,
    OFFERED,
    SAMPLES,
    Labels,
    Market,
    Test,
    buy,
    market,
)
from strategies.learning.classifier import classify, train_classifier

QUALITIES = ("quantity", "matching", "diversity")
SYSTEMS = {"level1": "CrowdBuy", "level2": "CrowdBuy++"}
SPREADS = ("uniform", "normal")
MEASURES = {
    "naming": "accuracy by category, known",
    "known": "dogs or cats, known categories",
    "unknown": "dogs or cats, unknown categories",
}

TESTED = 500
"""Fresh pictures of each kind in a test."""
EPOCHS = 20

PAPER: dict[tuple[str, str, str, str], float] = {
    ("uniform", "naming", "level1", "matching"): 0.53,
    ("uniform", "naming", "level2", "matching"): 0.49,
    ("uniform", "naming", "level1", "diversity"): 0.80,
    ("uniform", "naming", "level2", "diversity"): 0.75,
    ("normal", "naming", "level1", "diversity"): 0.993,
    ("normal", "naming", "level2", "diversity"): 0.962,
    ("normal", "unknown", "level1", "diversity"): 0.992,
    ("normal", "unknown", "level2", "diversity"): 0.974,
}
"""Numbers from section VI.D on Fig. 10, by spread, measure, system and quality; the others have no numbers."""


def train_and_test(
    device: torch.device,
    bought: NDArray[np.uint8],
    labels: Labels,
    others: Test,
    tests: dict[str, Test],
    known: Labels,
    seed: int,
) -> dict[str, float]:
    """Train a CNN on labelled pictures of dogs and on cats, and return its accuracy by measure; a job.

    Args:
        bought: (n, 64, 64, 3), pictures of known breeds.
        labels: (n,) int64, positions of their breeds in `known`.
        others: Cats to train on.
        tests: ``known``, ``unknown`` and ``cats``.
        known: (k,) int64, the known breeds.
        seed: Of weights and order.
    """
    stranger = len(known)
    network = train_classifier(
        np.concatenate([bought, others.pictures()]),
        np.concatenate([labels, np.full(len(others.breeds), stranger)]),
        stranger + 1,
        torch.Generator().manual_seed(seed),
        device=device,
        epochs=EPOCHS,
    )
    guesses = {name: classify(network, test.pictures()) for name, test in tests.items()}
    cats = float((guesses["cats"] == stranger).mean())
    right = np.append(known, -1)[guesses["known"]] == tests["known"].breeds
    return {
        "naming": float(right.mean()),
        **{name: (float((guesses[name] != stranger).mean()) + cats) / 2 for name in ("known", "unknown")},
    }


Accuracies = dict[tuple[str, str, str, str], list[float]]
"""One accuracy per seed, by spread, measure, system and quality."""


def reproduce(seeds: Sequence[int], workshop: Workshop, progress: Progress) -> ReproductionReport:
    """Run the experiment.

    Args:
        seeds: Worlds; at least two, for an interval.
        workshop: Where the CNNs are trained.

    Raises:
        RunFailed: When a CNN could not be trained.
    """
    start = time.perf_counter()
    featurizer = load_featurizer("small")
    settings, jobs = [], []
    for number, (seed, spread) in enumerate(product(seeds, SPREADS)):
        progress("selecting images", number, len(seeds) * len(SPREADS))
        offered = market(seed, spread, featurizer)
        bought = {
            (system, quality): buy(offered, system, quality, featurizer.calibration, seed)
            for system, quality in product(SYSTEMS, QUALITIES)
        }
        count = min(map(len, bought.values()))
        for (system, quality), positions in bought.items():
            settings.append((spread, system, quality))
            jobs.append(workshop.submit(train_and_test, *_lesson(offered, positions[:count], seed, spread)))
    ends = finished(workshop, jobs, "training CNNs", progress)
    accuracies: Accuracies = defaultdict(list)
    for (spread, system, quality), end in zip(settings, ends, strict=True):
        for measure, value in end.result().items():
            accuracies[spread, measure, system, quality].append(value)
    claims = _claims(accuracies)
    return ReproductionReport(
        name="crowdbuy",
        title="CrowdBuy, Fig. 10: which mechanism buys the best training images",
        summary=_summary(accuracies, claims[0]),
        settings=_settings(),
        columns=list(QUALITIES),
        rows=_rows(accuracies),
        claims=claims,
        seeds=list(seeds),
        equipment=workshop.equipment,
        devices=dict(Counter(end.device for end in ends)),
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
    )


def _lesson(offered: Market, positions: Labels, seed: int, spread: str) -> tuple[object, ...]:
    """Return the arguments of `train_and_test`: the same tests, cats and weights for all mechanisms of a world."""
    generator = numpy_generator(seed, "fig10 tests", spread)
    paint = [int(number) for number in generator.integers(2**62, size=5)]
    tests = {
        "known": Test(generator.choice(offered.known, TESTED, p=offered.shares), paint[0]),
        "unknown": Test(generator.choice(offered.unknown, TESTED), paint[1]),
        "cats": Test(generator.integers(len(CATS), size=TESTED), paint[2]),
    }
    others = Test(generator.integers(len(CATS), size=len(positions)), paint[3])
    places = {int(breed): place for place, breed in enumerate(offered.known)}
    labels = np.array([places[int(breed)] for breed in offered.breeds[positions]], dtype=np.int64)
    return offered.pictures[positions], labels, others, tests, offered.known, paint[4]


def _rows(accuracies: Accuracies) -> list[Row]:
    return [
        Row(
            what=(f"categories {spread}", MEASURES[measure], SYSTEMS[system]),
            cells={
                quality: Cell(
                    paper=PAPER.get((spread, measure, system, quality)),
                    ours=Interval.of(accuracies[spread, measure, system, quality]),
                )
                for quality in QUALITIES
            },
        )
        for spread, measure, system in product(SPREADS, MEASURES, SYSTEMS)
    ]


def _claims(accuracies: Accuracies) -> list[Claim]:
    def by_seed(spread: str, measure: str, quality: str) -> NDArray[np.float64]:
        """Return the mean over both systems, (seeds,)."""
        return np.asarray(np.mean([accuracies[spread, measure, system, quality] for system in SYSTEMS], axis=0))

    def lead(better: str, spreads: Sequence[str], measure: str, *others: str) -> dict[str, Sequence[float]]:
        """Return the lead of a quality over each of the others, per seed."""
        return {
            f"{better} - {other}": np.mean(
                [by_seed(spread, measure, better) - by_seed(spread, measure, other) for spread in spreads], axis=0
            ).tolist()
            for other in others
        }

    def loss(quality: str) -> NDArray[np.float64]:
        """Return the loss of recognising from known to unknown categories, per seed."""
        drops = [by_seed(spread, "known", quality) - by_seed(spread, "unknown", quality) for spread in SPREADS]
        return np.asarray(np.mean(drops, axis=0))

    return [
        judge(
            "Categories uniform: diversity trains the best CNN.",
            lead("diversity", ["uniform"], "naming", "quantity", "matching"),
        ),
        judge(
            "Categories uniform: matching trains the worst CNN.",
            lead("diversity", ["uniform"], "naming", "matching") | lead("quantity", ["uniform"], "naming", "matching"),
        ),
        judge(
            "Categories normal: diversity trains the best CNN.",
            lead("diversity", ["normal"], "naming", "quantity", "matching"),
        ),
        judge(
            "Categories normal: all three mechanisms train CNNs with an accuracy above 90 %.",
            {f"{quality} - 90 %": (by_seed("normal", "naming", quality) - 0.9).tolist() for quality in QUALITIES},
        ),
        judge(
            "Unknown categories: diversity trains the best CNN.",
            lead("diversity", SPREADS, "unknown", "quantity", "matching"),
        ),
        judge(
            "From known to unknown categories, diversity loses least accuracy.",
            {
                f"{other}'s loss - diversity's": (loss(other) - loss("diversity")).tolist()
                for other in ("quantity", "matching")
            },
        ),
    ]


def _summary(accuracies: Accuracies, claim: Claim) -> str:
    means = {
        quality: np.mean([accuracies["uniform", "naming", system, quality] for system in SYSTEMS])
        for quality in QUALITIES
    }
    said = ", ".join(f"{percent(float(mean))} bought for {quality}" for quality, mean in means.items())
    plain = {
        "holds": "The paper's claim that diversity trains the best model holds here",
        "does not hold": "The paper's claim that diversity trains the best model does not hold here",
        "not shown": "The paper's claim that diversity trains the best model is not shown here",
    }[claim.verdict]
    return f"{plain}. Accuracy on known categories of a CNN trained on equally many images: {said}."


def _settings() -> list[str]:
    return [
        f"{KNOWN} of the ten painted breeds of dogs are known and the others unknown; the buyer shows {SAMPLES} "
        f"samples. {OFFERED} images are on offer at one price, and each mechanism buys {BOUGHT} of them. The paper: "
        "10 categories of photographs of dogs, 13,000 on offer, 5,000 bought.",
        "The categories on offer are equally frequent (uniform), or those in the middle of the list are the most "
        "frequent (normal).",
        "The mechanisms select as the cloud does, from features (CrowdBuy) or signatures (CrowdBuy++). Matching and "
        "diversity pay more than the price asked, and so buy fewer images for the same money; here each gets the "
        "least budget that buys as many.",
        f"A CNN of four convolutions is trained from scratch on the bought images and as many cats, {EPOCHS} epochs, "
        f"and tested on {TESTED} fresh images of each kind. Labels are the truth.",
        "Accuracy by category: on dogs of known categories; chance is "
        f"{percent(1 / (KNOWN + 1))}. Dogs or cats: balanced accuracy; chance is {percent(0.5)}. The paper does not "
        "say which classes its CNN has, nor how the test on unknown categories is scored; its numbers for these are "
        "beside our dogs or cats, and for normal categories.",
    ]
