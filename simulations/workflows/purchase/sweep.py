"""The noise sweep (section VI.C, Fig. 6): the same purchase with more and more sellers who hold nothing of use."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from parties.adversaries import ADVERSARIES, Adversary
from parties.featurizers import load_featurizer
from parties.workflow import Progress
from protocol.errors import BadScenario
from protocol.flower import FIRST_NODE_ID
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.reports.model import versions
from simulations.reports.words import percent
from simulations.runs.grids import grid_opener
from simulations.workflows.purchase.phones import Phones
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.report.sweep import RadiusPoint, Range, SweepPoint, SweepReport, write_sweep_page
from simulations.workflows.purchase.scenario import PurchaseScenario, SweepSection
from simulations.workflows.purchase.scoring import PurchaseOutcome, is_wanted, score
from simulations.workflows.purchase.world import PurchaseWorld, build
from strategies.features.featurizer import Featurizer
from strategies.features.matching import nearest_distance

RADII = 40
"""Radii at which precision and recall are drawn, up to twice R."""


def run_sweep(
    scenario: PurchaseScenario,
    sweep: SweepSection,
    folder: Path,
    progress: Progress,
    adversaries: Mapping[str, Adversary] = ADVERSARIES,
) -> SweepReport:
    """Play a whole purchase for each share of noise sellers and each seed, and write one report.

    Args:
        scenario: The purchase; its share of noise and its seed are replaced. World i has the seed ``scenario.seed +
            i``.
        sweep: Shares of noise, and how many worlds for each.
        folder: Where ``report.json`` and ``report.html`` go.
        adversaries: Those that the scenario may name.

    Raises:
        BadScenario: When nobody knows what the pictures show.
        WorkflowFailed: When a purchase could not even begin.
    """
    start = time.perf_counter()
    featurizer = load_featurizer(scenario.cloud.featurizer, scenario.cloud.weights, scenario.cloud.calibration)
    radii = np.linspace(0, 2 * featurizer.calibration.radius, RADII + 1)[1:]
    middle = sweep.noise[len(sweep.noise) // 2]
    points, curves = [], []
    for number, share in enumerate(sweep.noise):
        outcomes = []
        for world_number in range(sweep.seeds):
            done = number * sweep.seeds + world_number
            what = f"{percent(share, digits=0)} noise sellers, world {world_number + 1} of {sweep.seeds}"
            progress(what, done, len(sweep.noise) * sweep.seeds)
            sellers = scenario.sellers.model_copy(update={"noise": share})
            chosen = scenario.model_copy(update={"sellers": sellers, "seed": scenario.seed + world_number})
            world, outcome = _purchase(chosen, featurizer, folder / "purchase", adversaries)
            outcomes.append(outcome)
            if share == middle:
                curves.append(precision_and_recall(world, featurizer, radii))
        points.append(_point(share, outcomes))
    report = SweepReport(
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        summary=summary(points),
        points=points,
        radius=featurizer.calibration.radius,
        curve_noise=middle,
        curve=_curve(radii, curves),
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
    )
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_sweep_page(folder / "report.html", report)
    return report


def precision_and_recall(
    world: PurchaseWorld, featurizer: Featurizer, radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, for each radius, the precision and the recall of what lies within it of a sample, (n, 2).

    By the true features of all pictures in all albums. NaN where nothing lies within, or where nobody knows what the
    pictures show.
    """
    albums = [(held, image) for held in world.sellers for image in range(len(held.party.album))]
    features = featurizer.features(held.party.album[image] for held, image in albums)
    wanted = np.array([bool(is_wanted(world, held, image)) for held, image in albums])
    distance = nearest_distance(features, featurizer.features(world.samples))
    near = (distance[:, None] <= radii) & (distance[:, None] > 0)
    hits = (near & wanted[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.stack([hits / near.sum(axis=0), hits / wanted.sum()], axis=1)


def summary(points: Sequence[SweepPoint]) -> str:
    """Say in one sentence what came out."""
    known = [(point.noise, point.candidates) for point in points if point.candidates is not None]
    if not known:
        return "Nothing matched at any share of noise sellers."
    said = ", ".join(f"{percent(precision.median)} at {percent(noise, digits=0)}" for noise, precision in known)
    return f"Precision of candidates by share of noise sellers: {said}."


def _purchase(
    scenario: PurchaseScenario, featurizer: Featurizer, folder: Path, adversaries: Mapping[str, Adversary]
) -> tuple[PurchaseWorld, PurchaseOutcome]:
    world = build(scenario, featurizer, folder / "bought", adversaries)
    if world.wanted is None or not world.class_names:
        raise BadScenario("sweep: precision needs pictures whose classes are known; name a data set, or sub-folders")
    try:
        with closing(Ledger()) as ledger:
            phones = Phones(scenario, world)
            vault = Vault(folder / "vault", lasting=False)
            cloud = phones.tell_time(make_cloud(scenario, featurizer, ledger, vault))
            record = play(world, cloud, open_grid=grid_opener(scenario, vault, (FIRST_NODE_ID,)), carry=phones.around)
            return world, score(scenario, featurizer, world, record, ledger).outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _point(share: float, outcomes: Sequence[PurchaseOutcome]) -> SweepPoint:
    return SweepPoint(
        noise=share,
        candidates=_range(outcome.candidate_precision for outcome in outcomes),
        bought=_range(outcome.precision for outcome in outcomes),
        recall=_range(outcome.recall for outcome in outcomes),
        digests=[outcome.digest for outcome in outcomes],
    )


def _range(values: Iterator[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    return Range(low=min(known), median=median(known), high=max(known)) if known else None


def _curve(radii: NDArray[np.float64], curves: Sequence[NDArray[np.float64]]) -> list[RadiusPoint]:
    """Take the mean over all worlds, at the radii where every one of them has a number."""
    together = np.mean(curves, axis=0)
    return [
        RadiusPoint(radius=round(float(radius)), precision=float(precision), recall=float(recall))
        for radius, (precision, recall) in zip(radii, together, strict=True)
        if np.isfinite(precision) and np.isfinite(recall)
    ]
