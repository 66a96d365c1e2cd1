"""People who do not exist: their traits, and their looks in each picture.

Every whole number is a person with traits that follow from the number alone, so that two calls, or two sellers, can
have pictures of the same person. Some attributes are the same in all pictures of a person (`FIXED`); others are drawn
for each picture (`PASSING`).

Attributes are correlated as in reality: beards and neckties are mostly on men, make-up on women, gray hair on older
people, and smiles open mouths. Attributes that are rare in CelebA (glasses, hats, bald heads) are more frequent here,
so that a thousand pictures show them all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.data.scene import Split

FIXED: tuple[str, ...] = (
    "Bald", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Gray_Hair", "Long_Hair",
    "Male", "Mustache", "Narrow_Eyes", "No_Beard", "Pale_Skin", "Young",
)  # fmt: skip
"""Attributes that are the same in all pictures of a person."""

PASSING: tuple[str, ...] = (
    "Bangs", "Eyeglasses", "Heavy_Makeup", "Mouth_Slightly_Open", "Smiling", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Necklace", "Wearing_Necktie",
)  # fmt: skip
"""Attributes that differ from picture to picture."""

ATTRIBUTES: tuple[str, ...] = (*FIXED, *PASSING)
"""The 24 attributes, in the order of columns; all but Long_Hair have CelebA's names."""


CLASSES: tuple[str, ...] = tuple(
    f"{age} {sex}{glasses}"
    for sex in ("women", "men")
    for age in ("older", "young")
    for glasses in ("", " with eyeglasses")
)
"""The classes for buyers: sex, age and eyeglasses."""

_CLASSIFIED = ("Male", "Young", "Eyeglasses")


class Build(NamedTuple):
    """Traits that distinguish people with the same attributes; each (n,), in 0..1, the same in all pictures."""

    skin: Tensor
    hair: Tensor
    eyes: Tensor
    width: Tensor
    height: Tensor
    spacing: Tensor
    nose: Tensor
    mouth: Tensor
    parting: Tensor
    brows: Tensor


def build(persons: NDArray[np.int64], split: Split = "traded") -> Build:
    """Return the build of people.

    Args:
        persons: (n,), their numbers.
        split: Number 5 of one split is not number 5 of the other.

    Examples:
        >>> again = build(np.array([5, 6, 5])).skin
        >>> bool(again[0] == again[2] != again[1])
        True
    """
    return Build(*_chances(persons, split, range(len(ATTRIBUTES), len(ATTRIBUTES) + len(Build._fields))).T)


def look(persons: NDArray[np.int64], generator: torch.Generator, split: Split = "traded") -> NDArray[np.bool_]:
    """Draw the attributes in one picture of each person.

    Args:
        persons: (n,), the person in each picture, also repeated ones.
        generator: Draws the passing attributes; the fixed ones follow from the person.
        split: Number 5 of one split is not number 5 of the other.

    Returns:
        (n, 24), one column per name in `ATTRIBUTES`.

    Examples:
        >>> looks = look(np.array([3, 3]), torch.Generator().manual_seed(1))
        >>> bool((looks[0, : len(FIXED)] == looks[1, : len(FIXED)]).all())
        True
    """
    fixed = _chances(persons, split, range(len(FIXED)))
    passing = torch.rand(len(persons), len(PASSING), generator=generator)
    chance = dict(zip(ATTRIBUTES, torch.cat([fixed, passing], 1).T, strict=True))
    seen: dict[str, Tensor] = {}

    def has(name: str, probability: Tensor | float) -> Tensor:
        seen[name] = chance[name] < probability
        return seen[name]

    male = has("Male", 0.46)
    young = has("Young", torch.where(male, 0.55, 0.68))
    bald = has("Bald", torch.where(male, torch.where(young, 0.06, 0.28), 0.0))
    gray = has("Gray_Hair", torch.where(young, 0.02, 0.40)) & ~bald
    black = has("Black_Hair", 0.38) & ~bald & ~gray
    blond = has("Blond_Hair", torch.where(male, 0.20, 0.42)) & ~bald & ~gray & ~black
    brown = has("Brown_Hair", 0.85) & ~bald & ~gray & ~black & ~blond
    seen |= {"Gray_Hair": gray, "Black_Hair": black, "Blond_Hair": blond, "Brown_Hair": brown}
    seen["Long_Hair"] = has("Long_Hair", torch.where(male, 0.10, 0.78)) & ~bald
    shaven = has("No_Beard", torch.where(male, 0.55, 1.0))
    has("Mustache", torch.where(male, torch.where(shaven, 0.10, 0.55), 0.0))
    has("Big_Nose", torch.where(male, 0.42, 0.16) + torch.where(young, 0.0, 0.14))
    has("Bushy_Eyebrows", torch.where(male, 0.38, 0.12))
    has("Chubby", torch.where(young, 0.14, 0.34))
    has("Narrow_Eyes", 0.22)
    has("Pale_Skin", torch.where(male, 0.14, 0.22))

    seen["Bangs"] = has("Bangs", torch.where(male, 0.14, 0.36)) & ~bald
    made_up = has("Heavy_Makeup", torch.where(male, 0.01, torch.where(young, 0.62, 0.45)))
    smiling = has("Smiling", torch.where(made_up, 0.58, 0.45))
    has("Mouth_Slightly_Open", torch.where(smiling, 0.72, 0.26))
    has("Eyeglasses", torch.where(young, 0.16, 0.42) + torch.where(made_up, -0.10, 0.0))
    has("Wearing_Hat", torch.where(male, 0.18, 0.08))
    has("Wearing_Earrings", torch.where(male, 0.03, torch.where(made_up, 0.52, 0.32)))
    has("Wearing_Necklace", torch.where(male, 0.02, 0.32))
    has("Wearing_Necktie", torch.where(male, torch.where(young, 0.28, 0.42), 0.01))
    looks: NDArray[np.bool_] = torch.stack([seen[name] for name in ATTRIBUTES], 1).numpy()
    return looks


def classify(attributes: NDArray[np.bool_], names: Sequence[str] = ATTRIBUTES) -> NDArray[np.int64]:
    """Return the class of each picture, as a position in `CLASSES`.

    Args:
        attributes: (n, k), of each picture.
        names: The names of the k columns, as in CelebA.

    Examples:
        >>> [CLASSES[index] for index in classify(np.eye(3, dtype=bool), ("Male", "Young", "Eyeglasses"))]
        ['older men', 'young women', 'older women with eyeglasses']
    """
    columns = [list(names).index(name) for name in _CLASSIFIED]
    return attributes[:, columns] @ (1 << np.arange(len(columns), dtype=np.int64)[::-1])


_SALT: dict[Split, int] = {"public": 0x5EED_0001, "traded": 0x5EED_0002}


def _chances(persons: NDArray[np.int64], split: Split, columns: range) -> Tensor:
    """Return uniform numbers in [0, 1), shape (n, columns), that follow from the person (SplitMix64's finalizer)."""
    each = np.asarray(persons, dtype=np.int64).astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
    state = each + np.array(columns, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(_SALT[split])
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    return torch.from_numpy((state >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24))
