"""`parley audit`: whether books are in order, and whether mechanisms keep their word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from protocol.storage.ledger import Audit
    from strategies.mechanisms.auditing import Audit as TruthfulnessAudit

app = typer.Typer(help="Check whether books are in order and mechanisms keep their word.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Check whether books are in order and mechanisms keep their word."""


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


@app.command("truthfulness")
def truthfulness(
    mechanism: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="See `parley list mechanisms`, or a .py file; default: the defaults."),
    ] = None,
    instances: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Markets to try, for each quality and kind of agents.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed tries the same markets.")] = 0,
) -> None:
    """Look for lies that pay, and for payments above the budget or below a price, in exact arithmetic."""
    import numpy as np

    from protocol.errors import CheckFailed
    from simulations.scenarios.mechanisms import known_mechanism
    from strategies.mechanisms import AGENTS, BUNDLE_MECHANISMS, DEFAULT_MECHANISMS, MECHANISMS, QUALITIES
    from strategies.mechanisms.auditing import audit

    defaults = dict.fromkeys([*DEFAULT_MECHANISMS.values(), *BUNDLE_MECHANISMS.values()])
    chosen = [MECHANISMS[name] for name in defaults] if mechanism is None else [known_mechanism(mechanism)]
    guilty = []
    for each in chosen:
        claim = "claims to be truthful" if each.truthful else "does not claim to be truthful"
        typer.echo(f"{each.name} {claim}; it guarantees: {each.guarantee}.")
        for quality in QUALITIES:
            for agents in AGENTS:
                if each.refusal(quality, agents) is not None:
                    continue
                found = audit(each, quality, agents, cases=instances, generator=np.random.default_rng(seed))
                typer.echo(f"  {quality}, {agents}: {_found(found)}")
                for violation in found.violations:
                    guilty.append(f"{each.name} ({quality}, {agents})")
                    for line in violation.sentences():
                        typer.echo(f"    {line}")
    if guilty:
        raise CheckFailed(f"broken promises: {', '.join(guilty)}; the smallest counterexamples found are above")


def _found(found: "TruthfulnessAudit") -> str:
    tried = f"{found.deviations:,} deviations in {found.cases:,} markets"
    if found.violations:
        return f"BROKEN after {tried}."
    gains = [
        f"{gain.kind}: {f'{gain.gain} of a budget of {gain.budget}' if gain.gain else 'none'}"
        for gain in found.gains.values()
    ]
    measured = f" Largest gains by what is not promised to gain nothing: {'; '.join(gains)}." if gains else ""
    return f"kept in {tried}.{measured}"


def _counts(audit: "Audit") -> str:
    from parties.purchase.terms import COIN

    return (
        f"In order: {audit.lines:,} lines in {audit.transactions:,} transactions, {audit.accounts:,} accounts,"
        f" {audit.escrows:,} escrows, of which {audit.pending:,} are pending with {audit.held / COIN:.2f} coins."
    )
