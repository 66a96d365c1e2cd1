"""How messages travel: implementations of Flower's `Grid`."""

from protocol.grids.local import LocalGrid
from protocol.grids.observed import Envelope, ObservedGrid
from protocol.grids.timed import Exchange, Fate, Nodes, TimedGrid, VirtualClock

__all__ = ["Envelope", "Exchange", "Fate", "LocalGrid", "Nodes", "ObservedGrid", "TimedGrid", "VirtualClock"]
