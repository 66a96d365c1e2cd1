"""The experiments of the tables: each is a job."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simulations.runs.seeding import stream
from simulations.studies.reproductions.obfuscation.scale import Scale
from simulations.studies.survey.questions import draw_settings
from simulations.workflows.outsource.tradeoff import Labels, Pictures
from strategies.learning.classifier import logits, train_classifier
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.obfuscation.least import NotReached, least_strength
from strategies.obfuscation.least import at_size as least_at_size
from strategies.obfuscation.restoration import deconvolve, denoise
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream
from strategies.scores.inception import ClassifierFeatures
from strategies.scores.privacy_scores import SCORES, dssim, feature_distances
from strategies.scores.recognition import Agreement, agreement

MILD = 3.0
"""The strength that OpenCV's documentation recommends for its denoiser, in units of 0..255."""
SCORED = 200


@dataclass(frozen=True)
class Set:
    """Images with their classes."""

    pictures: Pictures
    classes: Labels


def recognition(
    device: torch.device, scale: Scale, public: Set, fresh: Set, seed: int
) -> dict[tuple[str, str], Agreement]:
    """Tables 2 to 5: surveys of fresh images, answered by two recognisers that are trained on public ones."""
    generator, drawn = torch.Generator().manual_seed(seed), stream(seed, "obfuscation")
    count = int(public.classes.max()) + 1
    epochs = scale.attack_epochs
    clean = train_classifier(public.pictures, public.classes, count, generator, device=device, epochs=epochs)
    settings = [at_size(each, scale) for each in draw_settings(seed)]
    learned = _mixtures(public, settings, generator, drawn, each=max(1, 6 * len(public.classes) // len(settings) // 2))
    adapted = train_classifier(
        to_pictures(learned.pictures), learned.classes[:, 0], count, generator, device=device, epochs=epochs
    )
    asked = [at_size(each, scale) for number in range(scale.surveys) for each in draw_settings(1000 * seed + number)]
    survey = _mixtures(fresh, asked, generator, drawn, each=1)
    pairs = torch.from_numpy(survey.owner)
    originals, shown = survey.sources, survey.pictures[pairs]
    scores = {name: score(originals, shown).numpy() for name, score in SCORES.items()}
    features = feature_distances(originals.to(device), shown.to(device), ClassifierFeatures(clean).to(device))
    scores = {"MSE": scores["MSE"] / 255**2, "FID": features.numpy()} | {
        name: values for name, values in scores.items() if name != "MSE"
    }
    found = {}
    for who, network in (("vision", clean), ("people", adapted)):
        recognised = _named(network, survey)
        for name, values in scores.items():
            found[who, name] = agreement(values, recognised)
    return found


@dataclass(frozen=True)
class _Survey:
    """Mixtures, and for each of their images: which mixture, the image, and its class."""

    pictures: Tensor
    classes: NDArray[np.int64]
    owner: NDArray[np.int64]
    sources: Tensor
    shown: NDArray[np.int64]


def at_size(setting: Obfuscation, scale: Scale) -> Obfuscation:
    """Return a survey's setting for images of another size."""
    own = next(iter(setting.strengths.values()), None)
    return Obfuscation(setting.technique, setting.weights, scale.scaled(setting.technique, own))


def _mixtures(
    images: Set, settings: Sequence[Obfuscation], generator: torch.Generator, drawn: Stream, each: int
) -> _Survey:
    """Obfuscate images of different classes, `each` mixtures per setting."""
    every, labels = to_tensor(images.pictures).contiguous(), torch.from_numpy(images.classes)
    pictures, classes, owner, sources, shown = [], [], [], [], []
    for number, setting in enumerate(settings):
        groups = _unlike(labels, setting.images, each, generator)
        batch = obfuscate(setting, every[groups], labels[groups], int(labels.max()) + 1, drawn)
        ranked = batch.weights.argsort(dim=1, descending=True)[:, :2]
        pictures.append(batch.pictures)
        classes.append(labels[groups].gather(1, ranked))
        owner.append(torch.arange(each).repeat_interleave(setting.images) + number * each)
        sources.append(every[groups.flatten()])
        shown.append(labels[groups.flatten()])
    return _Survey(
        torch.cat(pictures), torch.cat(classes).numpy(), torch.cat(owner).numpy(), torch.cat(sources),
        torch.cat(shown).numpy(),
    )  # fmt: skip


def _unlike(labels: Tensor, images: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw groups of images of different classes, (count, images)."""
    groups = []
    for _ in range(count):
        classes = torch.randperm(int(labels.max()) + 1, generator=generator)[:images]
        members = [torch.nonzero(labels == name)[:, 0] for name in classes]
        groups.append(torch.stack([each[torch.randint(len(each), (), generator=generator)] for each in members]))
    return torch.stack(groups)


def _named(network: nn.Module, survey: _Survey) -> NDArray[np.bool_]:
    """Return which images in the mixtures are recognised: their class is among the first two guesses."""
    guesses = logits(network, to_pictures(survey.pictures)).argsort(1)[:, ::-1][:, :2]
    named: NDArray[np.bool_] = (guesses[survey.owner] == survey.shown[:, None]).any(1)
    return named


@dataclass(frozen=True)
class Asked:
    """The threshold that sets the techniques of Table 6.

    Attributes:
        pictures: (n, side, side, 3), of the size that people were asked about.
        at: The dSSIM from which on they recognise nothing.
    """

    pictures: Pictures
    at: float


def attack_above(
    device: torch.device, scale: Scale, public: Set, fresh: Set, setting: Obfuscation, seed: int, asked: Asked
) -> tuple[float, str]:
    """Table 6 at the least strength above the threshold, at the given one where none is: accuracy, and strength."""
    images = to_tensor(asked.pictures).contiguous()
    try:
        found = least_strength(setting, images, SCORES["dSSIM"], asked.at, seed.to_bytes(32)).setting
        chosen = least_at_size(found, images.shape[2], scale.side)
    except NotReached:
        chosen = setting
    return attack(device, scale, public, fresh, chosen, seed), f"{list(chosen.strengths.values())[-1]:g}"


def attack(
    device: torch.device, scale: Scale, public: Set, fresh: Set, setting: Obfuscation | None, seed: int
) -> float:
    """Table 6: McPherson's CNN, trained on images with the same obfuscation; None: on clean ones."""
    generator, drawn = torch.Generator().manual_seed(seed), stream(seed, "obfuscation")
    count = int(public.classes.max()) + 1
    chosen = setting or Obfuscation("mix", (1.0,))
    parts = [_dominant(public, chosen, drawn) for _ in range(2)]
    pictures, classes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    network = train_classifier(pictures, classes, count, generator, device=device, epochs=scale.attack_epochs // 2)
    shown, answers = _dominant(fresh, chosen, drawn)
    return float((logits(network, shown).argmax(1) == answers).mean())


def _dominant(images: Set, setting: Obfuscation, drawn: Stream) -> tuple[Pictures, Labels]:
    """Obfuscate every image, mixed with random others; return mixtures and the class of the labelled image in each."""
    labels = torch.from_numpy(images.classes)
    groups = group(labels, setting.images, drawn, repeat=True)
    batches = [
        obfuscate(setting, to_tensor(images.pictures[some.numpy()].reshape(-1, *images.pictures.shape[1:])).reshape(
            *some.shape, 3, *images.pictures.shape[1:3]), labels[some], int(labels.max()) + 1, drawn)
        for some in torch.split(groups, 256)
    ]  # fmt: skip
    pictures = torch.cat([batch.pictures for batch in batches])
    return to_pictures(pictures), torch.cat([batch.labels for batch in batches]).numpy()


def restoration(device: torch.device, scale: Scale, fresh: Set, seed: int) -> dict[str, tuple[float, float]]:
    """Section 4.4: mean dSSIM before and after deblurring, and after two strengths of denoising."""
    images = to_tensor(fresh.pictures[: 2 * SCORED]).contiguous()
    drawn = stream(seed, "obfuscation")
    blur, noise = scale.setting("blur-mix", 0.75, 45), scale.setting("noise-mix", 0.75, 20)
    groups = group(torch.zeros(len(images), dtype=torch.int64), 2, drawn)[:SCORED]
    originals = images[groups[:, 0]]
    labels = torch.zeros_like(groups)
    blurred = obfuscate(blur, images[groups], labels, 1, drawn).pictures
    noisy = obfuscate(noise, images[groups], labels, 1, drawn).pictures
    kernel, sigma = int(blur.strengths["kernel"]), float(noise.strengths["sigma"] * np.hypot(0.75, 0.25))
    pairs = {
        "Wiener deconvolution of blur and mixing": (blurred, deconvolve(blurred, kernel)),
        "mild denoising of noise and mixing": (noisy, denoise(noisy, MILD)),
        "denoising of noise and mixing for its strength": (noisy, denoise(noisy, sigma)),
    }
    return {
        name: (float(dssim(originals, before).mean()), float(dssim(originals, after).mean()))
        for name, (before, after) in pairs.items()
    }
