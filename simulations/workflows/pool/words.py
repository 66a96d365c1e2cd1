"""A pool in words, and as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.reports.words import percent, points, score
from simulations.workflows.pool.report import PoolOutcome, PoolReport, Shown
from simulations.workflows.pool.scoring import BROKEN, ScoredPool


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
        else f" Gain of the smallest entity from the pool: {points(outcome.small_gain)}."
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
            what=f"the images, by {attack.name}",
            detail=f"knowing {attack.knows}: SSIM {attack.protected.ssim:.3f}, {attack.protected.ssim_of_negative:.3f} "
            f"with the negative; the published network's accuracy on them is {percent(attack.protected.recognised)}",
        )
        for attack in scored.attacks
        if attack.kind not in {"loss", "obfuscator"}
    ]
    told = [
        Learned(
            observer="anyone who draws from the pool",
            what=each.what,
            detail=f"knowing {each.knows}: accuracy {percent(each.accuracy)} (majority-class baseline: "
            f"{percent(each.majority)})",
        )
        for each in scored.inferences
    ]
    return pictures + told


def tables(report: PoolReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    table = Table(
        "entity", "images", "end to end", "own features", "with the pool", "used", "rejected", "SSIM", "negative",
        title=f"pool, seed {report.seed}: accuracy on fresh images", title_justify="left",
    )  # fmt: skip
    for each in report.entities:
        table.add_row(
            f"{each.party}{f' ({each.adversary})' if each.adversary else ''}", f"{each.images:,}",
            percent(each.alone), percent(each.control), percent(each.pooled),
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
    for told in report.inferences:
        said = f"accuracy {percent(told.accuracy)} (majority-class baseline: {percent(told.majority)})"
        yield f"{told.what}, knowing {told.knows}: {said}"
    yield f"Broken means {percent(BROKEN, digits=0)} of the SSIM from clean features, in either polarity."
    yield report.summary
