"""`parley account`: the money of parties with a running cloud."""

import csv
import math
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulations.cli.parties import CloudAddress, address_of

if TYPE_CHECKING:
    from protocol.messages.service import AccountPage

app = typer.Typer(help="Put money into accounts, take it out, and see what accounts hold.", no_args_is_help=True)

Party = Annotated[str, typer.Argument(help="The buyer or seller: its name, or its URN.")]
Operator = Annotated[Path, typer.Option("--kit", help="An operator's folder, as `parley provision` wrote it.")]
Reference = Annotated[
    str | None,
    typer.Option(help="What the payment is called, such as a receipt's number; one reference moves money once."),
]


def _coins(value: float) -> float:
    if math.isnan(value):  # it is within any range
        raise typer.BadParameter(f"{value} is not a number.")
    if round(value, 2) != value:
        raise typer.BadParameter(f"{value} has more than two decimals.")
    return value


Coins = Annotated[float, typer.Argument(min=0.01, max=1e10, callback=_coins, help="Coins.")]


@app.command("deposit")
def deposit(party: Party, coins: Coins, kit: Operator, reference: Reference = None, cloud: CloudAddress = None) -> None:
    """Put money that was paid outside Parley into an account."""
    _move(party, coins, kit, reference, cloud)


@app.command("withdraw")
def withdraw(
    party: Party, coins: Coins, kit: Operator, reference: Reference = None, cloud: CloudAddress = None
) -> None:
    """Take money out of an account, to be paid outside Parley; what open purchases hold stays."""
    _move(party, -coins, kit, reference, cloud)


@app.command("statement")
def statement(
    kit: Annotated[Path, typer.Option(help="An operator's, a buyer's or a seller's folder.")],
    party: Annotated[str, typer.Argument(help="Whose, for an operator; without it, the kit's own.")] = "",
    cloud: CloudAddress = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Show what an account holds, and every movement on it."""
    from deploy.kit import read_kit
    from deploy.operator import account_of

    page = account_of(read_kit(kit, ["operator", "buyer", "seller"], cloud=address_of(cloud)), party)
    typer.echo(page.model_dump_json(indent=2)) if json else _show(page)


@app.command("export")
def export(kit: Operator, cloud: CloudAddress = None) -> None:
    """Print every line of the ledger as CSV: in each transaction the amounts sum to zero."""
    from deploy.accounts import EVERYBODY
    from deploy.kit import read_kit
    from deploy.operator import account_of
    from parties.purchase.terms import COIN

    lines = account_of(read_kit(kit, ["operator"], cloud=address_of(cloud)), EVERYBODY).lines
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["line", "transaction", "account", "coins", "what"])
    table.writerows(
        [line.number, line.transaction, line.account, f"{line.amount / COIN:.2f}", line.memo] for line in lines
    )


def _move(party: str, coins: float, kit: Path, reference: str | None, cloud: str | None) -> None:
    from deploy.kit import read_kit
    from deploy.operator import move_money
    from deploy.party import Away
    from parties.purchase.terms import COIN
    from protocol.errors import Unreachable

    operator, named = read_kit(kit, ["operator"], cloud=address_of(cloud)), reference or secrets.token_hex(8)
    try:
        page = move_money(operator, party, round(coins * COIN), named)
    except Away as error:
        raise Unreachable(
            f"{error}. The money may have been moved: repeat the command with --reference {named}, which moves it once"
        ) from None
    typer.echo(f"{page.account}: {page.free / COIN:.2f} coins are free, {page.held / COIN:.2f} in open purchases.")


def _show(page: "AccountPage") -> None:
    from rich.table import Table

    from parties.purchase.terms import COIN
    from protocol.storage.user_files import printable
    from simulations.cli.terminal import show

    table = Table("line", "coins", "what", title=printable(page.account), title_justify="left")
    for line in page.lines:
        table.add_row(str(line.number), f"{line.amount / COIN:+.2f}", printable(line.memo))
    show([table, f"{page.free / COIN:.2f} coins are free, {page.held / COIN:.2f} in open purchases."])
