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


@app.command("ask")
def ask(
    page: Annotated[Path, typer.Argument(help="survey.html, as `parley survey make` wrote it.")],
    recogniser: Annotated[
        str,
        typer.Option(
            help="Who is asked: torchvision:MODEL, with =WEIGHTS.pth for weights of your own; MODULE:FUNCTION, which"
            " takes a picture (height, width, 3) and returns names; or the URL of a service that takes a PNG and"
            " returns a JSON list of names."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file of answers to write.")],
    names: Annotated[
        Path | None, typer.Option(help="YAML: for classes of the survey, the names that the recogniser has for them.")
    ] = None,
) -> None:
    """Ask a recogniser instead of people: a network, a function or a vision service."""
    from simulations.studies.survey.ask import ask_recogniser

    asked, named = ask_recogniser(page, recogniser, out, names)
    typer.echo(f"Wrote {out}: {named} of {asked} pictures were given a name among the survey's.")


@app.command("score")
def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="key.json, as `parley survey make` wrote it, and the files that people saved; several surveys' are"
            " pooled."
        ),
    ],
    plot: Annotated[
        Path | None, typer.Option(help="Draw ROC curves, and FPR by threshold, to this .svg or .png file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with the curves, instead of the table.")] = False,
) -> None:
    """Turn answers into ROC curves, and thresholds t_acc and t_cut-off for every privacy score, with intervals."""
    from simulations.cli.terminal import show
    from simulations.studies.survey.results import as_json, draw_curves, results_table
    from simulations.studies.survey.scoring import read_surveys, score_answers

    surveys = read_surveys(files)
    scored = score_answers(surveys)
    if plot is not None:
        draw_curves(scored, plot)
    if json:
        typer.echo(as_json(scored))
    else:
        show([results_table(scored, sum(len(sheets) for _, sheets in surveys), len(surveys))])
