"""Parties that cheat, by name.

To add one: subclass the role it plays in a module of this package, override a step, say what it
does and what it knows, and list it here.
"""

from parties.adversaries.buyers import AnotherImage, FalseComplaint
from parties.adversaries.sellers import IrrelevantImages, SwappedDelivery
from parties.party import Party

ADVERSARIES: dict[str, type[Party]] = {
    "another-image": AnotherImage,
    "false-complaint": FalseComplaint,
    "irrelevant-images": IrrelevantImages,
    "swapped-delivery": SwappedDelivery,
}
"""Adversaries by the name under which a scenario mixes them in."""


def summary(adversary: type[Party]) -> str:
    """Return the first line of an adversary's docstring."""
    return (adversary.__doc__ or "").strip().splitlines()[0]
