"""The sizes of the experiments: here and in the paper."""

from dataclasses import dataclass, replace

from strategies.obfuscation import Obfuscation

PAPER_SIDE = 256


@dataclass(frozen=True)
class Scale:
    """Sizes and lengths of training.

    Attributes:
        side: Width and height of images.
        training, tests, public: Images to obfuscate and train on; to test on; for attackers and recognisers to train
            on.
        epochs, batch, architecture: Of the models whose accuracy is compared.
        surveys: Surveys of 49 questions for each recogniser.
        attack_epochs: Rounds of McPherson's CNN and of the recognisers.
    """

    side: int
    training: int
    tests: int
    public: int
    epochs: int
    batch: int
    architecture: str
    surveys: int
    attack_epochs: int

    def setting(self, technique: str, weight: float, strength: float | None) -> Obfuscation:
        """Return a setting of the paper for images of this size: lengths in pixels shrink with the images."""
        weights = (1.0,) if weight == 1 else (weight, 1 - weight)
        return Obfuscation(technique, weights, self.scaled(technique, strength))

    def scaled(self, technique: str, strength: float | None) -> float | None:
        """Return the strength of a technique at this size; the noise's does not depend on it."""
        if strength is None or self.side >= PAPER_SIDE or self.side == 96:
            return strength
        if technique == "shuffle-mix":
            return max(2, strength // 2)
        if technique.startswith("pixelize"):
            return self.side * strength // 128
        if technique.startswith("blur"):
            return max(3, self.side * strength // PAPER_SIDE // 2 * 2 + 1)
        return strength


HERE = Scale(48, 1000, 600, 1000, 6, 32, "compact", 5, 12)
PAPER = Scale(PAPER_SIDE, 22_800, 2_000, 5_000, 20, 200, "resnet18", 5, 20)
SCALES = {"pets": HERE, "oxford_pets": PAPER, "folder": PAPER, "stl10": replace(PAPER, side=96)}
"""By data set; one with fewer images is split in the same proportions."""
ASKED = {"stl10": 96}
"""The size at which people were asked, by data set, where it is not `PAPER_SIDE`."""
