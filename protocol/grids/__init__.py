"""How messages travel: implementations of Flower's `Grid`."""

from protocol.grids.local import LocalGrid
from protocol.grids.numbered import NumberedGrid
from protocol.grids.observed import Envelope, ObservedGrid
from protocol.grids.ray import RayGrid

__all__ = ["Envelope", "LocalGrid", "NumberedGrid", "ObservedGrid", "RayGrid"]
