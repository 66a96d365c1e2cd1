"""The options with which a deployed party cheats."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

Cheat = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Cheat in this way, to test the others; see `parley list adversaries`."),
]
Adversaries = Annotated[Path | None, typer.Option(help="A Python file that declares adversaries of your own.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the cheat.")
]


def cheat_of(
    name: str | None, own: Path | None, settings: list[str] | None, roles: Collection[str]
) -> type[Any] | None:
    """Return the class of a cheat with its settings; None: the party is honest.

    Args:
        name: Of an adversary.
        own: A file that declares more of them.
        settings: Each ``key=value``.
        roles: That the process plays.

    Raises:
        BadInput: When there is no such adversary of these roles, or a setting is wrong.
    """
    from protocol.errors import BadInput, nearest

    if name is None:
        if own or settings:
            raise BadInput("--adversaries and --set are for a party that cheats: name the adversary with --cheat")
        return None

    from pydantic import ValidationError

    from protocol.mistakes import mistake
    from simulations.scenarios.adversaries import known_adversaries
    from simulations.scenarios.files import setting

    known = known_adversaries(own)
    fitting = [each for each, adversary in known.items() if adversary.role in roles]
    if name not in known:
        raise BadInput(f"--cheat: there is no adversary {name!r}; {nearest(name, fitting)}")
    if name not in fitting:
        raise BadInput(f"--cheat: {name} is an adversary of the role {known[name].role}, not {' or '.join(roles)}")
    given = dict(setting(each) for each in settings or ())
    try:
        return known[name].cast(**given)
    except ValidationError as error:
        raise BadInput(f"--set{mistake(error, known[name].parameters, '', given)}") from None
