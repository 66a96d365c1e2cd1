"""The mechanism that a scenario names, or that a user's file declares."""

from typing import TYPE_CHECKING

from protocol.errors import BadInput, nearest
from simulations.scenarios.own_file import imported, python_file

if TYPE_CHECKING:
    from strategies.mechanisms import Mechanism


def known_mechanism(named: str) -> "Mechanism":
    """Return a mechanism by its name, or the one that a Python file declares.

    Args:
        named: A name (`parley list mechanisms`), or the path of a ``.py`` file. The file is imported, so its code runs.

    Raises:
        BadInput: When there is no such mechanism, or the file does not declare exactly one, under a name of its own.
    """
    from strategies.mechanisms import MECHANISMS, declared_mechanisms

    if named in MECHANISMS:
        return MECHANISMS[named]
    if not named.endswith(".py"):
        raise BadInput(f"there is no mechanism {named!r}; {nearest(named, MECHANISMS)}; or name a .py file")
    path = python_file(named, "a mechanism")
    found = declared_mechanisms(vars(imported(path)))
    if len(found) != 1:
        said = f"{len(found)} mechanisms" if found else "no mechanism"
        raise BadInput(f"{path} declares {said}; put @mechanism(...) on one function in it")
    (own,) = found.values()
    if own.name in MECHANISMS:
        raise BadInput(f"{path}: {own.name!r} is the name of a built-in mechanism; choose another")
    return own
