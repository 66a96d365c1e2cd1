"""`parley cloud`, and what its operator asks of it: `parley status` and `parley pool`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulations.cli.cheats import Adversaries, Cheat, Settings, cheat_of
from simulations.cli.parties import CloudAddress, address_of

if TYPE_CHECKING:
    from deploy.kit import Address
    from protocol.messages.service import PoolStanding, Status


def cloud(
    kit: Annotated[Path, typer.Option(help="The cloud's folder, as `parley provision` wrote it.")],
    state: Annotated[Path | None, typer.Option(help="Where to keep state, if not in the kit.")] = None,
    ledger: Annotated[
        str | None, typer.Option(envvar="PARLEY_LEDGER", help="The ledger's database, by URL; overrides party.yaml.")
    ] = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Take over a ledger that is new, restored or another cloud's; end what is open there."
        ),
    ] = False,
    console: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT", help="Show a console, /metrics and /healthz over HTTP; without HOST to this machine."
        ),
    ] = None,
    cheat: Cheat = None,
    adversaries: Adversaries = None,
    settings: Settings = None,
) -> None:
    """Run the cloud until it is stopped: many purchases at once, and those that it was stopped in."""
    from deploy.cloud import serve
    from deploy.kit import read_kit
    from deploy.party import log_to_stdout

    log_to_stdout()
    cheats = cheat_of(cheat, adversaries, settings, ["cloud", "keeper"])
    serve(read_kit(kit, ["cloud"], state), ledger, adopt, cheats, _console(console))


def _console(said: str | None) -> "Address | None":
    """Read --console."""
    from deploy.kit import Address

    try:
        return None if said is None else Address.parse(f"127.0.0.1:{said}" if said.isdigit() else said)
    except ValueError as error:
        raise typer.BadParameter(f"--console: {error}, or PORT") from None


def status(
    kit: Annotated[Path, typer.Option(help="An operator's folder, as `parley provision` wrote it.")],
    cloud: CloudAddress = None,
    everything: Annotated[bool, typer.Option("--all", help="List all parties and purchases.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Show which parties are attached, the purchases and their steps, and the money in escrow."""
    from deploy.kit import read_kit
    from deploy.operator import status_of

    standing = status_of(read_kit(kit, ["operator"], cloud=address_of(cloud)), everything)
    typer.echo(standing.model_dump_json(indent=2)) if json else _show(standing)


def drain(
    kit: Annotated[Path, typer.Option(help="An operator's folder, as `parley provision` wrote it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let the cloud begin purchases and pools again.")] = False,
    cloud: CloudAddress = None,
) -> None:
    """Prepare the cloud for a restart: it begins nothing new, and this command waits until nothing runs."""
    from deploy.kit import read_kit
    from deploy.operator import drain, end_drain
    from simulations.cli.progress import shown

    operator = read_kit(kit, ["operator"], cloud=address_of(cloud))
    if undo:
        end_drain(operator)
        typer.echo("The cloud begins purchases and pools again.")
        return
    try:
        with shown() as progress:
            drain(operator, progress)
    except KeyboardInterrupt as stop:
        stop.add_note("the cloud still begins nothing new; `parley drain --undo` ends that")
        raise
    typer.echo("Nothing runs, and nothing new begins: stop the cloud, or `parley drain --undo`.")


def pool(
    kit: Annotated[Path, typer.Option(help="An operator's folder, as `parley provision` wrote it.")],
    classes: Annotated[str, typer.Option(help="Names of the classes, separated by commas.")],
    side: Annotated[int, typer.Option(min=11, max=4096, help="Width and height to scale images to, pixels.")] = 48,
    architecture: Annotated[str, typer.Option(help="The network: compact, resnet18, resnet50, resnet101 or vgg16.")] = (
        "compact"
    ),
    entities: Annotated[int, typer.Option(min=2, max=10_000, help="How many entities have to be attached.")] = 2,
    patience: Annotated[
        float, typer.Option(min=1, max=30 * 86_400, help="Seconds that entities have for each step.")
    ] = 3600,
    publisher: Annotated[
        str, typer.Option(help="Name of the entity that pre-trains and publishes; without it the first one enrolled.")
    ] = "",
    cloud: CloudAddress = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Start a pool of poisoned features among the attached entities, and wait until it ends."""
    from deploy.kit import read_kit
    from deploy.operator import keep_pool, rules_of
    from simulations.cli.progress import shown

    rules = rules_of([name.strip() for name in classes.split(",")], side, architecture)
    with shown() as progress:
        operator = read_kit(kit, ["operator"], cloud=address_of(cloud))
        standing = keep_pool(operator, rules, entities, patience, progress, publisher)
    typer.echo(standing.model_dump_json(indent=2)) if json else _show_pool(standing)


def _show_pool(standing: "PoolStanding") -> None:
    from rich.table import Table

    from simulations.cli.terminal import show

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    table = Table("entity", "images", "pooled", "published decider", "on poisoned", "used", "its own decider", "",
                  title="Pool", title_justify="left")  # fmt: skip
    for each in standing.entities:
        name = each.urn.rpartition(":")[2] + (" (published)" if each.urn == standing.publisher else "")
        used = "" if each.used is None else str(each.used)
        table.add_row(name, str(each.samples), str(each.pooled), share(each.clean), share(each.poisoned), used,
                      share(each.top1), each.note)  # fmt: skip
    show([table])


SHOWN = 12
"""Characters of a purchase's name that a table shows."""


def _show(status: "Status") -> None:
    from rich.table import Table

    from parties.purchase.terms import COIN
    from simulations.cli.terminal import show

    def coins(amount: int | None) -> str:
        return "" if amount is None else f"{amount / COIN:.2f}"

    parties = Table("party", "node", "", "coins", title="Parties", title_justify="left")
    for party in status.parties:
        name = party.urn.removeprefix("urn:parley:").replace(":", " ")
        there = "attached" if party.attached else "away"
        if party.rival:
            there += f"; another process tried to attach from {party.rival}"
        parties.add_row(name, str(party.node_id), there, coins(party.balance))
    purchases = Table("purchase", "buyer", "begun", "", "step", title="Purchases", title_justify="left")
    for purchase in status.purchases:
        begun = f"{datetime.fromtimestamp(purchase.begun_at):%Y-%m-%d %H:%M:%S}"
        step = purchase.note or f"{purchase.step} of 12"
        buyer = purchase.buyer.rpartition(":")[2]
        purchases.add_row(purchase.name[:SHOWN], buyer, begun, purchase.state, step)
    counted = (
        f"{status.known} parties, {status.attached} attached; {status.open} purchases run, {status.ended} have ended,"
        f" {status.failed} failed. `--all` lists all of them."
    )
    earned = f"In escrow: {coins(status.escrow)} coins. The cloud has earned {coins(status.earned)}."
    show([parties, purchases, counted, earned])
