"""The attacks on what a training service sees (Raynal et al. 2020, section 4.4, and more).

Each is a function of the view and of public knowledge, never of the truth; `scoring` has that.
A restoring attack returns pictures, an inferring one returns labels; both say why where they do not apply.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protocol.messages.base import ProtocolMessage
from protocol.messages.outsource import Enrolment, Part
from simulations.runs.seeding import stream
from simulations.workflows.outsource.tradeoff import Labels
from strategies.attacks.membership import Scores
from strategies.learning.classifier import classify, logits, train_classifier
from strategies.obfuscation import Obfuscation, group, mixing_weights, obfuscate
from strategies.obfuscation.instance_decoding import Effort, decode
from strategies.obfuscation.reconstruction import reconstruct, train_reconstructor
from strategies.obfuscation.restoration import deconvolve, denoise, denoised, ungraft
from strategies.obfuscation.unmixing import FEWEST_EPOCHS, Unmixed, detail, means, unmix
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream


@dataclass(frozen=True)
class ServiceView:
    """What one owner sent.

    Attributes:
        epochs: Each (m, 3, side, side) uint8, the mixtures of each epoch.
        labels: Each (m,) int64, the published classes; of shares, the largest one.
    """

    epochs: list[Tensor]
    labels: list[Tensor]


@dataclass(frozen=True)
class PublicKnowledge:
    """What an attacker has beside the view.

    Attributes:
        setting: The technique and its setting, which are no secret.
        intra_class, repeat: How images are grouped.
        images: (n, 3, side, side) uint8, public images like the owner's.
        classes, tasks: (n,) int64; what they show, in full and as the task has it.
        task_of: (classes,) int64, the task label that follows from each class.
        known: (p,) int64, positions of mixtures in the last epoch of which an original has leaked.
        originals: (p, 3, side, side) uint8, for each of them the image that contributes most.
        seed: What the attacker draws from.
    """

    setting: Obfuscation
    intra_class: bool
    repeat: bool
    images: Tensor
    classes: Tensor
    tasks: Tensor
    task_of: Tensor
    known: Tensor
    originals: Tensor
    seed: int


def service_view(received: Sequence[tuple[int, ProtocolMessage]]) -> ServiceView:
    """Put together what an owner sent.

    Args:
        received: Pairs (node id, message): every `Enrolment` and `Part` of this owner, in the order in which they came.
    """
    mine = [message for _, message in received]
    mixtures = next(message.mixtures for message in mine if isinstance(message, Enrolment))
    parts = [message for message in mine if isinstance(message, Part)]
    pictures = to_tensor(np.concatenate([part.pictures for part in parts])).contiguous()
    labels = torch.from_numpy(
        np.concatenate([part.targets if part.targets.ndim == 1 else part.targets.argmax(1) for part in parts])
    )
    return ServiceView(list(torch.split(pictures, mixtures)), list(torch.split(labels, mixtures)))


REPEATS = 4
"""How often attackers obfuscate their public images afresh to learn from them."""
CNN_EPOCHS, UNET_STEPS = 4, 250
FEWEST_PAIRS, FEWEST_PUBLIC = 8, 50
DECODING = Effort()
"""How long the networks of the decoding attack are trained."""
IN_ANY_ORDER = ("unmixing", "decoding")
"""Attacks that recover images, not what is in given mixtures."""


class DoesNotApply(Exception):
    """Why an attack has nothing to work on here."""


T = TypeVar("T")


def attempted(device: torch.device, attack: Callable[..., T], *arguments: Any) -> T | DoesNotApply:
    """Attack, or say why that does not apply; a job."""
    try:
        return attack(*arguments)
    except DoesNotApply as reason:
        return reason


@dataclass(frozen=True)
class AttackInfo:
    """An attack in words.

    Attributes:
        knows: What it needs beside the view.
    """

    title: str
    knows: str


ATTACKS = {
    "unmixing": AttackInfo("Unmixing across epochs", "the technique and its setting"),
    "decoding": AttackInfo("Decoding of InstaHide (Carlini et al.)", "public images, the technique and its setting"),
    "interpolation": AttackInfo("Interpolation after grafting", "the share of pixels kept"),
    "denoising": AttackInfo("Denoising (non-local means)", "the strength of the noise"),
    "deconvolution": AttackInfo("Wiener deconvolution", "the blur's kernel"),
    "reconstruction": AttackInfo("Reconstruction U-Net", "leaked originals of some mixtures"),
    "cnn": AttackInfo("McPherson's CNN", "public images with labels, obfuscated alike"),
    "label": AttackInfo("Label of the hidden image", "public images with labels, obfuscated alike"),
    "attribute": AttackInfo("Class beyond the label", "the published label, and public images, obfuscated alike"),
    "membership": AttackInfo("Membership by correlation", "candidate images"),
}
"""Every attack by its name in the report."""


def unmixing(view: ServiceView, public: PublicKnowledge) -> Unmixed:
    """Find the mixtures of several epochs that share images, and solve for these."""
    setting, count = public.setting, len(view.epochs[0])
    if setting.images < 2:
        raise DoesNotApply("nothing is mixed")
    if len(view.epochs) < FEWEST_EPOCHS:
        raise DoesNotApply(f"it takes {FEWEST_EPOCHS} epochs, and there are {len(view.epochs)}")
    if count < 2:
        raise DoesNotApply("it takes two mixtures in an epoch")
    weights = setting.weights or setting.info.weights
    known = isinstance(weights, tuple) and setting.technique != "graft-mix"
    found = unmix(
        view.epochs,
        setting.images,
        count if public.repeat else count * setting.images,
        weights=weights if known and isinstance(weights, tuple) else None,
        smoothing=_smoothing(setting),
        squares=_squares(setting, view.epochs[0].shape[2]),
        signed=setting.technique != "instahide",
    )
    return found._replace(pictures=denoised(found.pictures)) if "sigma" in setting.strengths else found


def decoding(view: ServiceView, public: PublicKnowledge) -> Unmixed:
    """Find InstaHide's encodings that share images, and solve for these without their signs."""
    setting, count = public.setting, len(view.epochs[0])
    if setting.technique != "instahide":
        raise DoesNotApply("no signs are flipped")
    if setting.images < 2 or count < 2 or len(view.epochs) < FEWEST_EPOCHS:
        raise DoesNotApply(f"it takes mixtures of {FEWEST_EPOCHS} epochs, two or more in each")
    if len(public.images) < max(FEWEST_PUBLIC, 2 * setting.images):
        raise DoesNotApply(f"it learns from public images, and there are {len(public.images)}")
    if any(side % 4 for side in view.epochs[0].shape[2:]):
        raise DoesNotApply("its network takes pictures whose sides are multiples of 4")
    generator, drawn = _generator(public, 10), stream(public.seed, "weights of an attacker")
    sources = count if public.repeat else count * setting.images
    draw = partial(_drawn_weights, setting, public, drawn)
    return decode(view.epochs, public.images, sources, draw, generator, DECODING)


def _drawn_weights(setting: Obfuscation, public: PublicKnowledge, drawn: Stream, count: int) -> Tensor:
    """Draw weights of mixtures as owners do; which image of a mixture has which is anybody's guess."""
    some = torch.from_numpy(drawn.permutation(len(public.images)))[: setting.images]
    batch = public.images[some].expand(count, -1, -1, -1, -1)
    weights = mixing_weights(setting, batch, drawn)
    order = torch.from_numpy(drawn.uniform(weights.numel())).reshape(weights.shape).argsort(dim=1)
    return weights.gather(1, order)


def _squares(setting: Obfuscation, side: int) -> int:
    """Return the width of the squares within which a technique leaves nothing to tell, in pixels; four to a side."""
    strengths = setting.strengths
    width = strengths.get("block", side // strengths["blocks"] if "blocks" in strengths else 1)
    return max(1, min(int(width), side // 4))


def _smoothing(setting: Obfuscation) -> int:
    """Return how wide a blur sees through a technique's noise, in pixels; squares see through it by their means."""
    return 3 if "sigma" in setting.strengths and "block" not in setting.strengths else 1


def membership(view: ServiceView, candidates: Tensor, public: PublicKnowledge) -> Scores:
    """Score how likely each candidate is among the owner's images: in each epoch, how well the best mixture correlates.

    Args:
        candidates: (n, 3, side, side) uint8
    """
    setting = public.setting
    if setting.technique == "instahide":
        raise DoesNotApply("signs are flipped, so that nothing correlates as it is")
    squares, smoothing = _squares(setting, candidates.shape[2]), _smoothing(setting)
    sought = detail(means(candidates, squares), smoothing)
    best = [(sought @ detail(means(mixtures, squares), smoothing).T).max(dim=1).values for mixtures in view.epochs]
    scores: Scores = torch.stack(best).mean(dim=0).double().numpy()
    return scores


def interpolation(pictures: Tensor, public: PublicKnowledge) -> Tensor:
    """Tell kept pixels from mixed ones and interpolate the image from the kept ones."""
    if public.setting.technique != "graft-mix":
        raise DoesNotApply("nothing is grafted")
    kept = public.setting.strengths["kept"]
    if kept <= 0.5:
        raise DoesNotApply("no more than half of the pixels are kept")
    return ungraft(pictures, kept)


def denoising(pictures: Tensor, public: PublicKnowledge) -> Tensor:
    """Remove Gaussian noise by non-local means."""
    if "sigma" not in public.setting.strengths:
        raise DoesNotApply("there is no noise")
    sigma = public.setting.strengths["sigma"]
    weights = public.setting.weights or public.setting.info.weights
    if public.setting.technique != "dp-mix":
        shares = np.array(
            weights if isinstance(weights, tuple) else [1 / public.setting.images] * public.setting.images
        )
        sigma *= float(np.linalg.norm(shares / shares.sum()))
    return denoise(pictures, sigma)


def deconvolution(pictures: Tensor, public: PublicKnowledge) -> Tensor:
    """Undo the blur, which mixing leaves as it is."""
    if "kernel" not in public.setting.strengths:
        raise DoesNotApply("nothing is blurred")
    return deconvolve(pictures, int(public.setting.strengths["kernel"]))


def reconstruction(pictures: Tensor, view: ServiceView, public: PublicKnowledge) -> Tensor:
    """Learn to undo the obfuscation from leaked pairs of the last epoch."""
    pairs = len(public.known)
    if pairs < FEWEST_PAIRS:
        raise DoesNotApply(f"it learns from {FEWEST_PAIRS} leaked originals or more, and there are {pairs}")
    if any(side % 4 for side in pictures.shape[2:]):
        raise DoesNotApply("its network takes pictures whose sides are multiples of 4")
    shown = view.epochs[-1][public.known]
    batch = min(16, pairs)
    network = train_reconstructor(
        shown, public.originals, _generator(public, 1), epochs=max(1, UNET_STEPS // (pairs // batch)), batch=batch
    )
    return reconstruct(network, pictures)


RESTORERS: dict[str, Callable[[Tensor, PublicKnowledge], Tensor]] = {
    "interpolation": interpolation,
    "denoising": denoising,
    "deconvolution": deconvolution,
}


Lesson = Literal["clean", "shown", "hidden", "shown-longer"]
"""What a recogniser learns: clean images, or what the dominant image of an obfuscated one shows, or what another shows;
or the second with a budget that is `MORE` times as large."""
LESSONS: tuple[Lesson, ...] = ("clean", "shown", "hidden", "shown-longer")
MORE = 4


def learn_to_recognise(public: PublicKnowledge, lesson: Lesson, epochs: int = CNN_EPOCHS) -> nn.Module:
    """Train one of the attacker's networks, all on the same public images (McPherson et al. 2016)."""
    if len(public.images) < FEWEST_PUBLIC:
        raise DoesNotApply(f"it learns from public images, and there are {len(public.images)}")
    generator = _generator(public, 2 + LESSONS.index(lesson))
    count = len(public.task_of)
    if lesson == "clean":
        pictures = to_pictures(public.images)
        return train_classifier(pictures, public.classes.numpy(), count, generator, epochs=epochs * REPEATS)
    if lesson == "hidden" and public.setting.images < 2:
        raise DoesNotApply("nothing is mixed: no image is hidden")
    epochs *= MORE if lesson == "shown-longer" else 1
    return train_classifier(*_obfuscated(public, 1 if lesson == "hidden" else 0), count, generator, epochs=epochs)


def _obfuscated(public: PublicKnowledge, rank: int) -> tuple[NDArray[np.uint8], Labels]:
    """Obfuscate the public images as owners do, and note the class of the image of this rank by what it contributes."""
    pictures, classes = [], []
    drawn = stream(public.seed, "lessons of an attacker")
    for _ in range(REPEATS):
        groups = group(public.tasks, public.setting.images, drawn, intra_class=public.intra_class, repeat=True)
        for some in torch.split(groups, 512):
            batch = obfuscate(public.setting, public.images[some], public.tasks[some], 2, drawn)
            pictures.append(to_pictures(batch.pictures))
            ranked = batch.weights.argsort(1, descending=True)
            classes.append(public.classes[some].gather(1, ranked)[:, rank].numpy())
    return np.concatenate(pictures), np.concatenate(classes)


def name_shown(pictures: Tensor, recogniser: nn.Module) -> Labels:
    """Name the class of the image that contributes most, from the picture alone."""
    return classify(recogniser, to_pictures(pictures))


def name_hidden_task(pictures: Tensor, labels: Tensor, recogniser: nn.Module, public: PublicKnowledge) -> Labels:
    """Name the task label of the image that contributes less, which is not published."""
    if public.intra_class:
        return labels.numpy()
    named: Labels = public.task_of.numpy()[classify(recogniser, to_pictures(pictures))]
    return named


def name_class(pictures: Tensor, labels: Tensor, recogniser: nn.Module, public: PublicKnowledge) -> Labels:
    """Name the class of the image that contributes most, among those that go with its published label."""
    if len(torch.unique(public.task_of)) == len(public.task_of):
        raise DoesNotApply("the published label is the class already")
    scores = logits(recogniser, to_pictures(pictures))
    scores[public.task_of.numpy()[None, :] != labels.numpy()[:, None]] = -np.inf
    named: Labels = scores.argmax(1)
    return named


def _generator(public: PublicKnowledge, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(public.seed + purpose)
