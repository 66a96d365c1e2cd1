"""`parley audit`: whether books are in order."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from protocol.storage.ledger import Audit

app = typer.Typer(help="Check whether books are in order.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Check whether books are in order."""


@app.command("ledger")
def ledger(
    kit: Annotated[Path | None, typer.Option(help="The cloud's folder, as `parley provision` wrote it.")] = None,
    state: Annotated[Path | None, typer.Option(help="Where the cloud keeps its state, if not in the kit.")] = None,
    ledger: Annotated[
        str | None, typer.Option(envvar="PARLEY_LEDGER", help="The ledger's database, by URL; overrides party.yaml.")
    ] = None,
) -> None:
    """Check every line of a cloud's ledger; nothing is written, and the cloud may run."""
    from deploy.books import audit_ledger, ledger_of
    from deploy.kit import read_kit
    from protocol.errors import BadKit, CheckFailed, ProtocolError

    if kit is None and ledger is None:
        raise typer.BadParameter("name the ledger by --kit or by --ledger.")
    try:
        if kit is None:
            audit = audit_ledger(ledger or "")
        else:
            cloud = read_kit(kit, ["cloud"], state)
            audit = audit_ledger(ledger_of(cloud, ledger), cloud.state)
    except ProtocolError as error:
        raise BadKit(str(error)) from None
    for sentence in audit.sentences():
        typer.echo(sentence)
    if wrong := len(audit.sentences()):
        raise CheckFailed(f"the ledger is not in order: {wrong} findings; restore a backup")
    typer.echo(_counts(audit))


def _counts(audit: "Audit") -> str:
    from parties.purchase.terms import COIN

    return (
        f"In order: {audit.lines:,} lines in {audit.transactions:,} transactions, {audit.accounts:,} accounts,"
        f" {audit.escrows:,} escrows, of which {audit.pending:,} are pending with {audit.held / COIN:.2f} coins."
    )
