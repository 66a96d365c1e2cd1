"""What a publication is worth and what it leaks, in a few sentences."""

from collections.abc import Mapping

from simulations.reports.words import listed, percent
from simulations.workflows.publish.report import MethodResult, PublishReport

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
