"""Parties that cheat, by name.

To add one: declare it with `adversary` in a module of this package, or in a file of your own.
"""

from parties.adversaries import (
    bidding,
    buyers,
    delivery,
    federating,
    malformed,
    owners,
    pooling,
    pricing,
    publishing,
    representations,
    servers,
    substitution,
    summing,
)
from parties.adversaries.adversary import Adversary, adversary, declared
from parties.adversaries.collusion import Blackboard

_MODULES = (
    bidding,
    buyers,
    delivery,
    federating,
    malformed,
    owners,
    pooling,
    pricing,
    publishing,
    representations,
    servers,
    substitution,
    summing,
)

ADVERSARIES: dict[str, Adversary] = {
    name: found for module in _MODULES for name, found in declared(vars(module)).items()
}
"""Adversaries by the name under which a scenario mixes them in."""

__all__ = ["ADVERSARIES", "Adversary", "Blackboard", "adversary", "declared"]
