"""A mechanism tried out on two neighbours that are as far apart as its promise allows: how much of it is real."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from strategies.dp_images.mechanisms import DPSVD, RANGE, DPPix, Mechanism
from strategies.privacy.auditing import audited_epsilon
from strategies.privacy.stream import Stream

TRIED = 401
"""Thresholds that are tried."""
SIDE = 16
"""Width and height of the pictures that DP-SVD is tried out on."""


class Neighbours(NamedTuple):
    """Two neighbours, each (1, 1, height, width) uint8 grey pictures, and the epsilon that is promised for them."""

    one: Tensor
    other: Tensor
    promised: float


def neighbours(mechanism: Mechanism) -> Neighbours | None:
    """Return neighbours that a mechanism hides least; None where no epsilon is promised.

    Of DP-Pix they differ in m pixels, black in one and white in the other, all of one cell if they fit. Of DP-SVD they
    are of one grey each, as far apart as an epsilon of 1, or of what the shades allow.
    """
    match mechanism:
        case DPPix():
            changed = min(mechanism.changed, mechanism.cell**2)
            other = torch.zeros(mechanism.cell**2, dtype=torch.uint8)
            other[:changed] = RANGE
            shape = (1, 1, mechanism.cell, mechanism.cell)
            promised = mechanism.epsilon * changed / mechanism.changed
            return Neighbours(torch.zeros(shape, dtype=torch.uint8), other.reshape(shape), promised)
        case DPSVD():
            shades = min(100, max(1, round(1 / (mechanism.epsilon * SIDE))))
            one = torch.full((1, 1, SIDE, SIDE), 100, dtype=torch.uint8)
            return Neighbours(one, one + shades, mechanism.epsilon * SIDE * shades)
    return None


def audited(mechanism: Mechanism, stream: Stream, trials: int = 4000, error: float = 0.05) -> float | None:
    """Return an epsilon that a mechanism exceeds, as a share of the epsilon that is promised for the same neighbours.

    Each neighbour is published many times. The brightness above which a publication counts as the brighter one's is
    chosen on half of the trials, and counted on the others, with an `error` for all of it (see `audited_epsilon`).

    Returns:
        0 to about 1, more where the promise is broken; None where no epsilon is promised.

    Examples:
        >>> share = audited(DPPix(epsilon=1.0), Stream(bytes(32)))
        >>> share is not None and 0.7 < share <= 1
        True
    """
    found = neighbours(mechanism)
    if found is None:
        return None
    bright, dark = (
        mechanism.publish(picture.expand(2 * trials, -1, -1, -1), stream).double().mean((1, 2, 3))
        for picture in (found.other, found.one)
    )

    def lost(threshold: float, part: slice) -> float:
        above = [int((each[part] >= threshold).sum()) for each in (bright, dark)]
        below = [trials - count for count in reversed(above)]
        return max(audited_epsilon(hits, trials, others, trials, 0.0, error / 2) for hits, others in (above, below))

    seen = torch.cat([bright[:trials], dark[:trials]]).numpy()
    thresholds = np.unique(np.quantile(seen, np.linspace(0, 1, TRIED), method="nearest")).tolist()
    chosen = max(thresholds, key=lambda threshold: lost(threshold, slice(trials)))
    return lost(chosen, slice(trials, None)) / found.promised
