"""Ten breeds of cats and ten of dogs: the common traits of each."""

from dataclasses import dataclass

Colour = tuple[float, float, float]

WHITE, BLACK = (0.95, 0.93, 0.90), (0.09, 0.08, 0.09)
_GREEN, _GOLD, _BLUE, _BROWN = (0.56, 0.70, 0.30), (0.86, 0.65, 0.22), (0.50, 0.70, 0.88), (0.30, 0.18, 0.09)


@dataclass(frozen=True)
class Breed:
    """The common traits of a breed; lengths in half picture widths, other numbers in 0..1."""

    coat: Colour
    second: Colour  # colour of stripes, spots, patches, points and ears
    eyes: Colour
    width: float = 0.40  # of the head
    height: float = 0.37
    fluff: float = 0.15  # how far the coat stands out
    pricked: float = 0.0  # length of upright ears, 0 for none
    hanging: float = 0.0  # length of hanging ears, 0 for none
    dark_ears: float = 0.0  # share of `second` in the ears' colour
    muzzle: float = 0.16
    stripes: float = 0.0
    spots: float = 0.0
    patches: float = 0.0
    points: float = 0.0  # dark face
    brows: float = 0.0  # tan eyebrows and cheeks
    blaze: float = 0.0  # white from the forehead to the muzzle
    snout: float = 0.0  # white muzzle
    bib: float = 0.0  # white chest


CATS: dict[str, Breed] = {
    "Siamese": Breed(
        (0.88, 0.82, 0.72), (0.29, 0.20, 0.16), _BLUE, 0.36, 0.35, 0.1, pricked=0.44, dark_ears=1, points=0.9
    ),
    "Russian Blue": Breed((0.48, 0.52, 0.58), (0.42, 0.46, 0.52), _GREEN, 0.37, 0.35, 0.1, pricked=0.40),
    "Bengal": Breed(
        (0.77, 0.58, 0.36), (0.27, 0.17, 0.10), _GREEN, 0.37, 0.36, 0.1, pricked=0.34, spots=0.85, snout=0.4
    ),
    "Persian": Breed((0.93, 0.90, 0.85), (0.84, 0.76, 0.66), _GOLD, 0.46, 0.40, 0.8, pricked=0.26, muzzle=0.13),
    "Maine Coon": Breed(
        (0.52, 0.42, 0.31), (0.20, 0.15, 0.11), _GOLD, 0.42, 0.40, 0.7, pricked=0.46, stripes=0.8, snout=0.3
    ),
    "Bombay": Breed((0.12, 0.11, 0.12), (0.08, 0.07, 0.08), _GOLD, 0.39, 0.36, 0.1, pricked=0.38),
    "Ginger": Breed((0.88, 0.58, 0.28), (0.68, 0.36, 0.13), _GREEN, pricked=0.37, stripes=0.8, snout=0.8, bib=0.6),
    "Tuxedo": Breed((0.14, 0.13, 0.14), (0.10, 0.09, 0.10), _GREEN, pricked=0.38, blaze=0.7, snout=1, bib=1),
    "Calico": Breed((0.93, 0.90, 0.86), (0.74, 0.42, 0.16), _GOLD, pricked=0.36, dark_ears=0.6, patches=0.95, bib=0.5),
    "Sphynx": Breed((0.83, 0.66, 0.58), (0.72, 0.52, 0.46), _BLUE, 0.33, 0.36, 0.0, pricked=0.56, stripes=0.3),
}
DOGS: dict[str, Breed] = {
    "Labrador": Breed((0.85, 0.71, 0.46), (0.74, 0.58, 0.34), _BROWN, hanging=0.34, dark_ears=0.8, muzzle=0.23),
    "Golden Retriever": Breed(
        (0.80, 0.55, 0.28), (0.68, 0.42, 0.19), _BROWN, 0.42, 0.39, 0.6, hanging=0.42, muzzle=0.22
    ),
    "Husky": Breed(
        (0.40, 0.42, 0.46), (0.25, 0.26, 0.29), _BLUE, 0.41, 0.38, 0.4, 0.36, blaze=0.5, snout=1, bib=0.9, brows=0.2
    ),
    "Dalmatian": Breed(
        WHITE, (0.13, 0.12, 0.12), _BROWN, 0.38, 0.38, hanging=0.36, dark_ears=0.7, muzzle=0.22, spots=0.95
    ),
    "Beagle": Breed(
        (0.73, 0.47, 0.25), (0.45, 0.26, 0.13), _BROWN, hanging=0.48, dark_ears=0.9, blaze=0.8, snout=1, bib=1
    ),
    "Pug": Breed(
        (0.84, 0.69, 0.48), BLACK, _BROWN, 0.44, 0.37, 0.05, hanging=0.20, dark_ears=1, muzzle=0.21, points=0.9
    ),
    "Border Collie": Breed(
        BLACK, (0.16, 0.13, 0.12), _BROWN, 0.38, 0.38, 0.6, 0.16, 0.26, blaze=0.9, snout=1, bib=1, muzzle=0.2
    ),
    "Corgi": Breed((0.82, 0.55, 0.29), (0.70, 0.42, 0.20), _BROWN, 0.39, 0.36, 0.3, 0.50, blaze=0.5, snout=0.9, bib=1),
    "Poodle": Breed(
        (0.56, 0.37, 0.25), (0.48, 0.30, 0.19), _BROWN, 0.37, 0.40, 1.0, hanging=0.44, dark_ears=0.5, muzzle=0.17
    ),
    "Rottweiler": Breed(
        (0.13, 0.11, 0.11), (0.62, 0.36, 0.17), _BROWN, 0.45, 0.40, 0.1, hanging=0.28, brows=1, muzzle=0.25
    ),
}
BREEDS: tuple[str, ...] = (*CATS, *DOGS)
