"""`parley privacy`: what a party's privacy ledger says."""

from typing import TYPE_CHECKING, Annotated

import typer

from simulations.cli.parties import KitFolder, StateFolder

if TYPE_CHECKING:
    from deploy.privacy import Standing


def _print_default(wanted: bool) -> None:
    from parties.policy.settings import commented_policy

    if wanted:
        typer.echo(commented_policy(), nl=False)
        raise typer.Exit


def privacy(
    kit: KitFolder,
    state: StateFolder = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Go on with a ledger that is older than the cloud was told.")
    ] = False,
    default: Annotated[
        bool,
        typer.Option("--default", callback=_print_default, is_eager=True, help="Print the strict default policy."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Show a party's privacy budgets, what was spent of them, and what has left it."""
    from deploy.kit import read_kit
    from deploy.privacy import privacy_of
    from parties.policy.settings import WORKFLOWS

    standing = privacy_of(read_kit(kit, list(WORKFLOWS), state), adopt)
    typer.echo(standing.model_dump_json(indent=2)) if json else _show(standing)


def _show(standing: "Standing") -> None:
    from rich.table import Table

    from parties.policy.ledger import NAMES
    from simulations.cli.terminal import show

    budgets = Table("of", "spent", "budget", title="Epsilon", title_justify="left")
    for kind, name in NAMES.items():
        budget = standing.budgets[kind]
        budgets.add_row(name, f"{standing.spent[kind]:.3g}", "none" if budget is None else f"{budget:g}")
    largest = Table("image", "spent", title="Images that have lost most", title_justify="left")
    for each in standing.largest:
        largest.add_row(each.subject[:12], f"{each.epsilon:.3g}")
    last = Table("", "time", "of", "what", "epsilon", title="Last entries", title_justify="left")
    for line in standing.last:
        whom = f"{line.kind} {line.subject[:12]}".strip()
        last.add_row(str(line.number), line.at, whom, line.what, "" if line.epsilon is None else f"{line.epsilon:.3g}")
    said = [
        f"{standing.entries} entries, at delta {standing.delta:g}; {standing.unpromised} answers of which nothing is"
        " promised."
    ]
    show([budgets, *([largest] if standing.largest else []), *([last] if standing.last else []), *said])
    if standing.behind is not None:
        show([f"Nothing is spent: {standing.behind}."])
