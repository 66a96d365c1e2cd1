"""A pool in words, and as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from parties.pool.scrutiny import NOTHING
from simulations.reports.model import Learned
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import percent, points, score
from simulations.workflows.pool.report import PoolOutcome, PoolReport, Shown
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.scoring import BROKEN, POOL, ScoredPool


def summary(outcome: PoolOutcome) -> str:
    """Say in one sentence what happened."""
    where = (
        f"{outcome.breaks_at:,} leaked pairs break the protection"
        if outcome.breaks_at
        else "No number of leaked pairs that was tried breaks the protection"
        if outcome.breaks_at is None
        else "The protection is broken without any leaked pair"
    )
    gain = (
        ""
        if outcome.small_gain is None
        else f" Gain of the smallest entity over the best that it has without the pool: {points(outcome.small_gain)}."
    )
    return (
        f"Entities pooled {outcome.features:,} poisoned features: the published reconstructor's SSIM falls from "
        f"{outcome.clean_ssim:.2f} to {outcome.ssim:.3f} ({outcome.ssim_of_negative:.3f} with the negative), and "
        f"accuracy from {percent(outcome.clean)} to {percent(outcome.poisoned)}. {where}.{gain}"
    )


def learned(scored: ScoredPool) -> list[Learned]:
    """Say what an attacker who draws from the pool learns of the images, attack by attack."""
    pictures = [
        Learned(
            observer="anyone who draws from the pool",
            what=f"the images, by {each.attack.name}",
            detail=f"knowing {each.attack.knows}: SSIM {each.protected.shown.ssim:.3f}, "
            f"{each.protected.shown.ssim_of_negative:.3f} with the negative; a recogniser of public images names the"
            f" class of {percent(each.protected.shown.recognised)}",
        )
        for each in scored.tried
        if each.method == POOL
    ]
    told = [
        Learned(
            observer="anyone who gets features without labels" if each.by_class else "anyone who draws from the pool",
            what=f"{each.what}, by {each.attack}",
            detail=f"knowing {each.knows}: accuracy {percent(each.right.rate.value)} (majority-class baseline: "
            f"{percent(each.majority)})",
        )
        for each in scored.told
    ]
    return pictures + told


def notes(scored: ScoredPool, scenario: PoolScenario) -> list[str]:
    """Say what a reader should know about what was published, and how reconstructions are judged."""
    said = [
        "Reconstructions are judged by a recogniser that was trained on public images of the same classes alone, as "
        "they are and as the published reconstructor restores them. On the"
        f" originals it is right on {percent(scored.recognised.rate.value)}."
    ]
    if scored.restored < NOTHING:
        said.append(
            "The published reconstructor restores nothing of public images (their SSIM exceeds that of other images by "
            f"{scored.restored:.2f}): modules that are trained against it hide nothing. "
            + (
                "Entities do not find out: only a policy has them try it (policy.pool.clean)."
                if scenario.policy is None or not scenario.policy.pool.clean
                else f"The policy has entities try it, and refuse where it is below {scenario.policy.pool.clean:g}."
            )
        )
    return said


def tables(report: PoolReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    table = Table(
        "entity", "images", "end to end", "own features", "published network", "with the pool", "used", "rejected",
        "SSIM", "negative",
        title=f"pool, seed {report.seed}: accuracy on fresh images", title_justify="left",
    )  # fmt: skip
    for each in report.entities:
        table.add_row(
            f"{each.party}{f' ({each.adversary})' if each.adversary else ''}", f"{each.images:,}",
            percent(each.alone), percent(each.control), percent(each.as_is), percent(each.pooled),
            f"{each.used:,}", f"{each.doubted:,}", score(each.ssim), score(each.ssim_of_negative),
        )  # fmt: skip
    yield table
    table = Table("attacker", "SSIM clean", "poisoned", "negative", "L1", "PSNR", "accuracy")
    for attack in report.attacks:
        found: Shown = attack.protected
        table.add_row(
            attack.name,
            score(None if attack.clean is None else attack.clean.ssim),
            *map(score, (found.ssim, found.ssim_of_negative, found.l1)),
            f"{found.psnr:.1f} dB",
            percent(found.recognised),
        )
    yield table
    yield from evaluation_tables(report)
    yield f"Broken means {percent(BROKEN, digits=0)} of the SSIM from clean features, in either polarity."
    yield report.summary
    yield from report.notes
