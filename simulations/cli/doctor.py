"""`parley doctor`: whether a machine is ready to be its party."""

from pathlib import Path
from typing import Annotated

import typer

from simulations.cli.parties import CloudAddress, address_of


def doctor(
    kit: Annotated[Path, typer.Option(help="The party's folder, as `parley provision` wrote it.")],
    state: Annotated[Path | None, typer.Option(help="Where the party keeps its state, if not in its folder.")] = None,
    cloud: CloudAddress = None,
) -> None:
    """Check clock, certificate, names, ports, versions and state folder, and say how to fix what is wrong."""
    from deploy.doctor import check_machine
    from deploy.findings import Severity
    from protocol.errors import CheckFailed

    findings = check_machine(kit, state, address_of(cloud))
    marks = {Severity.OK: "ok  ", Severity.WARNING: "warn", Severity.FAILED: "FAIL"}
    for finding in findings:
        typer.echo(f"{marks[finding.severity]}  {finding.subject:<12}{finding.seen}")
        if finding.fix:
            typer.echo(f"{'':<18}-> {finding.fix}")
    failed = [finding.subject for finding in findings if finding.severity is Severity.FAILED]
    if failed:
        raise CheckFailed(f"{kit} is not ready: fix {', '.join(failed)}")
