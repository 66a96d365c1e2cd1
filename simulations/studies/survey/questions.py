"""The questions of a survey, and the key to its answers."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from protocol.errors import BadInput
from simulations.data.labelled import LabelledImages
from simulations.runs.seeding import numpy_generator, secret, stream
from strategies.features.featurizer import prepare
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.pixels import to_pictures, to_tensor
from strategies.scores.privacy_scores import SCORES

EACH = 7
"""Questions per technique."""
SIDE = 256

_PAIRS = tuple((share, round(1 - share, 1)) for share in (0.5, 0.6, 0.7))
_TRIPLES = ((0.7, 0.2, 0.1), (0.5, 0.33, 0.16), (0.33, 0.33, 0.33))
PARAMETERS: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[float | None, ...]]] = {
    "mix": (_PAIRS, (None,)),
    "mix-3": (_TRIPLES, (None,)),
    "graft-mix": (_PAIRS, (0.5, 0.6, 0.7, 0.8)),
    "blur-mix": (_PAIRS, (17, 35, 45)),
    "pixelize-mix": (_PAIRS, (16, 20, 32)),
    "shuffle-mix": (_PAIRS, (4, 8, 16)),
    "noise-mix": (_PAIRS, (10, 20, 40)),
}
"""Weights and strengths to draw from, by technique (Table 1)."""


class Asked(BaseModel):
    """The obfuscation and the images of a question.

    Attributes:
        technique, weights, strength: Of the obfuscation; some have no strength.
        components: The class of each image in the mixture.
        scores: The value of each privacy score for each component.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    technique: str
    weights: tuple[float, ...]
    strength: float | tuple[float, ...] | None
    components: tuple[str, ...]
    scores: dict[str, tuple[float, ...]]


class Key(BaseModel):
    """The key to the answers, for scoring; participants must not see it.

    Attributes:
        survey: The survey's id, also in answers.
        class_names: The choices.
        questions: In the order in which they are asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["survey key"] = "survey key"
    schema_version: Literal[1] = 1
    survey: str
    dataset: str
    class_names: tuple[str, ...]
    questions: tuple[Asked, ...]


def draw_settings(seed: int, each: int = EACH) -> list[Obfuscation]:
    """Draw the obfuscation of every question: all techniques equally often, in random order."""
    generator = numpy_generator(seed, "survey settings")
    settings = []
    for technique, (weights, strengths) in PARAMETERS.items():
        for _ in range(each):
            share, strength = weights[generator.integers(len(weights))], strengths[generator.integers(len(strengths))]
            settings.append(Obfuscation(technique, share, strength))
    return [settings[index] for index in generator.permutation(len(settings))]


def make_questions(
    images: LabelledImages, dataset: str, seed: int, *, each: int = EACH, side: int = SIDE
) -> tuple[NDArray[np.uint8], Key]:
    """Draw different classes and an image of each for every question, and obfuscate these.

    Returns:
        (questions, side, side, 3); the obfuscated pictures, and the key to the answers.

    Raises:
        BadInput: When there are too few images or classes.
    """
    if len(images.class_names) < 3:
        raise BadInput(f"a survey needs three classes or more, but data set {dataset} gives {len(images.class_names)}")
    settings = draw_settings(seed, each)
    class_generator = numpy_generator(seed, "survey classes")
    classes = [class_generator.permutation(len(images.class_names))[: setting.images] for setting in settings]
    album, labels = images.choose(np.concatenate(classes), "survey")
    if len(album) < sum(map(len, classes)):
        raise BadInput(f"data set {dataset} has too few images for {len(settings)} questions of different images")
    originals = to_tensor([prepare(album[index], side) for index in range(len(album))])
    sizes = [setting.images for setting in settings]
    parts = torch.split(originals, sizes)
    named = torch.split(torch.from_numpy(labels), sizes)
    pictures, asked = [], []
    drawn = stream(seed, "survey obfuscation")
    for setting, sources, shown in zip(settings, parts, named, strict=True):
        batch = obfuscate(setting, sources[None], shown[None], len(images.class_names), drawn)
        pictures.append(batch.pictures[0])
        asked.append(_asked(setting, batch.weights[0], sources, batch.pictures, shown, images.class_names))
    key = Key(
        survey=secret(seed, "survey", dataset, images.class_names).hex()[:12],
        dataset=dataset,
        class_names=images.class_names,
        questions=tuple(asked),
    )
    return to_pictures(torch.stack(pictures)), key


def _asked(
    setting: Obfuscation, weights: Tensor, sources: Tensor, picture: Tensor, shown: Tensor, names: tuple[str, ...]
) -> Asked:
    return Asked(
        technique=setting.technique,
        weights=tuple(round(weight, 6) for weight in weights.tolist()),
        strength=setting.strength,
        components=tuple(names[label] for label in shown.tolist()),
        scores={name: tuple(score(sources, picture.expand_as(sources)).tolist()) for name, score in SCORES.items()},
    )
