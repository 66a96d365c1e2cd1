"""What the scenario of outsourced training can set."""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, model_validator

from parties.outsource.mixtures import Assignment, Region
from protocol.settings import Section, Share
from simulations.scenarios.base import Scenario
from strategies.learning.classifier import ARCHITECTURES
from strategies.obfuscation import OBFUSCATIONS, Obfuscation, obfuscate

Weight = Annotated[float, Ge(0), Le(1)]


class ImagesSection(Section):
    """The images."""

    folder: str | None = Field(None, description="my own images instead: each sub-folder is a class")
    classes: Annotated[int, Ge(2), Le(1000)] = Field(10, description="how many classes to use, half of each kind")
    training: Annotated[int, Ge(4), Le(10**6)] = Field(2000, description="images of all owners together")
    tests: Annotated[int, Ge(2), Le(10**5)] = Field(600, description="clean images to test on, each owner's own")
    side: Annotated[int, Ge(16), Le(1024)] = Field(48, description="width and height to which images are brought")


class TechniqueSection(Section):
    """An obfuscation and its setting."""

    technique: Literal[tuple(OBFUSCATIONS)] = Field(  # type: ignore[valid-type]
        "noise-mix", description=f"one of {', '.join(OBFUSCATIONS)}"
    )
    weights: Annotated[tuple[Weight, ...], Len(1, 128)] | Literal["distorting"] | None = Field(
        None,
        description="lambda: weights of the images in a mixture, like [0.5, 0.5]; distorting: those that distort most;"
        " null: as is usual for the technique",
    )
    strength: Annotated[float, Gt(0), Le(10_000)] | None = Field(
        None,
        description="the technique's own number: sigma of the noise (0 to 255), block (pixels), blocks (per side),"
        " kernel (pixels), kept (share); null: the usual one",
    )

    @property
    def setting(self) -> Obfuscation:
        """The same, for the owner."""
        return Obfuscation(self.technique, self.weights, self.strength)


class ObfuscationSection(TechniqueSection):
    """How owners hide their images."""

    pairing: Literal["any", "intra-class"] = Field("any", description="who is mixed with whom: any, or intra-class")
    each: Literal["once", "in-each-role"] = Field(
        "once",
        description="how often an image is used per epoch; once: half as many mixtures of two as images;"
        " in-each-role: as many, which trains better and shows each image twice",
    )
    region: Annotated[tuple[Share, Share, Share, Share], Len(4, 4)] | None = Field(
        None, description="obfuscate only there: [top, left, height, width] in shares of the side; null: everywhere"
    )


class ServiceSection(Section):
    """The training service."""

    architecture: Literal[tuple(ARCHITECTURES)] = Field(  # type: ignore[valid-type]
        "compact", description=f"the network: {' or '.join(ARCHITECTURES)}"
    )
    epochs: Annotated[int, Ge(1), Le(1000)] = Field(10, description="how often the images are obfuscated afresh")
    batch: Annotated[int, Ge(1), Le(10_000)] = Field(32, description="pictures per step of training")


class AttackersSection(Section):
    """Who attacks what the service sees, with what beside it."""

    public: Annotated[int, Ge(0), Le(10**6)] = Field(
        1500, description="public images like the owners', with labels, that attackers obfuscate and train on; 0: none"
    )
    pairs: Annotated[int, Ge(0), Le(10**5)] = Field(
        100, description="mixtures of the first owner whose original leaked; the reconstruction attack learns from them"
    )
    scored: Annotated[int, Ge(1), Le(10**5)] = Field(400, description="pictures to score each attack on, at most")


class OutsourceScenario(Scenario):
    """Training that is outsourced."""

    crowd = "owner"
    roles = ("owner",)

    description: str = Field("A model trained on obfuscated images, and what they give away.", description="one line")
    workflow: Literal["outsource"] = Field("outsource", description="what is played")
    task: Literal["kinds", "classes"] = Field(
        "kinds",
        description="what is learned; kinds: cat or dog, animal or vehicle; classes: breeds and the like",
    )
    owners: Annotated[int, Ge(1), Le(10_000)] = Field(1, description="how many owners share images and service")
    images: ImagesSection = ImagesSection()
    obfuscation: ObfuscationSection = ObfuscationSection()
    service: ServiceSection = ServiceSection()
    attackers: AttackersSection = AttackersSection()
    compare: tuple[TechniqueSection, ...] | None = Field(
        None,
        description="other settings to train with, for the privacy-utility plot; null: the paper's; []: none",
    )

    @model_validator(mode="after")
    def _settings_suit_the_size(self) -> "OutsourceScenario":
        for name, section in [("obfuscation", self.obfuscation), *(("compare", each) for each in self.compare or ())]:
            try:
                setting = section.setting
                sources = torch.zeros(1, setting.images, 3, self.images.side, self.images.side, dtype=torch.uint8)
                labels = torch.zeros(1, setting.images, dtype=torch.int64)
                obfuscate(setting, sources, labels, 2, torch.Generator())
            except ValueError as error:
                raise ValueError(f"{name} does not suit images.side {self.images.side}: {error}") from None
        return self

    @model_validator(mode="after")
    def _owners_have_images(self) -> "OutsourceScenario":
        if self.images.training < self.owners * 2:
            raise ValueError(f"{self.images.training} images are too few for {self.owners} owners: each takes two")
        return self

    def assignment(self, classes: tuple[str, ...]) -> Assignment:
        """Return what owners want, where these are the classes."""
        section = self.obfuscation
        return Assignment(
            classes=classes,
            obfuscation=section.setting,
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
        """What the plot has beside the owners' own setting."""
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
    ]
    for block in (small, large):
        if side % block == 0:
            settings.append(Obfuscation("shuffle-mix", three_to_one, block))
    return settings


SCENARIO = OutsourceScenario
