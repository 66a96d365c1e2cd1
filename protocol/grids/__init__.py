"""How messages travel: implementations of Flower's `Grid`."""

from protocol.grids.local import LocalGrid
from protocol.grids.observed import Envelope, ObservedGrid

__all__ = ["Envelope", "LocalGrid", "ObservedGrid"]
