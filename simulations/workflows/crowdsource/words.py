"""A round of crowdsourcing in words: a summary, what each party learned, what to know, tables for the terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.reports.rows import evaluation_tables
from simulations.reports.words import count, listed, percent
from simulations.workflows.crowdsource.report import CrowdsourceReport, Readings, Setting
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.world import CrowdsourceWorld

HALF = 0.5
NOTICEABLE = 0.02
"""A difference of accuracies that is worth a word."""


def summary(report: CrowdsourceReport) -> str:
    """Say in one sentence what came out."""
    outcome, section = report.outcome, report.scenario["collector"]
    hidden, tasks = _listed(section["hide"]), _listed(section["tasks"])
    return (
        f"{count(outcome.contributed, 'participant')} sent {count(outcome.pictures, 'representation')}. The strongest "
        f"attacker infers {hidden} from them with an AUC of {outcome.strongest_auc:.3f}, an accuracy of "
        f"{percent(outcome.strongest)} (majority-class baseline: {percent(outcome.majority)}). The mean accuracy on "
        f"the tasks ({tasks}) is {percent(outcome.utility)} (undefended: {percent(outcome.undefended_utility)})."
    )


def verdict(report: CrowdsourceReport) -> list[str]:
    """Say plainly whether the extractor protects, and what it costs."""
    outcome = report.outcome
    undefended, chosen = report.settings[0], report.settings[report.chosen]
    said = []
    scales = ((outcome.way, "accuracy"), (outcome.way_balanced, "balanced accuracy"), (outcome.way_auc, "AUC"))
    by_scale = listed([f"{percent(min(max(way, 0.0), 1.0))} by {name}" for way, name in scales])
    said.append(
        f"Protection is {'partial' if outcome.least_way >= HALF else 'weak'}: against the strongest attacker it closes "
        f"{by_scale} of the gap between the undefended extractor and a guess. The least of these counts."
    )
    gap = outcome.strongest - outcome.in_loop
    if gap > NOTICEABLE:
        said.append(
            f"The adversary that the extractor was trained against overstates the protection by {100 * gap:.1f} "
            f"points: it reaches {percent(outcome.in_loop)}, the strongest attacker {percent(outcome.strongest)}."
        )
    strongest = max(chosen.attacks, key=lambda each: _mean(each.private), default=None)
    if strongest is not None and _mean(strongest.private) > outcome.strongest + NOTICEABLE:
        whose = "participants who disclosed theirs" if strongest.source == "leaked" else "the collector"
        said.append(
            f"An attacker trained on {strongest.pictures:,} labelled images of {whose} reaches "
            f"{percent(_mean(strongest.private))}."
        )
    if outcome.induced > outcome.majority + NOTICEABLE:
        said.append(
            f"The true labels of the tasks alone predict the attribute with {percent(outcome.induced)}. No extractor "
            "that serves the tasks fully can hide more."
        )
    for name, found in chosen.tasks.items():
        loss = undefended.tasks[name].accuracy - found.accuracy
        if loss > NOTICEABLE:
            said.append(
                f"Accuracy on {_listed([name])} falls by {100 * loss:.1f} points, from "
                f"{percent(undefended.tasks[name].accuracy)} to {percent(found.accuracy)}."
            )
    if (central := _central(report)) is not None:
        said.append(
            "Trained by participants, on images that stay with them: a fresh attacker reaches "
            f"{percent(outcome.fresh)} and the tasks {percent(outcome.utility)}; trained by the collector with the "
            f"same lambda, {percent(_mean(central.fresh))} and {percent(_mean(central.tasks))}."
        )
    return said


def _central(report: CrowdsourceReport) -> Setting | None:
    """Return what the collector trained with the same lambda, where participants trained what was published."""
    chosen = report.settings[report.chosen]
    same = (each for each in report.settings if each.weight == chosen.weight and not each.together)
    return next(same, None) if chosen.together else None


def learned(report: CrowdsourceReport) -> list[Learned]:
    """Say what each party learned."""
    outcome = report.outcome
    chosen, undefended = report.settings[report.chosen], report.settings[0]
    assert chosen.leaks is not None
    assert undefended.leaks is not None
    private = [
        Learned(
            observer="collector",
            what=_listed([name]),
            detail=f"accuracy {percent(found.accuracy)} (balanced {percent(found.balanced)}), AUC {found.auc:.3f}, by "
            f"the strongest attacker; {percent(undefended.strongest[name].accuracy)} undefended, majority-class "
            f"baseline {percent(report.majority[name].accuracy)}, {percent(report.induced[name].accuracy)} from the "
            "tasks' labels alone",
        )
        for name, found in chosen.strongest.items()
    ]
    leaks = chosen.leaks
    federated = report.scenario["federated"]
    sums = Learned(
        observer="collector",
        what="gradients of the extractor, its adversary and its bound",
        detail=f"{count(federated['rounds'], 'sum')} over {federated['called']} participants each, no single gradient",
    )
    return [
        *private,
        *([sums] if chosen.together else []),
        Learned(
            observer="collector", what="labels of the tasks", detail=f"of {count(outcome.labelled, 'image')}, as given"
        ),
        Learned(
            observer="collector",
            what="what the images look like",
            detail=f"reconstructions with SSIM {leaks.ssim:.2f}; {undefended.leaks.ssim:.2f} undefended",
        ),
        Learned(
            observer="collector",
            what="which representations are of one person",
            detail=f"re-identification rate {percent(leaks.recognised)} among {leaks.owners:,} owners, from one known "
            f"image of each; chance {percent(1 / leaks.owners)}, undefended {percent(undefended.leaks.recognised)}",
        ),
        Learned(
            observer="collector",
            what="whether an image that it holds was sent",
            detail=f"AUC {leaks.presence:.3f} (chance: 0.5): the extractor is public, and the same image gives the "
            "same representation",
        ),
        Learned(
            observer="anyone with the tasks' model",
            what="membership in the training set",
            detail=f"AUC {leaks.membership:.3f} (chance: 0.5)",
        ),
        Learned(
            observer="participants",
            what="other participants' images",
            detail="nothing: they get the extractor and tasks",
        ),
    ]


def notes(scenario: CrowdsourceScenario, world: CrowdsourceWorld, undefended: Setting, chosen: Setting) -> list[str]:
    """Say what to know about the world, and what participants would find who test the extractor."""
    federated = scenario.federated
    said = [
        "Participants verify the signature on the extractor, not what it hides. A dishonest collector can publish one "
        "that hides nothing.",
        f"The collector's own {scenario.collector.pictures:,} images, and those that its models are tested on, show "
        "other people than the participants. Where a table says “the originals”, the undefended extractor is meant: no "
        "model was trained on pictures.",
    ]
    if federated.rounds:
        said.append(
            f"Participants trained the extractor, {federated.called} of them in each of "
            f"{count(federated.rounds, 'round')}. The collector's own images serve attackers and the extractors that "
            "this one is compared with. It learned sums of gradients, provided that it passes on the participants' "
            "keys and not keys of its own. What such a sum reveals about the images was not measured."
        )
    tests = [each for setting in (chosen, undefended) for each in setting.attacks if each.source == "leaked"]
    if tests:
        said.append(
            f"A test by participants, who learn from {count(tests[0].pictures, 'picture')} of some of them what the "
            f"others hide, finds an AUC of {_auc(tests[0].private):.3f}; of an extractor that hides nothing, "
            f"{_auc(tests[1].private):.3f}. Nobody makes them do it before they send."
        )
    cheats = Counter(world.cheats.values())
    return said + [f"Adversary {name}: {count(cheats[name], 'participant')}." for name in sorted(cheats)]


def tables(report: CrowdsourceReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    names = (*report.scenario["collector"]["tasks"], *report.scenario["collector"]["hide"])
    table = Table("lambda", *names, title=f"crowdsource, seed {report.seed}: accuracy on other people; of what is "
                  "hidden, by the strongest attacker, with its AUC", title_justify="left")  # fmt: skip
    for setting in report.settings:
        said = [percent(each.accuracy) for each in setting.tasks.values()]
        said += [f"{percent(each.accuracy)}, {each.auc:.3f}" for each in setting.strongest.values()]
        table.add_row(setting_name(setting), *said)
    floors = [percent(report.majority[name].accuracy) for name in report.majority]
    table.add_row("majority class", *("" for _ in report.scenario["collector"]["tasks"]), *floors)
    yield table
    yield from evaluation_tables(report)
    yield report.summary
    yield from verdict(report)
    yield (
        f"Sent: {outcome.bytes_sent:,} bytes of representations; in single precision {outcome.bytes_as_numbers:,}, the "
        f"images themselves {outcome.bytes_as_pictures:,}. Digest {outcome.digest[:16]}, "
        f"{report.timings['total']:.1f} seconds."
    )
    yield from report.notes


def setting_name(setting: Setting) -> str:
    """Name an extractor by its lambda, and by who trained it where that is not the collector."""
    if setting.weight is None:
        return "undefended"
    return f"{setting.weight:g}{', trained by participants' if setting.together else ''}"


def _mean(found: Readings) -> float:
    return sum(each.accuracy for each in found.values()) / len(found)


def _auc(found: Readings) -> float:
    return sum(each.auc for each in found.values()) / len(found)


def _listed(names: Sequence[str]) -> str:
    """Write attributes in a row, in plain words."""
    return listed([name.replace("_", " ").lower() for name in names])
