"""`parley doctor`: whether a machine is ready to be its party."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    kit: Annotated[Path, typer.Option(help="The party's folder, as `parley provision` wrote it.")],
    state: Annotated[Path | None, typer.Option(help="Where the party keeps its state, if not in its folder.")] = None,
) -> None:
    """Check clock, certificate, names, ports, versions and state folder, and say how to mend what is wrong."""
    from deploy.doctor import Verdict, check_machine
    from protocol.errors import CheckFailed

    findings = check_machine(kit, state)
    marks = {Verdict.FINE: "ok  ", Verdict.SOON: "soon", Verdict.BROKEN: "FAIL"}
    for finding in findings:
        typer.echo(f"{marks[finding.verdict]}  {finding.subject:<12}{finding.seen}")
        if finding.mend:
            typer.echo(f"{'':<18}-> {finding.mend}")
    broken = [finding.subject for finding in findings if finding.verdict is Verdict.BROKEN]
    if broken:
        raise CheckFailed(f"{kit} is not ready: mend {', '.join(broken)}")
