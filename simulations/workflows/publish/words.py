"""What a publication is worth and what it leaks, in a few sentences."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table

from parties.publish.publisher import mechanism_of
from protocol.messages.publish import CallForPictures
from simulations.reports.model import Learned
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import count, listed, percent
from simulations.workflows.publish.report import MethodResult, PublishOutcome, PublishReport
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.world import PublishWorld

MARGIN = 0.03
"""Differences of accuracy up to this, on 800 fresh images, are not significant (95 %)."""


def guaranteed(methods: Mapping[str, MethodResult]) -> dict[str, MethodResult]:
    """Return the methods with a differential privacy guarantee."""
    return {name: each for name, each in methods.items() if each.of_an_owner[0].epsilon is not None}


def most_recognised(methods: Mapping[str, MethodResult]) -> str:
    """Return the name of the method with the highest re-identification rate."""
    return max(methods, key=lambda name: methods[name].worst)


def least_recognised(methods: Mapping[str, MethodResult]) -> str:
    """Return the name of the method with the lowest re-identification rate."""
    return min(methods, key=lambda name: methods[name].worst)


def most_useful(methods: Mapping[str, MethodResult]) -> str:
    """Return the name of the method that trains the most accurate classifier."""
    return max(methods, key=lambda name: methods[name].accuracy)


def verdict(report: PublishReport) -> list[str]:
    """Say which methods protect, which are useful, and how far a guarantee goes."""
    methods, outcome = report.methods, report.outcome
    least, best = least_recognised(methods), most_useful(methods)
    useful = [name for name, each in methods.items() if each.accuracy > outcome.majority + MARGIN]
    said = [
        f"Re-identification: {least} has the lowest rate, {percent(methods[least].worst)} (chance: "
        f"{percent(outcome.chance)}). The accuracy of a classifier trained on these images is "
        f"{percent(methods[least].accuracy)} (majority-class baseline: {percent(outcome.majority)})"
        + ("." if least in useful else ", not significantly above the baseline."),
        f"Utility: {best} trains the most accurate classifier, {percent(methods[best].accuracy)}, at a "
        f"re-identification rate of {percent(methods[best].worst)}.",
    ]
    if useful:
        safest = least_recognised({name: methods[name] for name in useful})
        said.append(
            f"Both: of the methods that beat the baseline, {safest} has the lowest re-identification rate, "
            f"{percent(methods[safest].worst)} at an accuracy of {percent(methods[safest].accuracy)}."
        )
    else:
        said.append("No method trains a classifier that is significantly better than the baseline.")
    promised = guaranteed(methods)
    if promised:
        exposed = most_recognised(promised)
        said.append(
            f"A guarantee holds between its neighbours and no further: {exposed} has one, and an attacker "
            f"re-identifies {percent(methods[exposed].worst)} of its images."
        )
    others = [name for name in methods if name not in promised]
    return [*said, *([f"No guarantee: {listed(others)}."] if others else [])]


def summary(results: Mapping[str, MethodResult], outcome: PublishOutcome, scenario: PublishScenario) -> str:
    """Say in a few sentences what came of it."""
    words = f"{outcome.owners} owners published {outcome.published:,} images by {count(len(results), 'method')}."
    for name in dict.fromkeys((most_recognised(results), least_recognised(results))):
        words += (
            f" {name}: re-identification rate {percent(results[name].worst)}, accuracy ({scenario.task})"
            f" {percent(results[name].accuracy)}."
        )
    chance, majority = percent(outcome.chance), percent(outcome.majority)
    return f"{words} Baselines: re-identification by chance {chance}, accuracy of the majority class {majority}."


def learned(results: Mapping[str, MethodResult], outcome: PublishOutcome) -> list[Learned]:
    """Say what each observer learned."""
    found = []
    for name, result in results.items():
        found.append(
            Learned(
                observer="anyone",
                what=f"who is in images published by {name}",
                detail=f"re-identification rate {percent(result.worst)} (chance: {percent(outcome.chance)}); restoring "
                f"changes dSSIM from {result.dssim:.2f} to {result.dssim_restored:.2f}",
            )
        )
    return found


def notes(scenario: PublishScenario, world: PublishWorld, asked: Mapping[str, Sequence[CallForPictures]]) -> list[str]:
    """Say what a reader should know about how the world was built, and what owners were asked for."""
    notes = [
        "Each method runs on its own. An owner who publishes the same images by two of them adds up both epsilons."
    ]
    if scenario.asks > 1:
        notes.append(
            f"The cloud asked {scenario.asks} times for each. Honest owners repeat the same noise, so that asking again"
            " reveals nothing more; the attacker combines all answers."
        )
    heard = {name: {mechanism_of(call) for call in calls} for name, calls in asked.items()}
    if others := [name for name, method in scenario.methods.items() if heard[name] != {method.build()}]:
        notes.append(
            f"Owners were asked for something else than was agreed by {listed(others)}: what the report says of these"
            " methods is about what they were asked for."
        )
    if several := [name for name in others if len(heard[name]) > 1]:
        notes.append(
            f"Not all owners were asked for the same by {listed(several)}: the promise shown is the one to those who"
            " were asked for what protects least, and the attacks are on all."
        )
    for name in sorted(set(world.cheats.values())):
        number = sum(cheat == name for cheat in world.cheats.values())
        notes.append(f"Adversary {name}: {number} of {len(world.owners)} owners.")
    return notes


def tables(report: PublishReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    title = f"publish, seed {report.seed}: {count(outcome.owners, 'owner')}"
    table = Table(
        "method", "ε", "δ", "dSSIM", "restored", "re-identified", "restored", "accuracy", "published alike",
        title=title, title_justify="left",
    )  # fmt: skip
    for name, result in report.methods.items():
        once = result.of_an_owner[0]
        table.add_row(
            name,
            "none" if once.epsilon is None else f"{once.epsilon:g}",
            f"{once.delta:g}",
            f"{result.dssim:.2f}",
            f"{result.dssim_restored:.2f}",
            percent(result.recognised),
            percent(result.recognised_restored),
            percent(result.useful),
            percent(result.useful_alike),
        )
    yield table
    yield from evaluation_tables(report)
    chance, majority = percent(outcome.chance), percent(outcome.majority)
    yield f"Re-identification by chance: {chance}; majority-class baseline of accuracy: {majority}."
    yield report.summary
    yield from report.notes
