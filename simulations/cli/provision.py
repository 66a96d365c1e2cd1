"""`parley provision`: certificates and start-up folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deploy.provisioning import Provisioned

Out = Annotated[Path, typer.Option("--out", help="The kit's folder.")]

app = typer.Typer(
    help="Make certificates and a start-up folder for each party of a deployment.", invoke_without_command=True
)


@app.callback()
def make(
    context: typer.Context,
    cloud: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Where parties reach the cloud; default port: 7443.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name or IP address of the cloud; may be given several times."),
    ] = None,
    sellers: Annotated[int, typer.Option(min=0, max=100_000, help="How many sellers.")] = 3,
    buyers: Annotated[int, typer.Option(min=0, max=10_000, help="How many buyers.")] = 1,
    entities: Annotated[int, typer.Option(min=0, max=10_000, help="How many entities.")] = 0,
    out: Out = Path("kit"),
) -> None:
    """Make a kit, or what an existing kit lacks, such as certificates that have run out; twice is as good as once."""
    if context.invoked_subcommand is not None:
        return
    if cloud is None:
        raise typer.BadParameter("say where parties will reach the cloud: --cloud HOST or --cloud HOST:PORT")
    from deploy.kit import Address
    from deploy.provisioning import provision

    try:
        address = Address.parse(cloud)
    except ValueError as error:
        raise typer.BadParameter(f"--cloud: {error}") from None
    done = provision(out, address, {"seller": sellers, "buyer": buyers, "entity": entities}, also or ())
    _tell(done, out)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="The new party, such as seller4.")],
    role: Annotated[
        str | None, typer.Option(help="seller, buyer, entity or operator; default: as the name says.")
    ] = None,
    out: Out = Path("kit"),
) -> None:
    """Add a party; the certificates of the others stay as they are."""
    from deploy.provisioning import add as add_party
    from deploy.provisioning import role_of

    role = role or role_of(name)
    if role not in ("seller", "buyer", "entity", "operator", "cloud"):
        raise typer.BadParameter(f"say what {name} is: --role seller, buyer, entity or operator")
    _tell(add_party(out, name, role), out)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The party whose certificates are revoked, such as seller2.")],
    out: Out = Path("kit"),
) -> None:
    """Revoke a party's certificates; `add` with the same name makes a new one."""
    from deploy.kit import REVOKED
    from deploy.provisioning import revoke as revoke_party

    revoked = revoke_party(out, name)
    if not revoked:
        typer.echo(f"{name} has no valid certificate; nothing was changed.")
        return
    typer.echo(f"Revoked {name}: {len(revoked)} certificate{'s' if len(revoked) > 1 else ''}.")
    typer.echo(
        f"Who runs from a folder in {out} refuses it from now on; to those who run from copies, copy "
        f"{out / 'authority' / REVOKED}."
    )


def _tell(done: "Provisioned", out: Path) -> None:
    """Print what was made, and what to type next on each machine."""
    from deploy.kit import CERTIFICATE, KEY

    if not done.made:
        typer.echo(f"Nothing to do: {out} is complete, with {len(done.good)} valid certificates.")
        return
    folders = "1 folder" if len(done.made) == 1 else f"{len(done.made)} folders"
    where = ", also ".join((str(done.address), *done.also))
    typer.echo(f"Made {folders} in {out}, for the cloud at {where}; valid until {done.made[-1].until}.\n")
    if done.renewed:
        names = ", ".join(sorted(done.renewed)[:SHOWN]) + (" and more" if len(done.renewed) > SHOWN else "")
        typer.echo(
            f"Certificates made anew: {names}. Of these copy {CERTIFICATE} and {KEY} alone into the folder that the"
            " party has, whose state stays, and start it again.\n"
        )
    typer.echo("Move each folder to its party's machine, over a channel you trust, and type there:\n")
    width = max(len(issued.name) for issued in done.made) + 2
    for issued in done.made[:SHOWN]:
        typer.echo(f"  {issued.name:<{width}}{NEXT[issued.role].format(kit=out / issued.name)}")
    if len(done.made) > SHOWN:
        typer.echo(f"  ... and {len(done.made) - SHOWN} more like these")
    typer.echo(
        f"\nA folder is all it takes to be its party. Keep {out / 'authority'} to yourself: its key makes parties.\n"
        "`parley doctor --kit FOLDER` says whether a machine is ready."
    )


NEXT = {
    "cloud": "parley cloud --kit {kit}",
    "operator": "parley status --kit {kit}",
    "seller": "parley seller --kit {kit} --album PHOTOS --price 1.50",
    "buyer": "parley buyer request --kit {kit} --samples WANTED --budget 50 --quality diversity --out bought",
    "entity": "parley entity --kit {kit} --images PICTURES --public PUBLIC",
}
"""What to type where a party's folder is."""
SHOWN = 20
