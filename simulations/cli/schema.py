"""`parley schema`: what a scenario may hold, for editors."""

import json
from typing import Annotated

import typer

from simulations.cli.names import WORKFLOWS


def schema(
    workflow: Annotated[
        str,
        typer.Argument(
            help="See `parley list workflows`.", callback=WORKFLOWS.check, autocompletion=WORKFLOWS.complete
        ),
    ],
) -> None:
    """Print the JSON Schema of a workflow's scenarios.

    Editors complete and check a scenario file by it: save it as purchase.json, and begin the scenario file with
    `# yaml-language-server: $schema=purchase.json`.
    """
    from simulations.scenarios.files import schema_of

    typer.echo(json.dumps(schema_of(workflow), indent=2))
