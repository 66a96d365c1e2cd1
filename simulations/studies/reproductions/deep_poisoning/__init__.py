"""Deep Poisoning's Tables 1 to 5: the paper's numbers and ours, and which of its orderings hold.

For each seed, three jobs: a network, a reconstructor and modules on all of S (Tables 1, 2 and 3); DeepObfuscator and a
module on attributes of faces (Table 4); four entities with parts of S (Table 5).
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from parties.workflow import Progress
from protocol.compute.workshop import Workshop
from simulations.reports.model import versions
from simulations.reports.reproduction import Cell, Claim, Interval, NumberTable, ReproductionReport, Row, judge
from simulations.reports.words import percent
from simulations.runs.workshops import finished
from simulations.studies.reproductions.deep_poisoning.data import check
from simulations.studies.reproductions.deep_poisoning.paper import PAPER
from simulations.studies.reproductions.deep_poisoning.scale import SCALES, Scale
from simulations.studies.reproductions.deep_poisoning.tables import competitor, hiding, sharing

TABLES = {
    "Table 1": "Table 1: accuracy of the published decider on features of fresh images",
    "Table 2": "Table 2: reconstructions from features by the published reconstructor; SSIM and L1 in hundredths",
    "Table 3": "Table 3: perturbations and modules",
    "Table 4": "Table 4: DeepObfuscator and a module, on attributes of faces",
    "Table 5": "Table 5: refining deciders on a pool",
}
"""The last one is the main table, which is drawn."""
Found = dict[tuple[str, str, str], list[float]]
"""One number per seed, by table, row and column."""


def reproduce(
    seeds: Sequence[int], workshop: Workshop, progress: Progress, dataset: str = "painted", root: Path | None = None
) -> ReproductionReport:
    """Run the experiments.

    Args:
        seeds: Worlds; at least two, for an interval.
        workshop: Where everything is trained.
        dataset: A key of `SCALES`: ``painted``, or ``imagenet`` for the paper's scale, with CelebA for Table 4.
        root: The folder of published data sets.

    Raises:
        BadInput: When a data set is not available.
        RunFailed: When a job failed.
    """
    start = time.perf_counter()
    scale = SCALES[dataset]
    check(scale, root)
    jobs = []
    for seed in seeds:
        jobs += [workshop.submit(hiding, scale, root, backbone, seed) for backbone in scale.backbones]
        jobs += [workshop.submit(job, scale, root, seed) for job in (competitor, sharing)]
    ends = finished(workshop, jobs, "training networks, modules and deciders", progress)
    found: Found = defaultdict(list)
    for end in ends:
        for key, value in end.result().items():
            found[key].append(value)
    claims = _claims(found, scale)
    *others, main = (_table(found, name, title) for name, title in TABLES.items())
    return ReproductionReport(
        name="deep-poisoning",
        title="Deep Poisoning, Tables 1 to 5",
        summary=_summary(found, claims),
        settings=_settings(scale),
        columns=main.columns,
        rows=main.rows,
        more=others,
        claims=claims,
        seeds=list(seeds),
        equipment=workshop.equipment,
        devices=dict(Counter(end.device for end in ends)),
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
    )


def _table(found: Found, name: str, title: str) -> NumberTable:
    """Return a table in the paper's layout."""
    keys = [key for key in found if key[0] == name]
    rows, columns = (list(dict.fromkeys(key[part] for key in keys)) for part in (1, 2))
    if name == "Table 5":
        rows.sort(key=lambda row: int(row.partition(",")[0]) if row[0].isdigit() else 99)
    return NumberTable(
        title=title,
        columns=columns,
        rows=[
            Row(
                what=(row,),
                cells={
                    column: Cell(paper=PAPER.get((name, row, column)), ours=Interval.of(found[name, row, column]))
                    for column in columns
                },
            )
            for row in rows
        ],
    )


def _claims(found: Found, scale: Scale) -> list[Claim]:
    def less(table: str, column: str, *rows: str) -> dict[str, Sequence[float]]:
        """Return the difference of each row and the next one, per seed."""
        return {
            f"{one} - {other}": _differences(found[table, one, column], found[table, other, column])
            for one, other in pairwise(rows)
        }

    def against(table: str, column: str, worse: str, better: str, sign: float = 1.0) -> dict[str, Sequence[float]]:
        return {
            f"{better} - {worse}": [
                sign * value for value in _differences(found[table, better, column], found[table, worse, column])
            ]
        }

    five: Callable[[str, str], dict[str, Sequence[float]]] = lambda better, worse: against(  # noqa: E731
        "Table 5", "top-1", worse, better
    )
    backbone = list(scale.backbones)[-1]
    kept = _differences(found["Table 1", f"{backbone}, top-1", "Poisoned"],
                        found["Table 1", f"{backbone}, top-1", "Original"])  # fmt: skip
    last = "12, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S4)"
    return [
        judge("Table 1: poisoned features lose less than 2 points of top-1.", {
            "2 points - loss": [x + 0.02 for x in kept]}),
        judge("Table 2: the reconstructor's SSIM falls below .05.", {
            ".05 - SSIM": [0.05 - x for x in found["Table 2", f"{backbone}, SSIM", "Poisoned"]]}),
        judge("Not in the paper: its SSIM with the negative stays below .12.", {
            ".12 - SSIM": [0.12 - x for x in found["Table 2", f"{backbone}, SSIM of the negative", "Poisoned"]]}),
        judge("Table 2: L1 rises.", {"poisoned - original": _differences(
            found["Table 2", f"{backbone}, L1", "Poisoned"], found["Table 2", f"{backbone}, L1", "Original"])}),
        judge("Table 3: the module keeps more accuracy than noise and filters do.", {
            f"DPM - {kind}": _differences(found["Table 3", "DPM", "top-1"], found["Table 3", kind, "top-1"])
            for kind in ("GN", "GF", "MF")}),
        judge("Table 3: the module hides more than noise and filters do (SSIM).", {
            f"{kind} - DPM": _differences(found["Table 3", kind, "SSIM"], found["Table 3", "DPM", "SSIM"])
            for kind in ("GN", "GF", "MF")}),
        judge("Table 3: behind noise or a filter, the module keeps more than they do alone.", {
            f"{kind}+DPM - {kind}": _differences(
                found["Table 3", f"{kind}+DPM", "top-1"], found["Table 3", kind, "top-1"])
            for kind in ("GN", "GF", "MF")}),
        judge("Table 4: the module keeps more utility than DeepObfuscator.",
              against("Table 4", "utility mAP", "DeepObfuscator", "DPM")),
        judge("Table 4: the module hides more from its reconstructor (SSIM).",
              less("Table 4", "SSIM", "w/o protection", "DeepObfuscator", "DPM")),
        judge("Table 4: DeepObfuscator can be reversed by anyone who holds it (SSIM).", {
            "reversed - own adversary": _differences(
                found["Table 4", "DeepObfuscator", "SSIM, sharing"], found["Table 4", "DeepObfuscator", "SSIM"])}),
        judge("Table 5: two clean sets beat one, end to end.", five("6, f(S1) + f(S2)", "1, raw images S1")),
        judge("Table 5: own clean and another's poisoned features beat own images end to end.",
              five("7, f(S1) + P2 f(S2)", "1, raw images S1") | five("8, P1 f(S1) + f(S2)", "2, raw images S2")),
        judge("Table 5: poisoned features are worth less than clean ones.",
              five("6, f(S1) + f(S2)", "7, f(S1) + P2 f(S2)")),
        judge("Table 5: a third set adds to two.",
              five("9, P1 f(S1) + P2 f(S2) + f(S3)", "7, f(S1) + P2 f(S2)")),
        judge("Table 5: the small entity gains most from the pool, against its images end to end.",
              five(last, "4, raw images S4")),
        judge("Table 5: with the pool it beats the network that the first entity published (row 12 above row 1).",
              five(last, "1, raw images S1")),
        judge("Not in the paper: it gains over its own features on the shared featurizer.",
              five(last, "control, f(S4) alone")),
        judge("Not in the paper: it gains over them when deciders are fine-tuned.",
              five("12, fine-tuned", "control, fine-tuned: f(S4) alone")),
        judge("Not in the paper: a large entity gains over its own features on the shared featurizer.",
              five("7, f(S1) + P2 f(S2)", "control, f(S1) alone")
              | five("8, P1 f(S1) + f(S2)", "control, f(S2) alone")),
    ]  # fmt: skip


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(first, second, strict=True)]


def _summary(found: Found, claims: Sequence[Claim]) -> str:
    def mean(*key: str) -> float:
        values = found[key[0], key[1], key[2]]
        return sum(values) / len(values)

    held = sum(claim.verdict == "holds" for claim in claims)
    return (
        f"{held} of {len(claims)} claims hold here: poisoning takes top-1 from "
        f"{percent(mean('Table 3', 'w/o', 'top-1'))} to {percent(mean('Table 3', 'DPM', 'top-1'))} and the "
        f"reconstructor's SSIM from {mean('Table 3', 'w/o', 'SSIM'):.2f} to {mean('Table 3', 'DPM', 'SSIM'):.3f}; the "
        f"small entity has {percent(mean('Table 5', '4, raw images S4', 'top-1'))} end to end, "
        f"{percent(mean('Table 5', 'control, f(S4) alone', 'top-1'))} on the shared featurizer without a pool, and "
        f"{percent(mean('Table 5', '12, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S4)', 'top-1'))} with it."
    )


def _settings(scale: Scale) -> list[str]:
    return [
        f"Images: {scale.name}. The paper: ImageNet, 500 classes for the task and the other 500 as public images; for "
        "Table 4 CelebA.",
        f"Networks: {', '.join(f'{ours} for the {theirs}' for theirs, ours in scale.backbones.items())}; for Table 4 "
        f"{scale.attributes}, where the paper has VGG. Features are cut after its first blocks.",
        f"Steps of {scale.batch} images: network {scale.pretraining:,}, reconstructor {scale.reconstruction:,}, module "
        f"{scale.poisoning:,}, decider {scale.refinement:,}, DeepObfuscator {scale.obfuscation:,}.",
        f"A module minimises the class loss and {scale.weight:g} times the "
        + {"either": "larger absolute SSIM over the image and its negative", "absolute": "absolute SSIM",
           "signed": "SSIM"}[scale.penalty]
        + "; the paper's loss is the signed SSIM once, which teaches modules to produce negatives.",
        f"Three entities have {percent(scale.share, digits=0)} of the task's images each, the fourth a tenth of that; "
        "deciders of rows 6 to 12 start from new weights, unless they are called fine-tuned.",
        "DeepObfuscator is trained against both of its adversaries: after the image, and after private attributes, "
        "which starts trained, learns 2.5 times as fast and takes four steps for each of the obfuscator's.",
        "SSIM and L1 are in hundredths here, as accuracies are. Table 4, sharing: what an attacker reconstructs that "
        "holds what entities share; with a module the paper calls it “denied”, as the module is secret.",
        "All images are fresh ones, which neither network nor module has seen.",
    ]  # fmt: skip
