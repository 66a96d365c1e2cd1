"""Settings of an outsourced training scenario."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, model_validator

from parties.outsource.mixtures import Assignment, Region
from protocol.settings import Section, Share
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import CohortSection
from strategies.learning.classifier import ARCHITECTURES
from strategies.obfuscation import OBFUSCATIONS, Obfuscation, obfuscate
from strategies.privacy.stream import Stream

Strength = Annotated[float, Gt(0), Le(10_000)]
Weight = Annotated[float, Ge(0), Le(1)]


SIDE = 256
"""The size at which `parley survey` asks, and the paper did, in pixels."""


class ImagesSection(Section):
    """The images."""

    folder: str | None = Field(None, description="my own images instead: each sub-folder is a class")
    classes: Annotated[int, Ge(2), Le(1000)] = Field(10, description="number of classes, half of each kind")
    training: Annotated[int, Ge(4), Le(10**6)] = Field(2000, description="images of all owners together")
    tests: Annotated[int, Ge(2), Le(10**5)] = Field(600, description="clean images to test on, of each owner")
    side: Annotated[int, Ge(16), Le(1024)] = Field(48, description="width and height that images are scaled to")


class TechniqueSection(Section):
    """An obfuscation and its setting."""

    technique: Literal[tuple(OBFUSCATIONS)] = Field(  # type: ignore[valid-type]
        "noise-mix", description=f"one of {', '.join(OBFUSCATIONS)}"
    )
    weights: Annotated[tuple[Weight, ...], Len(1, 128)] | Literal["distorting"] | None = Field(
        None,
        description="lambda: weights of the images in a mixture, like [0.5, 0.5]; distorting: those that distort most;"
        " null: the technique's default",
    )
    strength: Strength | Annotated[tuple[Strength, ...], Len(1, 4)] | None = Field(
        None,
        description="the technique's own number: sigma of the noise (0 to 255), block (pixels), blocks (per side),"
        " kernel (pixels), kept (share); of shuffle-noise-mix both, like [4, 20]; null: the default",
    )

    @property
    def setting(self) -> Obfuscation:
        """The setting for owners."""
        return Obfuscation(self.technique, self.weights, self.strength)


class LeastSection(Section):
    """A threshold on a privacy score that chooses the strength."""

    score: Literal["dssim", "dhaarpsi", "phash", "mse"] = Field("dssim", description="the privacy score")
    at: Annotated[float, Gt(0), Le(10**5)] = Field(
        0.61, description="the score from which on people recognise nothing; `parley survey score` finds it"
    )
    side: Annotated[int, Ge(16), Le(1024)] = Field(
        SIDE, description="the size of the images that people were asked about; scores depend on it"
    )


class ObfuscationSection(TechniqueSection):
    """How owners hide their images."""

    least: LeastSection | None = Field(
        None,
        description="take the least strength at which images of an owner score at least so much, like"
        " {score: dssim, at: 0.61}; of several numbers the last; null: strength says it",
    )

    pairing: Literal["any", "intra-class"] = Field(
        "any", description="which images are mixed: any, or those of one class (intra-class)"
    )
    each: Literal["once", "in-each-role"] = Field(
        "once",
        description="uses of an image per epoch; once: half as many mixtures of two as images;"
        " in-each-role: as many mixtures as images, which trains better and shows each image twice",
    )
    region: Annotated[tuple[Share, Share, Share, Share], Len(4, 4)] | None = Field(
        None,
        description="the obfuscated region: [top, left, height, width] in shares of the side; null: the whole image",
    )


class ServiceSection(Section):
    """The training service."""

    architecture: Literal[tuple(ARCHITECTURES)] = Field(  # type: ignore[valid-type]
        "compact", description=f"the network: {' or '.join(ARCHITECTURES)}"
    )
    epochs: Annotated[int, Ge(1), Le(1000)] = Field(10, description="epochs; images are obfuscated again in each")
    batch: Annotated[int, Ge(1), Le(10_000)] = Field(32, description="pictures per step of training")


class AttackersSection(Section):
    """Attackers on what the service receives, and their other knowledge."""

    public: Annotated[int, Ge(0), Le(10**6)] = Field(
        1500, description="labelled public images like the owners', for attackers to obfuscate and train on; 0: none"
    )
    pairs: Annotated[int, Ge(0), Le(10**5)] = Field(
        100, description="mixtures of the first owner with leaked originals, for the reconstruction attack to train on"
    )
    scored: Annotated[int, Ge(1), Le(10**5)] = Field(400, description="most pictures to score each attack on")
    inception: str | None = Field(
        None,
        description="a file of torchvision's inception_v3 weights, for the FID; null: the features of the attackers'"
        " compact network",
    )


class OutsourceScenario(Scenario):
    """Outsourced training."""

    crowd = "owner"
    roles = ("owner", "service")

    description: str = Field("A model trained on obfuscated images, and attacks on these.", description="one line")
    workflow: Literal["outsource"] = Field("outsource", description="the workflow")
    task: Literal["kinds", "classes"] = Field(
        "kinds",
        description="the task; kinds: cat or dog, animal or vehicle; classes: for example breeds",
    )
    owners: Annotated[int, Ge(1), Le(10_000)] = Field(
        1, description="number of owners, who share the images and the service"
    )
    images: ImagesSection = ImagesSection()
    obfuscation: ObfuscationSection = ObfuscationSection()
    service: ServiceSection = ServiceSection()
    attackers: AttackersSection = AttackersSection()
    compare: tuple[TechniqueSection, ...] | None = Field(
        None,
        description="other settings to train with, for the privacy-utility plot; null: the paper's; []: none",
    )

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: the task makes kinds, and with what is private four classes."""
        return {
            "task": "kinds",
            "owners": cohort.owners,
            "images.folder": None,
            "images.classes": 4,
            "images.training": cohort.people * cohort.pictures,
            "images.tests": cohort.fresh,
            "images.side": cohort.side,
            "attackers.public": cohort.public * cohort.pictures,
        }

    @model_validator(mode="after")
    def _one_thing_chooses_the_strength(self) -> "OutsourceScenario":
        section = self.obfuscation
        if section.least is not None and not OBFUSCATIONS[section.technique].strengths:
            raise ValueError(f"obfuscation.least: {section.technique} has no strength that a threshold could choose")
        if section.least is not None and isinstance(section.strength, float):
            raise ValueError("obfuscation: a threshold (least) chooses the strength: leave out strength")
        return self

    @model_validator(mode="after")
    def _settings_suit_the_size(self) -> "OutsourceScenario":
        for name, section in [("obfuscation", self.obfuscation), *(("compare", each) for each in self.compare or ())]:
            try:
                setting = section.setting
                sources = torch.zeros(1, setting.images, 3, self.images.side, self.images.side, dtype=torch.uint8)
                labels = torch.zeros(1, setting.images, dtype=torch.int64)
                obfuscate(setting, sources, labels, 2, Stream(bytes(32)))
            except ValueError as error:
                raise ValueError(f"{name} does not suit images.side {self.images.side}: {error}") from None
        return self

    @model_validator(mode="after")
    def _owners_have_images(self) -> "OutsourceScenario":
        if self.images.training < self.owners * 2:
            raise ValueError(f"{self.images.training} images are too few for {self.owners} owners: each needs two")
        return self

    def assignment(self, classes: tuple[str, ...], setting: Obfuscation) -> Assignment:
        """Return the owners' assignment for given classes and a setting, which is theirs or was chosen (`least`)."""
        section = self.obfuscation
        return Assignment(
            classes=classes,
            obfuscation=setting,
            intra_class=section.pairing == "intra-class",
            repeat=section.each == "in-each-role",
            region=None if section.region is None else Region(*section.region),
            side=self.images.side,
            architecture=self.service.architecture,
            epochs=self.service.epochs,
            batch=self.service.batch,
        )

    @property
    def compared(self) -> list[Obfuscation]:
        """The settings in the plot beside the owners' own."""
        return usual_settings(self.images.side) if self.compare is None else [each.setting for each in self.compare]


def usual_settings(side: int) -> list[Obfuscation]:
    """Return the settings of Fig. 5 for images of this size: lengths are scaled from the paper's 256 pixels."""
    three_to_one, halves, alone = (0.75, 0.25), (0.5, 0.5), (1.0,)
    small, large = (2 if side < 128 else 4), (4 if side < 128 else 8)
    narrow, wide = (max(3, side * width // 256 // 2 * 2 + 1) for width in (17, 45))
    settings = [
        Obfuscation("mix", three_to_one),
        Obfuscation("mix", halves),
        Obfuscation("noise-mix", three_to_one, 20),
        Obfuscation("noise-mix", halves, 20),
        Obfuscation("noise-mix", three_to_one, 40),
        Obfuscation("pixelize-mix", three_to_one, side // large),
        Obfuscation("blur-mix", three_to_one, narrow),
        Obfuscation("pixelize", alone, side // large),
        Obfuscation("pixelize", alone, side // (2 * large)),
        Obfuscation("blur", alone, wide),
        Obfuscation("dp-mix"),
    ]
    for block in (small, large):
        if side % block == 0:
            settings.append(Obfuscation("shuffle-mix", three_to_one, block))
    return settings


SCENARIO = OutsourceScenario
