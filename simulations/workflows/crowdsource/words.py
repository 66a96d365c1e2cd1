"""A round of crowdsourcing in words: a summary, what each party learned, what to know, tables for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.model import Learned
from simulations.reports.words import count
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
        f"{count(outcome.contributed, 'participant')} sent {count(outcome.pictures, 'representation')}. From these a "
        f"fresh attacker reads {hidden} right in {outcome.fresh:.1%}; where nothing is defended in "
        f"{outcome.undefended:.1%}, and a guess is right in {outcome.majority:.1%}. Models for {tasks} are right in "
        f"{outcome.utility:.1%} on average, undefended in {outcome.undefended_utility:.1%}."
    )


def verdict(report: CrowdsourceReport) -> list[str]:
    """Say plainly whether the extractor protects, and what it costs."""
    outcome = report.outcome
    undefended, chosen = report.settings[0], report.settings[report.chosen]
    said = []
    if outcome.way >= HALF:
        said.append(
            f"It hides something: the fresh attacker fell {min(outcome.way, 1):.0%} of the way from the undefended "
            f"extractor to the majority rate."
        )
    else:
        said.append(
            f"It does not hold against a stronger attacker: of the way from the undefended extractor to the majority "
            f"rate the fresh attacker fell {f'{outcome.way:.0%} only' if outcome.way >= 0.005 else 'nothing'}."
        )
    gap = outcome.fresh - outcome.in_loop
    if gap > NOTICEABLE:
        said.append(
            f"Whoever judges by the classifier that the extractor was trained against ({outcome.in_loop:.1%}) "
            f"overrates the protection by {100 * gap:.1f} points: a fresh one reads {outcome.fresh:.1%}."
        )
    strongest = max(chosen.attacks, key=lambda each: _mean(each.private), default=None)
    if strongest is not None and _mean(strongest.private) > outcome.fresh + NOTICEABLE:
        told = "participants who told of themselves" if strongest.source == "leaked" else "pictures of the collector's"
        said.append(
            f"An attacker who learned from {strongest.pictures:,} {told} reads more still, "
            f"{_mean(strongest.private):.1%}."
        )
    if outcome.induced > outcome.majority + NOTICEABLE:
        said.append(
            f"The tasks alone, known without fault, tell {outcome.induced:.1%}: no extractor that serves them hides "
            f"more."
        )
    for name, found in chosen.tasks.items():
        loss = undefended.tasks[name].accuracy - found.accuracy
        if loss > NOTICEABLE:
            said.append(
                f"{_listed([name]).capitalize()} costs {100 * loss:.1f} points: {found.accuracy:.1%} instead of "
                f"{undefended.tasks[name].accuracy:.1%}."
            )
    if (central := _central(report)) is not None:
        said.append(
            f"Trained by participants, who showed nobody a picture for it, it lets a fresh attacker read "
            f"{outcome.fresh:.1%}, and tasks are right in {outcome.utility:.1%}; trained by the collector with the "
            f"same lambda, {_mean(central.fresh):.1%} and {_mean(central.tasks):.1%}."
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
            what=name,
            detail=f"right in {found.accuracy:.1%} (balanced {found.balanced:.1%}) by a fresh attacker; "
            f"{undefended.fresh[name].accuracy:.1%} undefended, {report.majority[name].accuracy:.1%} by a guess, "
            f"{report.induced[name].accuracy:.1%} from the tasks' labels alone",
        )
        for name, found in chosen.fresh.items()
    ]
    leaks = chosen.leaks
    federated = report.scenario["federated"]
    sums = Learned(
        observer="collector",
        what="gradients of the extractor, its classifier and its bound",
        detail=f"{count(federated['rounds'], 'sum')} of what {federated['called']} participants told, and nothing that "
        "one alone told",
    )
    return [
        *private,
        *([sums] if chosen.together else []),
        Learned(
            observer="collector", what="labels of the tasks", detail=f"of {count(outcome.labelled, 'picture')}, as told"
        ),
        Learned(
            observer="collector",
            what="what the pictures look like",
            detail=f"reconstructions of SSIM {leaks.ssim:.2f}; {undefended.leaks.ssim:.2f} undefended",
        ),
        Learned(
            observer="collector",
            what="which representations are of one person",
            detail=f"from one picture of each of {leaks.owners:,} owners, {leaks.recognised:.1%} of others are put to "
            f"the right owner; by a guess {1 / leaks.owners:.1%}, undefended {undefended.leaks.recognised:.1%}",
        ),
        Learned(
            observer="collector",
            what="whether a picture that it holds was sent",
            detail=f"area under the ROC curve {leaks.presence:.3f}: the extractor is public, and the same picture "
            "gives the same representation",
        ),
        Learned(
            observer="whoever gets the tasks' model",
            what="whether a picture was trained on",
            detail=f"area under the ROC curve {leaks.membership:.3f}; .5 is a guess",
        ),
        Learned(
            observer="participants", what="of other participants", detail="nothing: only the extractor and the tasks"
        ),
    ]


def notes(scenario: CrowdsourceScenario, world: CrowdsourceWorld) -> list[str]:
    """Say what to know about the world."""
    federated = scenario.federated
    said = [
        "Nothing shows participants that the extractor hides what it is said to hide: they check who signed it, no "
        "more. A collector who publishes an extractor that was trained to hide nothing reads as much as from the "
        "undefended one.",
        f"The collector's own {scenario.collector.pictures:,} pictures are of other people than the participants, and "
        "so are those that its models are tested on.",
    ]
    if federated.rounds:
        said.append(
            f"Participants trained the extractor, {federated.called} of them in each of "
            f"{count(federated.rounds, 'round')}. The collector's own pictures are for attackers alone, and for "
            "the extractors that it is compared with. It learned sums of gradients, as long as it hands on the "
            "participants' keys and not keys of its own. What such a sum shows of the pictures was not measured."
        )
    cheats = {name: sum(cheat == name for cheat in world.cheats.values()) for name in scenario.adversaries}
    return said + [f"{count(number, 'participant')} cheat by {name}." for name, number in cheats.items()]


def tables(report: CrowdsourceReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    outcome = report.outcome
    names = (*report.scenario["collector"]["tasks"], *report.scenario["collector"]["hide"])
    table = Table("lambda", *names, title=f"crowdsource, seed {report.seed}: accuracy on fresh people; what is hidden, "
                  "by a fresh attacker", title_justify="left")  # fmt: skip
    for setting in report.settings:
        found = {**setting.tasks, **setting.fresh}
        table.add_row(setting_name(setting), *(f"{found[name].accuracy:.1%}" for name in names))
    floors = [f"{report.majority[name].accuracy:.1%}" for name in report.majority]
    table.add_row("majority", *("" for _ in report.scenario["collector"]["tasks"]), *floors)
    yield table
    yield report.summary
    yield from verdict(report)
    yield (
        f"Sent: {outcome.bytes_sent:,} bytes of representations; as numbers {outcome.bytes_as_numbers:,}, the "
        f"pictures themselves {outcome.bytes_as_pictures:,}. Digest {outcome.digest[:16]}, "
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
    """Write names in a row: "a", "a and b", "a, b and c"."""
    words = [name.replace("_", " ").lower() for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
