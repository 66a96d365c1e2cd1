"""Parties that cheat on machines of their own, so that the others can be tested as they are deployed."""

from typing import Any, TypeVar

from deploy.party import log
from parties.party import Party
from protocol.errors import BadInput

P = TypeVar("P", bound=Party)


def cheating(honest: type[P], cheat: type[Any] | None) -> type[P]:
    """Return the class of a deployed party that cheats: what it overrides comes before what its process does.

    Args:
        honest: The party as it is deployed.
        cheat: A class of the same role (`parties.adversaries.Adversary.cast`); None: it is honest.

    Raises:
        BadInput: When the cheat needs others in its process, or an album in its memory.
    """
    if cheat is None:
        return honest
    if hasattr(cheat, "join"):
        raise BadInput(f"{cheat.__name__} acts together with others in one process, and here each party has its own")
    if any("__init__" in vars(base) for base in cheat.__mro__ if base not in honest.__mro__):
        raise BadInput(f"{cheat.__name__} changes the images in its memory; put what it would offer into the folder")
    log("cheats", kind=cheat.__name__)
    return type(cheat.__name__, (cheat, honest), {})


def serving(honest: type[Any], cheat: type[Any] | None) -> type[Any]:
    """Return the workflow that a cloud plays: the one that cheats, if it is of this role."""
    if cheat is None or cheat.role != honest.role:
        return honest
    log("cheats", kind=cheat.__name__)
    return cheat
