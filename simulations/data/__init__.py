"""Data sets: painted or scanned pictures without a download, published data sets, and the user's own folders."""

from dataclasses import dataclass

from simulations.data import digits, people, pets


@dataclass(frozen=True)
class DatasetInfo:
    """A data set by name.

    Attributes:
        description: One line about the pictures and their origin.
        class_names: Their classes; empty if only the files define them.
    """

    description: str
    class_names: tuple[str, ...] = ()


DATASETS: dict[str, DatasetInfo] = {
    "pets": DatasetInfo(f"portraits of cats and dogs of {len(pets.BREEDS)} breeds, painted in any number", pets.BREEDS),
    "faces": DatasetInfo(
        f"people who do not exist, painted with {len(people.ATTRIBUTES)} attributes, several pictures of each; classes "
        "by sex, age and eyeglasses; the shipped featurizer was not trained on faces",
        people.CLASSES,
    ),
    "digits": DatasetInfo("898 handwritten digits: the traded half of the scans in scikit-learn", digits.CLASSES),
    "imagenet": DatasetInfo("photographs of 1000 classes: ImageNet's validation pictures, from your own copy"),
    "celeba": DatasetInfo(
        "photographs of celebrities, several of each: CelebA's test pictures; classes by sex, age and eyeglasses",
        people.CLASSES,
    ),
    "stl10": DatasetInfo("photographs of 10 classes, 96 pixels wide: STL-10's test pictures"),
    "oxford_pets": DatasetInfo("photographs of cats and dogs of 37 breeds: the Oxford-IIIT test pictures"),
    "cifar10": DatasetInfo("photographs of 10 classes, 32 pixels wide: CIFAR-10's test pictures"),
    "folder": DatasetInfo("your own JPEG, PNG, WebP, BMP or GIF files; sub-folders name the classes"),
}
