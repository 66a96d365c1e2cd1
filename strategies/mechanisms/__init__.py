"""Mechanisms: which bids win within a budget, and what each winner is paid. All are truthful.

To add one, write its module, add a line to `MECHANISMS`, and call it for a quality in `selection.select`.
"""

from dataclasses import dataclass
from typing import Literal

from strategies.mechanisms.award import Award
from strategies.mechanisms.chen_gravin_lu import chen_gravin_lu
from strategies.mechanisms.descending_clock import descending_clock
from strategies.mechanisms.singer import singer

__all__ = ["MECHANISMS", "Award", "MechanismInfo", "chen_gravin_lu", "descending_clock", "singer"]


@dataclass(frozen=True)
class MechanismInfo:
    """What a mechanism does, in one line, and the dataset qualities that it serves."""

    description: str
    qualities: frozenset[Literal["quantity", "matching", "diversity"]]


MECHANISMS = {
    "singer": MechanismInfo("the cheapest images, all at one price (Singer 2010)", frozenset({"quantity"})),
    "chen-gravin-lu": MechanismInfo(
        "most matching degree per cost, or the single best image (Chen, Gravin and Lu 2011)",
        frozenset({"quantity", "matching"}),
    ),
    "descending-clock": MechanismInfo(
        "falling posted prices until the acceptors cover what they cost (Cui et al. 2026)", frozenset({"diversity"})
    ),
}
