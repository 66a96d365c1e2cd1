"""`parley compare`: which way of sharing to use."""

from pathlib import Path
from typing import Annotated, Any

import typer


def compare(
    comparison: Annotated[
        str, typer.Argument(help="compare, quick, or a .yaml file, as the page of a comparison shows it.")
    ] = "compare",
    quick: Annotated[bool, typer.Option("--quick", help="One seed, few people: minutes.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="How many cohorts are drawn.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The first seed; the others follow it.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(help="With commas: names, a workflow for all of its methods, or .py files that declare some."),
    ] = None,
    attacks: Annotated[
        str | None,
        typer.Option(help="With commas: words in names of attacks or criteria that count; with a minus, that do not."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="faces: painted ones; folder: your own images, in --root.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="With --dataset folder: the folder, with labels.csv, a row for each file.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="What is to be learnt: an attribute, or a column.")] = None,
    private: Annotated[str | None, typer.Option(help="What is private: an attribute, or a column.")] = None,
    people_by: Annotated[
        str | None, typer.Option(help="Who is in an image: folder, its sub-folder, or a column.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many runs are played side by side.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: its head node's host:port.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist yet.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an earlier comparison to the same --out has played.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print compare.json instead of the table.")] = False,
) -> None:
    """Play ways of sharing on one cohort, attack them alike, and write one page."""
    from protocol.errors import BadInput
    from simulations.cli.progress import shown
    from simulations.cli.terminal import say, show

    if resume and out is None:
        raise BadInput("--resume goes on with an earlier comparison: name its folder with --out")
    if (dataset == "folder") != (root is not None):
        raise BadInput("--dataset folder and --root DIR belong together: your own images, and where they are")
    if dataset not in (None, "faces", "folder"):
        raise BadInput(f"--dataset is faces or folder, not {dataset}")
    given: dict[str, Any] = {"seeds": seeds, "first": seed, "cohort.task": task, "cohort.private": private}
    given |= {"cohort.root": None if root is None else str(root), "cohort.people_by": people_by}
    if root is not None and None in (task, private):
        raise BadInput("--dataset folder needs --task and --private: two columns of labels.csv")
    given |= {"methods": None if methods is None else _words(methods), "attacks": _words(attacks or "") or None}
    with shown() as progress:
        from simulations.runs.output import default_folder
        from simulations.studies.compare.playing import compare as play
        from simulations.studies.compare.settings import load_comparison
        from simulations.studies.compare.tables import comparison_tables

        chosen = load_comparison("quick" if quick and comparison == "compare" else comparison, _given(given))
        folder = out or default_folder(Path(comparison).stem, chosen.first)
        report = play(chosen, folder, workers, address, progress, resume=resume)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    show(comparison_tables(report))
    say(f"Page: {folder / 'compare.html'}")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
