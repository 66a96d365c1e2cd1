"""A pool in words, and as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.workflows.pool.report import PoolOutcome, PoolReport, Shown
from simulations.workflows.pool.scoring import BROKEN, ScoredPool


def summary(outcome: PoolOutcome) -> str:
    """Say in one sentence what happened."""
    where = (
        f"a protection that {outcome.breaks_at:,} leaked pairs break"
        if outcome.breaks_at
        else "no number of leaked pairs that was tried breaks the protection"
        if outcome.breaks_at is None
        else "the protection is broken without any leaked pair"
    )
    gain = "" if outcome.small_gain is None else f"; the smallest gains {points(outcome.small_gain)} from the others"
    return (
        f"Entities pooled {outcome.features:,} poisoned features: the published reconstructor's SSIM falls from "
        f"{outcome.clean_ssim:.2f} to {outcome.ssim:.3f} ({outcome.ssim_of_negative:.3f} with the negative), and "
        f"accuracy from {percent(outcome.clean)} to {percent(outcome.poisoned)}; {where}{gain}."
    )


def learned(scored: ScoredPool) -> list[Learned]:
    """Say what whoever draws from the pool learns of the images, attacker by attacker."""
    pictures = [
        Learned(
            observer="whoever draws from the pool",
            what=f"the images, by {attack.name}",
            detail=f"knowing {attack.knows}: SSIM {attack.protected.ssim:.3f}, {attack.protected.ssim_of_negative:.3f} "
            f"with the negative, {percent(attack.protected.recognised)} recognised",
        )
        for attack in scored.attacks
        if attack.kind not in {"loss", "obfuscator"}
    ]
    told = [
        Learned(
            observer="whoever draws from the pool",
            what=each.what,
            detail=f"knowing {each.knows}: {percent(each.accuracy)} right (commonest answer: {percent(each.majority)})",
        )
        for each in scored.inferences
    ]
    return pictures + told


def tables(report: PoolReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    table = Table(
        "entity", "images", "end to end", "own features", "with the pool", "used", "left out", "SSIM", "negative",
        title=f"pool, seed {report.seed}: accuracy on fresh images", title_justify="left",
    )  # fmt: skip
    for each in report.entities:
        table.add_row(
            f"{each.party}{f' ({each.adversary})' if each.adversary else ''}", f"{each.images:,}",
            percent(each.alone), percent(each.control), percent(each.pooled),
            f"{each.used:,}", f"{each.doubted:,}", number(each.ssim), number(each.ssim_of_negative),
        )  # fmt: skip
    yield table
    table = Table("attacker", "SSIM clean", "poisoned", "negative", "L1", "PSNR", "recognised")
    for attack in report.attacks:
        found: Shown = attack.protected
        table.add_row(
            attack.name,
            number(None if attack.clean is None else attack.clean.ssim),
            *map(number, (found.ssim, found.ssim_of_negative, found.l1)),
            f"{found.psnr:.1f} dB",
            percent(found.recognised),
        )
    yield table
    for told in report.inferences:
        said = f"{percent(told.accuracy)} (commonest answer: {percent(told.majority)})"
        yield f"{told.what}, knowing {told.knows}: {said}"
    yield f"Broken means {BROKEN:.0%} of the SSIM from clean features, in either polarity."
    yield report.summary


def percent(share: float | None) -> str:
    """Write a share.

    Examples:
        >>> percent(0.4567), percent(None)
        ('45.7 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """Write a difference of shares.

    Examples:
        >>> points(0.0456)
        '+4.6 points'
    """
    return f"{100 * difference:+.1f} points"


def number(value: float | None) -> str:
    """Write a score.

    Examples:
        >>> number(-0.0321), number(None)
        ('-0.032', '–')
    """
    return "–" if value is None else f"{value:.3f}"
