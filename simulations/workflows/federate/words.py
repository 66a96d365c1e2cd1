"""What federated learning is worth and what it leaks, in a few sentences."""

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import count, listed, percent, score, signed
from simulations.workflows.federate.leaks import MALICIOUS
from simulations.workflows.federate.report import FederateOutcome, FederateReport, Guarantee, MethodResult
from simulations.workflows.federate.scenario import SUMS, FederateScenario
from simulations.workflows.federate.world import FederateWorld

MARGIN = 0.03
"""Differences of accuracy up to this, on 1,000 fresh images, are not significant (95 %)."""
VACUOUS = 0.99
"""A bound on the advantage beyond this rules no attack out in practice."""


def most_accurate(methods: Mapping[str, MethodResult]) -> str | None:
    """Return the name of the most accurate method; None where there is no method."""
    return max(methods, key=lambda name: methods[name].accuracy, default=None)


def private(methods: Mapping[str, MethodResult]) -> dict[str, MethodResult]:
    """Return the methods with differential privacy."""
    return {name: each for name, each in methods.items() if each.promise is not None}


def most_exposed(methods: Mapping[str, MethodResult]) -> str | None:
    """Return the name of the method with the best property inference; None where the cloud sees no single update."""
    seen = {name: each.property_told for name, each in methods.items() if each.property_told is not None}
    return max(seen, key=seen.__getitem__, default=None)


def bound(promise: Guarantee | None) -> str:
    """Say what epsilon bounds; nothing where there is no promise.

    Examples:
        >>> promise = {"unit": "image", "sigma": 2, "delta": 1e-4, "epsilon_prv": 1, "epsilon_person": 2}
        >>> bound(Guarantee(epsilon=1, bound=0.4622, **promise))
        'at ε = 1.00 no attack has an advantage beyond 0.46 on an image'
        >>> bound(Guarantee(epsilon=8, bound=0.9993, **promise))
        'ε = 8.00 gives no useful bound'
    """
    if promise is None:
        return ""
    epsilon = f"ε = {promise.epsilon:.2f}"
    if promise.bound >= VACUOUS:
        return f"{epsilon} gives no useful bound"
    article = "an" if promise.unit[0] in "aeiou" else "a"
    return f"at {epsilon} no attack has an advantage beyond {promise.bound:.2f} on {article} {promise.unit}"


def verdict(report: FederateReport) -> list[str]:
    """Say what the methods are worth, what attacks achieve, and what epsilon rules out."""
    said = [_utility(report), _membership(report.methods)]
    promised = private(report.methods)
    for name, each in promised.items():
        if each.promise and each.promise.bound < VACUOUS:
            said.append(f"{name}: {bound(each.promise)} (δ = {each.promise.delta:g}).")
    vacuous = [name for name, each in promised.items() if each.promise and each.promise.bound >= VACUOUS]
    if vacuous:
        said.append(
            f"{listed(vacuous)}: epsilon is too large for a useful bound. It allows an advantage beyond {VACUOUS}; "
            "only the attacks that were run say something here."
        )
    return [*said, *_cloud(report)]


def _utility(report: FederateReport) -> str:
    methods, majority = report.methods, report.outcome.majority
    best = most_accurate(methods)
    if best is None:
        return "No method was run."
    if methods[best].accuracy < majority + MARGIN:
        return (
            f"Utility: no method is significantly more accurate than the majority-class baseline, {percent(majority)}; "
            f"{best} reaches {percent(methods[best].accuracy)}."
        )
    text = (
        f"Utility: {best} is the most accurate method, {percent(methods[best].accuracy)} (majority-class baseline: "
        f"{percent(majority)})."
    )
    hidden = most_accurate(private(methods))
    if hidden is None or hidden == best:
        return text
    accuracy = methods[hidden].accuracy
    text += (
        f" With differential privacy it is {hidden}, {percent(accuracy)}: "
        f"{100 * (methods[best].accuracy - accuracy):.1f} points less"
    )
    return text + (", and not significantly above the baseline." if accuracy < majority + MARGIN else ".")


def _membership(methods: Mapping[str, MethodResult]) -> str:
    """Say against which methods membership inference is better than chance."""
    found = {name: each.worst for name, each in methods.items() if each.worst.advantage > each.worst.margin}
    if not found:
        return "Membership inference is not significantly better than chance against any method."
    strongest = max(found, key=lambda name: found[name].advantage)
    attack = found[strongest]
    text = (
        f"Membership inference works best against {strongest}: advantage {signed(attack.advantage)} ± "
        f"{attack.margin:.2f}."
    )
    others = [name for name in methods if name not in found]
    return text + (f" It is not significantly better than chance against {listed(others)}." if others else "")


def _cloud(report: FederateReport) -> list[str]:
    """Say what the cloud makes of updates, an honest one and a malicious one."""
    outcome, methods = report.outcome, report.methods
    said = []
    if outcome.inverted is not None:
        noisy = (
            ""
            if outcome.inverted_private is None
            else f", with DP-SGD at the client {score(outcome.inverted_private, 2)}"
        )
        said.append(
            "The cloud: gradient inversion of one step on one image reaches an SSIM of "
            f"{score(outcome.inverted, 2)}{noisy}."
        )
    if outcome.read is not None:
        said.append(
            "A malicious cloud: with planted weights it reads single images out of a step on all images of a client, "
            f"at an SSIM of {score(outcome.read, 2)}{_sums(report)}."
        )
    exposed = most_exposed(methods)
    if exposed is not None:
        hidden = summed(report)
        unseen = f" With {listed(hidden)} it sees no single update." if hidden else ""
        said.append(
            "The cloud: property inference from a first update is right for up to "
            f"{percent(methods[exposed].property_told)} of clients ({exposed}; chance: {percent(0.5)}).{unseen}"
        )
    return said


def summed(report: FederateReport) -> list[str]:
    """Return the methods by which the cloud sees sums alone."""
    return [name for name, method in report.scenario["methods"].items() if method["strategy"] in SUMS]


def _sums(report: FederateReport) -> str:
    """Say whether planted weights read images in secure sums, too."""
    read = [
        each.method
        for each in report.leaks
        if each.observer == MALICIOUS and each.method in summed(report) and each.rate.value > 0
    ]
    return f"; out of a sum of all clients, too ({listed(read)})" if read else ""


def summary(results: Mapping[str, MethodResult], outcome: FederateOutcome, scenario: FederateScenario) -> str:
    """Say in a few sentences what came of it."""
    methods = count(len(results), "method")
    words = (
        f"{outcome.clients} clients with {outcome.pictures:,} images trained together by {methods}"
        f" ({scenario.task}; majority-class baseline {percent(outcome.majority)})."
    )
    ranks = {
        most_accurate(results): "the most accurate",
        most_accurate(private(results)): "the most accurate with differential privacy",
    }
    for name, rank in ranks.items():
        if name is not None:
            each = results[name]
            level = " (not significantly above the baseline)" if each.accuracy < outcome.majority + MARGIN else ""
            words += f" {name} is {rank}: {percent(each.accuracy)}{level}, membership inference advantage "
            words += signed(each.worst.advantage) + (f"; {bound(each.promise)}." if each.promise else ".")
    return words


def learned(results: Mapping[str, MethodResult], outcome: FederateOutcome, scenario: FederateScenario) -> list[Learned]:
    """Say what each observer learned."""
    found = [
        Learned(
            observer="anyone with the model",
            what=f"membership in the training set ({name})",
            detail=f"advantage {signed(each.worst.advantage)}, 95 % margin {each.worst.margin:.2f}",
        )
        for name, each in results.items()
    ]
    if outcome.inverted is not None:
        found.append(
            Learned(
                observer="cloud",
                what="the image of a client that takes one step on one image (gradient inversion)",
                detail=f"mean SSIM {outcome.inverted:.2f}"
                + ("" if outcome.inverted_private is None else f"; {outcome.inverted_private:.2f} with DP-SGD"),
            )
        )
    return found


def notes(scenario: FederateScenario, world: FederateWorld, others: list[str]) -> list[str]:
    """Say what a reader should know about how the world was built.

    Args:
        others: Methods by which clients were not asked as the scenario says.
    """
    notes = [
        "Each method runs on its own. A client that takes part in two of them adds up both epsilons.",
        "Noise follows from the seed, so that runs can be repeated. To protect real people, noise must be "
        "unpredictable.",
    ]
    if any(method.strategy == "dp-clients" for method in scenario.methods.values()):
        notes.append(
            f"dp-clients adds noise in proportion to one whole clipped update; {len(world.clients)} clients are few to"
            " average it away."
        )
    if others:
        notes.append(
            f"Clients were asked for something else than was agreed by {listed(others)}: these methods promise nothing."
        )
    for name in sorted(set(world.cheats.values())):
        number = sum(cheat == name for cheat in world.cheats.values())
        notes.append(f"Adversary {name}: {number} of {len(world.clients)} clients.")
    return notes


def _told(report: FederateReport, name: str) -> str:
    told = report.methods[name].property_told
    return percent(told) if told is not None else "unseen" if name in summed(report) else "–"


def tables(report: FederateReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    title = f"federate, seed {report.seed}: {count(report.outcome.clients, 'client')}"
    table = Table(
        "method", "ε", "accuracy", "gap", "membership", "bound", "ε shown", "property", title=title,
        title_justify="left",
    )  # fmt: skip
    for name, each in report.methods.items():
        table.add_row(
            name,
            "none" if each.promise is None else f"{each.promise.epsilon:.2f}",
            percent(each.accuracy),
            "–" if each.gap is None else f"{100 * each.gap:.0f}",
            signed(each.worst.advantage),
            "" if each.promise is None else f"{each.promise.bound:.3f}",
            "–" if each.audited is None else f"{each.audited.epsilon:.2f}",
            _told(report, name),
        )
    yield table
    yield (
        "accuracy: on fresh images; gap: points between groups, of models that beat the majority class; membership: "
        "advantage of the best membership inference attack; bound: on that advantage, by ε; ε shown: what attacks prove"
        " to be lost of a person, or of a client, at least; property: accuracy of property inference."
    )
    yield from evaluation_tables(report)
    yield report.summary
    yield from report.notes
