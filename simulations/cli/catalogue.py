"""`parley list`: everything that has a name."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from simulations.cli.names import Names


@dataclass(frozen=True)
class Entry:
    """Something by name.

    Attributes:
        description: One line.
        details: More lines, such as its settings.
    """

    name: str
    description: str
    details: tuple[str, ...] = ()


Group = Callable[[], Iterator[Entry]]
"""Imports what it lists."""


def _plain(descriptions: Mapping[str, str]) -> Iterator[Entry]:
    return (Entry(name, description) for name, description in descriptions.items())


def _workflows() -> Iterator[Entry]:
    from simulations.scenarios.files import WORKFLOWS

    return _plain(WORKFLOWS)


def _scenarios() -> Iterator[Entry]:
    from simulations.scenarios.files import packaged

    return _plain(packaged())


def _datasets() -> Iterator[Entry]:
    from simulations.data import DATASETS

    return _plain({name: info.description for name, info in DATASETS.items()})


def _featurizers() -> Iterator[Entry]:
    from parties.featurizers import FEATURIZERS

    return _plain({name: info.description for name, info in FEATURIZERS.items()})


def _phones() -> Iterator[Entry]:
    from simulations.data.phone_models import PHONES

    return _plain({name: phone.description for name, phone in PHONES.items()})


def _mechanisms() -> Iterator[Entry]:
    from strategies.mechanisms import MECHANISMS

    for name, info in MECHANISMS.items():
        serves = f"for: {', '.join(sorted(info.qualities))}; agents: {', '.join(sorted(info.agents))}"
        yield Entry(name, info.summary, (serves, f"guarantee: {info.guarantee}"))


def _obfuscations() -> Iterator[Entry]:
    from strategies.obfuscation import OBFUSCATIONS

    for name, info in OBFUSCATIONS.items():
        yield Entry(
            name, info.description, _settings(*(f"{each} = {usual:g}" for each, usual in info.strengths.items()))
        )


def _image_mechanisms() -> Iterator[Entry]:
    from strategies.dp_images import MECHANISMS

    for name, kind in MECHANISMS.items():
        yield Entry(name, _first_line(kind), _settings(*(field.name for field in fields(kind))))


def _strategies() -> Iterator[Entry]:
    from parties.federate.workflow import STRATEGIES

    return _plain(STRATEGIES)


def _extractors() -> Iterator[Entry]:
    from strategies.pric.networks import EXTRACTORS

    described = {
        "compact": "32 channels, for images of 32 to 64 pixels",
        "vgg16": "128 channels: VGG-16 up to its second pooling, as in the authors' follow-up (TIPRDC, 2020)",
    }
    return _plain({name: described.get(name, "") for name in EXTRACTORS})


ATTACKS: Mapping[str, Mapping[str, str]] = {
    "purchase": {
        "localisation": "The cloud finds the features of images from MinHash signatures of one request or several.",
        "feature inversion": "The cloud infers the class and the looks of images on offer from their features.",
        "same price": "The buyer links images of one seller by their price.",
        "cloud-buyer": "Cloud and buyer pool what they received: who sold which image.",
        "cloud-sellers": "The cloud leaves out bids of all but its friends.",
        "key-substitution": "The cloud passes on keys of its own, and opens every image.",
    },
    "pool": {
        "published": "The published reconstructor, which the modules are trained against.",
        "unseen": "Reconstructors of designs that no module is trained against.",
        "pairs": "A reconstructor fine-tuned on leaked pairs of an image and its poisoned feature.",
        "modules": "A reconstructor trained on modules of the attacker's own.",
        "aligned": "The same, with modules whose features are aligned with those in the pool.",
        "attributes": "Infers attributes of images from their poisoned features.",
        "obfuscator": "Reverses DeepObfuscator, for comparison.",
    },
    "crowdsource": {
        "public": "Reads the hidden attributes with a classifier trained on the collector's own images.",
        "deep": "The same by a deeper classifier, and by all classifiers together; also with a larger budget.",
        "leaked": "The same, trained on representations of participants whose attributes leaked.",
        "induced": "Infers the hidden attributes from what the tasks' model says.",
        "reconstruction": "Reconstructs images from their representations.",
        "recognition": "Re-identifies participants by another image of each.",
        "membership": "Membership inference: which images the tasks' model was trained on, by its loss or by look-up.",
    },
    "publish": {
        "combination": "Averages what a publisher sent each time the cloud asked.",
        "restoration": "Restores images as far as the mechanism can be undone.",
        "re-identification": "Names owners, by other images of them that are published alike, restored and not.",
        "attribute": "Infers a private attribute of owners, from images of other people that are published alike.",
        "audit": "Tells two neighbours apart, to show how much of a promised epsilon is lost.",
    },
    "federate": {
        "loss": "Membership inference by the loss.",
        "shadows": "Membership inference by shadow models.",
        "likelihood": "Membership inference by the likelihood ratio (LiRA).",
        "relative likelihood": "Membership inference by pairwise likelihood ratios (RMIA).",
        "planted weights": "A malicious cloud plants weights through which updates, and sums of them, show images.",
        "fishing": "A malicious cloud changes the last layer, so that one image's gradient is left (attacker.fished).",
        "property": "Property inference: the cloud infers a property of a client's people from its update.",
        "gradient inversion": "The cloud reconstructs the images behind an update, of one step or several.",
        "adversarial examples": "Perturbs images so that the model errs.",
    },
}
"""Attacks by workflow; those of `outsource` say themselves what they are."""


def _attacks() -> Iterator[Entry]:
    from simulations.workflows.outsource.attacks import ATTACKS as OUTSOURCE

    for name, info in OUTSOURCE.items():
        yield Entry(name, f"{info.title}.", ("workflow: outsource", f"knows: {info.knows}"))
    for workflow, attacks in ATTACKS.items():
        for name, description in attacks.items():
            yield Entry(name, description, (f"workflow: {workflow}",))


def _adversaries(own: Path | None = None) -> Iterator[Entry]:
    from simulations.scenarios.adversaries import known_adversaries

    for name, cheat in known_adversaries(own).items():
        settings = _settings(*(f"{key} = {field.default}" for key, field in cheat.parameters.model_fields.items()))
        details = (*settings, f"knows: {cheat.knowledge}", f"profit: {cheat.profit}")
        yield Entry(name, f"{cheat.role}: {cheat.summary}", details)


def _reproductions() -> Iterator[Entry]:
    from simulations.studies.reproductions import REPRODUCTIONS

    return _plain(REPRODUCTIONS)


def _benchmarks() -> Iterator[Entry]:
    from simulations.studies.benchmarks import BENCHMARKS

    return _plain(BENCHMARKS)


def _settings(*settings: str) -> tuple[str, ...]:
    return (f"settings: {', '.join(settings)}",) if any(settings) else ()


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


GROUPS: Mapping[str, Group] = {
    "workflows": _workflows,
    "scenarios": _scenarios,
    "datasets": _datasets,
    "featurizers": _featurizers,
    "phones": _phones,
    "mechanisms": _mechanisms,
    "obfuscations": _obfuscations,
    "image-mechanisms": _image_mechanisms,
    "strategies": _strategies,
    "extractors": _extractors,
    "adversaries": _adversaries,
    "attacks": _attacks,
    "reproductions": _reproductions,
    "benchmarks": _benchmarks,
}
"""What has a name, by group."""
OF = {
    "phones": "purchase",
    "mechanisms": "purchase",
    "obfuscations": "outsource, purchase",
    "image-mechanisms": "publish",
    "strategies": "federate",
    "extractors": "crowdsource",
}
"""Workflows that a group belongs to, where it does not belong to all."""
NAMES = Names("group", lambda: GROUPS)


def list_names(
    group: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(GROUPS)}; default: all.", callback=NAMES.check, autocompletion=NAMES.complete
        ),
    ] = None,
    adversaries: Annotated[
        Path | None, typer.Option(help="A Python file that declares adversaries of your own, to list as well.")
    ] = None,
) -> None:
    """List everything that has a name."""
    groups: Mapping[str, Group] = {**GROUPS, "adversaries": partial(_adversaries, adversaries)}
    for name in groups if group is None else [group]:
        rows = [(entry.name, [entry.description, *entry.details]) for entry in groups[name]()]
        if sys.stdout.isatty():
            _show(f"{name} ({OF[name]})" if name in OF else name, rows)
        else:
            for entry, lines in rows:
                typer.echo("\t".join((*([] if group else [name]), entry, *lines)))


def _show(title: str, rows: Sequence[tuple[str, list[str]]]) -> None:
    """Print a group in two columns."""
    from rich.table import Table

    from simulations.cli.terminal import console

    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for name, lines in rows:
        table.add_row(name, "\n".join(lines))
    screen = console()
    screen.print(title, style="bold")
    screen.print(table)
    screen.print()
