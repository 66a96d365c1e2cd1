"""How messages travel: implementations of Flower's `Grid`."""

from protocol.grids.local import LocalGrid
from protocol.grids.numbered import NumberedGrid
from protocol.grids.observed import Envelope, ObservedGrid
from protocol.grids.ray import RayGrid
from protocol.grids.timed import Fate, Nodes, TimedExchange, TimedGrid, VirtualClock

__all__ = [
    "Envelope",
    "Fate",
    "LocalGrid",
    "Nodes",
    "NumberedGrid",
    "ObservedGrid",
    "RayGrid",
    "TimedExchange",
    "TimedGrid",
    "VirtualClock",
]
