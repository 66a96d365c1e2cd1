"""Who cheats how, where all parties of a role are alike."""

from collections.abc import Mapping

import numpy as np

from simulations.scenario import Mix


def cheats_among(count: int, mixes: Mapping[str, Mix], draws: np.random.Generator) -> dict[int, str]:
    """Choose disjoint groups of parties for the cheats of a scenario, drawn ones as many as come up.

    Examples
    --------
    >>> sorted(cheats_among(4, {"idle": Mix(share=0.5), "loud": Mix(share=0.25)}, np.random.default_rng(1)).values())
    ['idle', 'idle', 'loud']
    """
    order = iter(draws.permutation(count).tolist())
    chosen: dict[int, str] = {}
    for name, mix in mixes.items():
        wanted = draws.binomial(count, mix.share) if mix.drawn else round(mix.share * count)
        chosen |= {number: name for _, number in zip(range(wanted), order, strict=False)}
    return chosen
