"""Pictures to trade that need no download: painted pets, scanned digits, and people's own folders."""

from dataclasses import dataclass

from simulations.datasets import digits, pets


@dataclass(frozen=True)
class DatasetInfo:
    """A data set by name.

    Attributes
    ----------
    description : str
        One line: what the pictures are and where they come from.
    class_names : tuple of str
        What they show; empty where only the user knows.
    """

    description: str
    class_names: tuple[str, ...]


DATASETS: dict[str, DatasetInfo] = {
    "pets": DatasetInfo(
        f"portraits of cats and dogs of {len(pets.BREEDS)} breeds, painted as many as wanted", pets.BREEDS
    ),
    "digits": DatasetInfo("898 handwritten digits: the traded half of the scans in scikit-learn", digits.CLASSES),
    "folder": DatasetInfo("your own JPEG, PNG, WebP, BMP or GIF files; sub-folders name the classes", ()),
}
