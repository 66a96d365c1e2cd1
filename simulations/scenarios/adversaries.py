"""Assigns a scenario's adversaries to parties, and imports adversaries from a user's file."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protocol.errors import BadInput
from simulations.scenarios.base import Mix
from simulations.scenarios.own_file import imported, python_file

if TYPE_CHECKING:
    from parties.adversaries import Adversary


def draw_adversaries(
    order: Sequence[int],
    mixes: Mapping[str, Mix],
    generator: np.random.Generator,
    *,
    of: int | None = None,
    least: int = 0,
) -> dict[int, str]:
    """Choose the party of each adversary of a scenario: disjoint groups, then drawn ones among the other parties.

    Args:
        order: The parties that may be adversaries, in random order.
        mixes: The scenario's adversaries.
        generator: Draws the parties of drawn adversaries.
        of: The number of parties that shares refer to; None: all in `order`.
        least: The least number of parties for an adversary with a share above 0, unless it is drawn.

    Returns:
        Adversaries by party, without the honest ones.

    Examples:
        >>> generator = np.random.default_rng(1)
        >>> draw_adversaries([3, 1, 0, 2], {"idle": Mix(share=0.5), "loud": Mix(share=0.25)}, generator)
        {3: 'idle', 1: 'idle', 0: 'loud'}
    """
    count = len(order) if of is None else of
    chosen: dict[int, str] = {}
    for name, mix in mixes.items():
        if mix.share and not mix.drawn:
            wanted = max(least, round(mix.share * count))
            chosen |= dict.fromkeys(order[len(chosen) : len(chosen) + wanted], name)
    drawn = {name: mix.share for name, mix in mixes.items() if mix.drawn}
    if drawn and len(chosen) < len(order):
        # The remaining parties are drawn with a higher probability, to keep the shares of all parties.
        edges = np.cumsum(list(drawn.values())) / (1 - len(chosen) / len(order))
        places = np.searchsorted(edges, generator.random(len(order)), side="right")
        for party, place in zip(sorted(order), places, strict=True):
            if party not in chosen and place < len(drawn):
                chosen[party] = list(drawn)[place]
    return chosen


def of_role(mixes: Mapping[str, Mix], known: "Mapping[str, Adversary]", role: str) -> dict[str, Mix]:
    """Return a scenario's adversaries of one role."""
    return {name: mix for name, mix in mixes.items() if known[name].role == role}


def cheat_of_server(mixes: Mapping[str, Mix], known: "Mapping[str, Adversary]", role: str) -> str | None:
    """Return the first of a scenario's adversaries that drives the workflow, by name; None: an honest server does."""
    return next((name for name, mix in of_role(mixes, known, role).items() if mix.share), None)


def known_adversaries(own: str | PathLike[str] | Iterable[object] | None = None) -> "dict[str, Adversary]":
    """Return the built-in adversaries and the user's own, by name.

    Args:
        own: A Python file that declares adversaries; it is imported, so its code runs, and may import modules of its
            folder. Or declared classes and functions.

    Raises:
        BadInput: When the file is missing, cannot be imported, declares no adversary, or uses a built-in name.
    """
    path = python_file(own, "adversaries") if isinstance(own, (str, PathLike)) else None

    from parties.adversaries import ADVERSARIES

    if own is None:
        return dict(ADVERSARIES)
    given = _declared_among(own) if path is None else _declared_in(path)
    if taken := sorted(given.keys() & ADVERSARIES.keys()):
        raise BadInput(f"{path or 'adversaries'}: {taken[0]!r} is the name of a built-in adversary; choose another")
    return ADVERSARIES | given


def _declared_in(path: Path) -> "dict[str, Adversary]":
    """Import a file and return the adversaries that it declares, without those that it imports."""
    from parties.adversaries import ADVERSARIES, declared

    found = declared(vars(imported(path)))
    own = {name: cheat for name, cheat in found.items() if ADVERSARIES.get(name) is not cheat}
    if not own:
        raise BadInput(f"{path} declares no adversaries; put @adversary(...) on a class or a function in it")
    return own


def _declared_among(own: object) -> "dict[str, Adversary]":
    from parties.adversaries import declared

    found: dict[str, Adversary] = {}
    for each in own if isinstance(own, Iterable) else [own]:
        if not (cheat := declared({"": each})):
            raise BadInput(f"{each!r} is not an adversary; put @adversary(...) on a class or a function")
        found |= cheat
    return found
