"""The sizes of the experiments: in the paper, here, and in a test."""

from dataclasses import dataclass
from typing import Literal

from strategies.deep_poisoning.training import Penalty
from strategies.learning.fit import Plan


@dataclass(frozen=True)
class Scale:
    """Sizes, networks and steps of training.

    Attributes:
        name: Its name in the report.
        dataset: The images: painted pets and faces, or ImageNet and CelebA.
        side: Width and height.
        backbones: Architectures by those of the paper that they replace; the last one is also in Table 3.
        sharing, attributes: The architectures of Table 5 and of Table 4.
        images, fresh, public, portraits: Numbers of painted images: of S, for tests, of Q, and of faces.
        share: The part of S of each of the three large entities; the fourth has a tenth of it.
        pretraining, reconstruction, poisoning, refinement, obfuscation: Steps of training.
        batch, learning_rate: Images per step, and the highest learning rate.
        kept: Whether features are computed once and kept in memory, or computed at each access.
        weight, penalty: Of the module's loss; the paper's are 1 and "signed".
    """

    name: str
    dataset: Literal["painted", "imagenet"]
    side: int
    backbones: dict[str, str]
    sharing: str
    attributes: str
    images: int
    fresh: int
    public: int
    portraits: int
    share: float
    pretraining: int
    reconstruction: int
    poisoning: int
    refinement: int
    obfuscation: int
    batch: int = 32
    learning_rate: float = 5e-3
    kept: bool = True
    weight: float = 2.0
    penalty: Penalty = "either"

    def plan(self, steps: int, count: int) -> Plan:
        """Return a plan of a number of steps over a number of images."""
        return Plan.lasting(steps, count, self.batch, self.learning_rate)


HERE = Scale(
    name="painted pets and faces, 48 pixels wide",
    dataset="painted",
    side=48,
    backbones={"ResNet101": "compact"},
    sharing="compact",
    attributes="compact",
    images=5000,
    fresh=600,
    public=1600,
    portraits=1600,
    share=0.1,
    pretraining=220,
    reconstruction=160,
    poisoning=140,
    refinement=160,
    obfuscation=140,
)
TINY = Scale(
    name="painted pets and faces, 32 pixels wide, as a test",
    dataset="painted",
    side=32,
    backbones={"ResNet101": "compact"},
    sharing="compact",
    attributes="compact",
    images=200,
    fresh=40,
    public=64,
    portraits=64,
    share=0.2,
    pretraining=6,
    reconstruction=2,
    poisoning=2,
    refinement=3,
    obfuscation=2,
    batch=16,
)
PAPER = Scale(
    name="ImageNet and CelebA, 224 pixels wide",
    dataset="imagenet",
    side=224,
    backbones={"ResNet50": "resnet50", "ResNet101": "resnet101"},
    sharing="resnet101",
    attributes="vgg16",
    images=0,
    fresh=0,
    public=0,
    portraits=0,
    share=0.1,
    pretraining=450_000,
    reconstruction=50_000,
    poisoning=50_000,
    refinement=100_000,
    obfuscation=50_000,
    batch=128,
    learning_rate=1e-3,
    kept=False,
)
"""Steps are about 90, 10, 10 and 20 epochs over the paper's 640,560 images; it does not say how long it trained."""

SCALES = {"painted": HERE, "imagenet": PAPER, "tiny": TINY}
