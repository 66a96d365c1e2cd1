"""The rows of the report: what a pool leaks, is worth, and promises."""

from collections.abc import Collection, Iterator

import numpy as np

from simulations.evaluation import leak, mean, proportion, utility
from simulations.reports.evaluation import NOTHING, Estimate, Leak, Promise, Utility
from simulations.reports.model import Seen
from simulations.workflows.pool.scoring import OBFUSCATOR, PAPERS_POOL, POOL, Judged, ScoredPool, Tried

CLEAN = "clean features"
DRAWER, WITH_PAIRS, UNLABELLED = (
    "who draws from the pool", "who draws from the pool and has leaked pairs", "who gets features without labels",
)  # fmt: skip
WITHOUT = {
    "end to end": "alone", "own features": "control", "the published network as it is": "as_is",
}  # fmt: skip
"""What an entity has without a pool, and where its account says so."""


def leaks(scored: ScoredPool) -> Iterator[Leak]:
    """Score every attack on the pool, on clean features, and on what the pool is compared with."""
    tried = [(each, each.clean.named) for each in scored.tried if each.clean is not None]
    best = max((named for _, named in tried), key=lambda named: named.rate.value)
    restores = "which class a recogniser names in what is restored"
    for each in scored.tried:
        if each.attack.kind == "pairs" and not each.attack.pairs:
            continue  # that is the published reconstructor
        yield leak(
            each.method, WITH_PAIRS if each.attack.kind == "pairs" else DRAWER, "reconstruction",
            restores, attack=_name(each.attack.name, each.attack.kind), knows=each.attack.knows, budget=each.budget,
            shared=each.protected.named, baseline=scored.shown_majority,
            ceiling=best if each.clean is None else each.clean.named, measures=_measures(each.protected),
        )  # fmt: skip
    for each in scored.tried:
        if each.clean is not None:
            yield leak(
                CLEAN, DRAWER, "reconstruction", restores, attack=each.attack.name, knows=each.attack.knows,
                shared=each.clean.named, baseline=scored.shown_majority, measures=_measures(each.clean),
            )  # fmt: skip
    for told in scored.told:
        who = UNLABELLED if told.by_class else DRAWER
        yield leak(
            POOL, who, "inference", told.what, attack=told.attack, knows=told.knows, shared=told.right,
            baseline=told.majority, ceiling=told.clean,
        )  # fmt: skip


def pictures_seen(scored: ScoredPool) -> dict[str, Seen]:
    """Return what is restored of one image of each of the first people, by the attack of which most is recognised."""
    shown = {}
    for method in dict.fromkeys(each.method for each in scored.tried):
        best = max((each for each in scored.tried if each.method == method), key=_recognised)
        pictures = best.protected.pictures.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        observer = WITH_PAIRS if best.attack.kind == "pairs" and best.attack.pairs else DRAWER
        shown[method] = Seen(observer, best.attack.name, dict(enumerate(pictures)))
    return shown


def _recognised(tried: Tried) -> float:
    return tried.protected.named.rate.value


def worth(scored: ScoredPool) -> Iterator[Utility]:
    """Say what deciders reach with the pool, without it, and with clean features."""
    tested = len(scored.union.hits)
    for each in scored.entities:
        task = f"the class, by {each.party} ({each.images:,} images)"
        if each.pooled is not None:
            yield utility(POOL, task, _share(each.pooled, tested), scored.majority, scored.union)
        for name, field in WITHOUT.items():
            yield utility(f"no pool: {name}", task, _share(getattr(each, field), tested), scored.majority, scored.union)
    yield utility(CLEAN, "the class, by all entities together", scored.union, scored.majority, scored.union)


def promises(methods: Collection[str]) -> list[Promise]:
    """Say that nothing is proven of any of these."""
    said = {
        POOL: "modules are trained against one reconstructor, and labels are in the pool as they are",
        PAPERS_POOL: "modules are trained against one reconstructor, and may paint negatives; labels are in the pool as"
        " they are",
        OBFUSCATOR: "who holds the obfuscator can learn to reverse it; labels are shared as they are",
        CLEAN: "features and labels are shared as they are",
    }
    return [Promise(method=name, proven=f"{NOTHING}; {said[name]}") for name in said if name in methods]


def _share(value: float, tested: int) -> Estimate:
    return proportion(np.arange(tested) < round(value * tested))


def _name(name: str, kind: str) -> str:
    """Leave the number of modules out: it is the budget."""
    return name.partition(" ")[2].replace("module ", "modules ") if kind in ("modules", "aligned") else name


def _measures(judged: Judged) -> dict[str, Estimate]:
    found = {"ssim": mean(judged.similar), "ssim of the negative": mean(judged.opposite), "l1": mean(judged.away)}
    return found if judged.unlike is None else {**found, "lpips": mean(judged.unlike)}
