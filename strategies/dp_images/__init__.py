"""Pictures published with differential privacy, one by one, by their owners (Fan's survey, section 3).

`mechanisms` adds the noise, `guarantee` states the promise, `attacks` recover what is not promised, and `baselines`
promise nothing. To add a mechanism, write its class in `mechanisms` and a line in `MECHANISMS`.
"""

from dataclasses import MISSING, fields
from typing import Any

from strategies.dp_images.baselines import P3, P3JPEG, Pixelize, Plain
from strategies.dp_images.guarantee import Guarantee
from strategies.dp_images.mechanisms import DPSVD, DPPix, Mechanism, Snow

__all__ = [
    "DPSVD",
    "MECHANISMS",
    "P3",
    "P3JPEG",
    "DPPix",
    "Guarantee",
    "Mechanism",
    "Pixelize",
    "Plain",
    "Snow",
    "mechanism",
]

MECHANISMS: dict[
    str, type[DPPix] | type[DPSVD] | type[Snow] | type[Plain] | type[Pixelize] | type[P3] | type[P3JPEG]
] = {
    "dp-pix": DPPix,
    "dp-svd": DPSVD,
    "snow": Snow,
    "plain": Plain,
    "pixelize": Pixelize,
    "p3": P3,
    "p3-jpeg": P3JPEG,
}
"""Mechanisms by name; the last four promise nothing."""


def mechanism(name: str, **settings: Any) -> Mechanism:
    """Return a mechanism with its settings.

    Raises:
        ValueError: When there is no such mechanism, or it has no such setting, or the setting is out of its range.

    Examples:
        >>> mechanism("dp-pix", epsilon=2.0, cell=4)
        DPPix(epsilon=2.0, cell=4, changed=16)
    """
    if name not in MECHANISMS:
        raise ValueError(f"there is no mechanism {name}; choose from {', '.join(MECHANISMS)}")
    kind = MECHANISMS[name]
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            raise ValueError(f"{name} has no setting {setting}; its settings are {', '.join(known) or 'none'}")
    for field in fields(kind):
        if field.default is MISSING and field.name not in settings:
            raise ValueError(f"{name} takes {field.name}")
    return kind(**settings)
