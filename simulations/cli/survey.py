"""`parley survey`: ask people what they recognise in obfuscated images, and find thresholds for privacy scores."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Ask people what they recognise, and find thresholds for privacy scores.", no_args_is_help=True)


@app.command("make")
def make(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")] = Path("survey"),
    dataset: Annotated[
        str, typer.Option(help="pets, stl10, oxford_pets, or folder: your own, with a sub-folder for each class.")
    ] = "pets",
    root: Annotated[
        Path | None, typer.Option(help="Where published data sets are; with --dataset folder, the folder.")
    ] = None,
    classes: Annotated[int, typer.Option(min=3, max=100, help="How many classes to choose from.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other images.")] = 1,
) -> None:
    """Write a survey of 49 images as one web page, and the key to its answers."""
    from simulations.studies.survey.make import make_survey

    key = make_survey(out, dataset, root, classes, seed)
    typer.echo(
        f"Wrote {out / 'survey.html'}: {len(key.questions)} questions. Give it to people; they send back a file."
    )
    typer.echo(f"Keep {out / 'key.json'} to yourself; then: parley survey score {out / 'key.json'} ANSWERS...")


@app.command("score")
def score(
    key: Annotated[Path, typer.Argument(help="key.json, as `parley survey make` wrote it.")],
    answers: Annotated[list[Path], typer.Argument(help="The files that people saved.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the ROC curves to this .svg or .png file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with the curves, instead of the table.")] = False,
) -> None:
    """Turn answers into ROC curves, and thresholds t_acc and t_cut-off for every privacy score."""
    from simulations.cli.terminal import show
    from simulations.studies.survey.results import as_json, draw_curves, results_table
    from simulations.studies.survey.scoring import read_answers, read_key, score_answers

    known = read_key(key)
    sheets = [read_answers(path, known) for path in answers]
    found = score_answers(known, sheets)
    if plot is not None:
        draw_curves(found, plot)
    if json:
        typer.echo(as_json(found))
    else:
        show([results_table(found, len(sheets))])
