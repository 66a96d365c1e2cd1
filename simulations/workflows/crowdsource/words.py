"""A round of crowdsourcing in words: a summary, what each party learned, what to know, tables for the terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
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
        f"{count(outcome.contributed, 'participant')} sent {count(outcome.pictures, 'representation')}. A fresh "
        f"attacker infers {hidden} from them with an accuracy of {percent(outcome.fresh)} (undefended: "
        f"{percent(outcome.undefended)}, majority-class baseline: {percent(outcome.majority)}). The mean accuracy on "
        f"the tasks ({tasks}) is {percent(outcome.utility)} (undefended: {percent(outcome.undefended_utility)})."
    )


def verdict(report: CrowdsourceReport) -> list[str]:
    """Say plainly whether the extractor protects, and what it costs."""
    outcome = report.outcome
    undefended, chosen = report.settings[0], report.settings[report.chosen]
    said = []
    closed = percent(min(max(outcome.way, 0.0), 1.0))
    said.append(
        f"Protection is partial: {closed} of the gap between the undefended extractor and the majority-class baseline "
        "is closed against a fresh attacker."
        if outcome.way >= HALF
        else f"Protection is weak: only {closed} of the gap between the undefended extractor and the majority-class "
        "baseline is closed against a fresh attacker."
    )
    gap = outcome.fresh - outcome.in_loop
    if gap > NOTICEABLE:
        said.append(
            f"The adversary that the extractor was trained against overstates the protection by {100 * gap:.1f} "
            f"points: it reaches {percent(outcome.in_loop)}, a fresh attacker {percent(outcome.fresh)}."
        )
    strongest = max(chosen.attacks, key=lambda each: _mean(each.private), default=None)
    if strongest is not None and _mean(strongest.private) > outcome.fresh + NOTICEABLE:
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
            detail=f"accuracy {percent(found.accuracy)} (balanced {percent(found.balanced)}) by a fresh attacker; "
            f"{percent(undefended.fresh[name].accuracy)} undefended, majority-class baseline "
            f"{percent(report.majority[name].accuracy)}, {percent(report.induced[name].accuracy)} from the tasks' "
            "labels alone",
        )
        for name, found in chosen.fresh.items()
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


def notes(scenario: CrowdsourceScenario, world: CrowdsourceWorld) -> list[str]:
    """Say what to know about the world."""
    federated = scenario.federated
    said = [
        "Participants verify the signature on the extractor, not what it hides. A dishonest collector can publish one "
        "that hides nothing.",
        f"The collector's own {scenario.collector.pictures:,} images, and those that its models are tested on, show "
        "other people than the participants.",
    ]
    if federated.rounds:
        said.append(
            f"Participants trained the extractor, {federated.called} of them in each of "
            f"{count(federated.rounds, 'round')}. The collector's own images serve attackers and the extractors that "
            "this one is compared with. It learned sums of gradients, provided that it passes on the participants' "
            "keys and not keys of its own. What such a sum reveals about the images was not measured."
        )
    cheats = Counter(world.cheats.values())
    return said + [f"Adversary {name}: {count(cheats[name], 'participant')}." for name in sorted(cheats)]


def tables(report: CrowdsourceReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    names = (*report.scenario["collector"]["tasks"], *report.scenario["collector"]["hide"])
    table = Table("lambda", *names, title=f"crowdsource, seed {report.seed}: accuracy on other people; of what is "
                  "hidden, by a fresh attacker", title_justify="left")  # fmt: skip
    for setting in report.settings:
        found = {**setting.tasks, **setting.fresh}
        table.add_row(setting_name(setting), *(percent(found[name].accuracy) for name in names))
    floors = [percent(report.majority[name].accuracy) for name in report.majority]
    table.add_row("majority class", *("" for _ in report.scenario["collector"]["tasks"]), *floors)
    yield table
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


def _listed(names: Sequence[str]) -> str:
    """Write attributes in a row, in plain words."""
    return listed([name.replace("_", " ").lower() for name in names])
