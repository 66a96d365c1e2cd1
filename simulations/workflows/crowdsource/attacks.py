"""Trains extractors and measures them: what tasks they serve, and what attackers make of representations.

`trained`, `measured` and `measured_alone` are jobs of a workshop. Attackers get representations, the public extractor
and pictures of the collector's; the truth is used to score what they say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from simulations.runs.seeding import torch_generator
from simulations.workflows.crowdsource.report import Attack, OtherLeaks, Readings, Setting
from simulations.workflows.crowdsource.scoring import induced, readings
from simulations.workflows.crowdsource.world import Portraits
from strategies.deep_poisoning.attacks import reconstructed
from strategies.learning.batches import Images
from strategies.learning.fit import Plan
from strategies.pric.attacks import nearest, passport, presence, reverse, suspicion
from strategies.pric.encoding import encode
from strategies.pric.quantisation import quantise, restored
from strategies.pric.reading import read, train_reader
from strategies.pric.training import Recipe, Trained, train_extractor
from strategies.scores.image_quality import disclosure

READING = Plan(epochs=8, batch=64, learning_rate=5e-3)
RECONSTRUCTION = Plan(epochs=4, batch=32, learning_rate=5e-3)
RECOGNITION = Plan(epochs=8, batch=64, learning_rate=5e-3)
SHOWN = 10
"""Reconstructions on the report's sheet."""


@dataclass(frozen=True)
class Material:
    """What extractors are trained on and measured with.

    Attributes:
        public, held, test: The collector's own pictures; the participants'; those of the test.
        labels: (n, tasks); what participants say of theirs, true or not.
        hide, tasks: Attributes.
        quantised: Whether representations are rounded to bytes before they are sent.
    """

    public: Portraits
    held: Portraits
    test: Portraits
    labels: NDArray[np.bool_]
    hide: tuple[str, ...]
    tasks: tuple[str, ...]
    quantised: bool
    seed: int

    def sent(self, trained: Trained, pictures: Portraits) -> Tensor:
        """Return what arrives of pictures that an honest participant sends."""
        representations = encode(trained.extractor, pictures.images)
        return restored(quantise(representations)) if self.quantised else representations


@dataclass(frozen=True)
class Measured:
    """An extractor's numbers, and some reconstructions.

    Attributes:
        reconstructions: (m, side, side, 3), of the first participants' first pictures; none where that was not
            measured.
    """

    setting: Setting
    reconstructions: NDArray[np.uint8]


def trained(
    device: torch.device, public: Portraits, hide: tuple[str, ...], recipe: Recipe, architecture: str, seed: int
) -> Trained:
    """Train an extractor; a job. It draws from the seed alone, so that lambdas are compared like with like."""
    done = train_extractor(
        Images(public.images),
        torch.from_numpy(public.columns(hide)),
        recipe,
        torch_generator(seed, "extractor"),
        architecture=architecture,
        device=device,
    )
    return done.to(torch.device("cpu"))


def measured_alone(
    device: torch.device,
    done: Trained,
    material: Material,
    weight: float | None,
    attackers: Sequence[int],
    leaked: float,
    every_leak: bool,
) -> Measured:
    """Measure an extractor with what honest participants would send; a job."""
    return measured(device, done, material.sent(done, material.held), material, weight, attackers, leaked, every_leak)


def measured(
    device: torch.device,
    done: Trained,
    received: Tensor,
    material: Material,
    weight: float | None,
    attackers: Sequence[int],
    leaked: float,
    every_leak: bool,
    together: bool = False,
) -> Measured:
    """Measure an extractor by what was received; a job.

    Args:
        received: (n, channels, h, w); representations of the participants' pictures, in their order.
        weight: Lambda.
        attackers: How many of the collector's pictures each further fresh attacker learns from.
        leaked: One more learns from this share of the participants, and attacks the others; 0: none does.
        every_leak: Whether to measure everything else that leaks as well, which takes longer.
        together: Whether participants trained it.
    """
    done.extractor.to(device)
    own, test = (encode(done.extractor, part.images) for part in (material.public, material.test))
    generator = torch_generator(material.seed, "readers")
    model = train_reader(received, torch.from_numpy(material.labels), generator, READING, device=device)
    said = read(model, test)
    known = material.public.columns(material.hide)
    truth = material.held.columns(material.hide)

    def attack(representations: Tensor, labels: NDArray[np.bool_], victims: slice = slice(None)) -> Readings:
        reader = train_reader(
            representations, torch.from_numpy(labels), generator, READING, strength="strong", device=device
        )
        return readings(material.hide, read(reader, received[victims]), truth[victims], labels.mean(0))

    attacks = [
        Attack(source="public", pictures=count, private=attack(own[:count], known[:count])) for count in attackers
    ]
    if told := round(leaked * len(received)):
        private = attack(received[:told], truth[:told], slice(told, None))
        attacks.append(Attack(source="leaked", pictures=told, private=private))
    setting = Setting(
        weight=weight,
        together=together,
        tasks=readings(material.tasks, said, material.test.columns(material.tasks), material.labels.mean(0)),
        in_loop=readings(material.hide, read(done.adversary.to(device), received), truth, known.mean(0)),
        fresh=attack(own, known),
        induced=induced(material.hide, read(model, own) > 0, known, said > 0, material.test.columns(material.hide)),
        attacks=attacks,
        leaks=None,
    )
    if not every_leak:
        return Measured(setting, np.empty((0, *material.held.images.shape[1:]), dtype=np.uint8))
    pictures = _reconstruct(device, done, received, material)
    originals = Images(material.held.images)[torch.arange(len(pictures))]
    shown = disclosure(pictures, originals)
    recognised, owners = _recognise(device, own, received, material)
    labels = torch.from_numpy(np.concatenate([material.labels, material.test.columns(material.tasks)]))
    suspects = torch.cat([received, test])
    is_member = np.arange(len(suspects)) < len(received)
    looked_up = torch.cat([material.sent(done, part[slice(SUSPECTS)]) for part in (material.held, material.test)])
    was_sent = np.arange(len(looked_up)) < min(SUSPECTS, len(received))
    leaks = OtherLeaks(
        ssim=shown.ssim,
        l1=shown.l1,
        recognised=recognised,
        owners=owners,
        membership=float(roc_auc_score(is_member, suspicion(model, suspects, labels))),
        presence=float(roc_auc_score(was_sent, presence(received, looked_up))),
    )
    sheet = pictures[_firsts(material)[:SHOWN]].mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return Measured(setting.model_copy(update={"leaks": leaks}), sheet)


SUSPECTS, REBUILT, RECOGNISED = 300, 400, 3000
"""Pictures looked up among those received, on either side; that are reconstructed; that people are learned from."""


def _reconstruct(device: torch.device, done: Trained, received: Tensor, material: Material) -> Tensor:
    """Return reconstructions (m, 3, side, side) of the first pictures, by a network that learned from public ones."""
    network = reverse(
        done.extractor, Images(material.public.images), torch_generator(material.seed, "reverse"), RECONSTRUCTION,
        device=device,
    )  # fmt: skip
    return reconstructed(network, received[:REBUILT])


def _recognise(device: torch.device, own: Tensor, received: Tensor, material: Material) -> tuple[float, int]:
    """Return the share of second pictures whose owner is named by the first ones, and how many owners there are."""
    some = slice(RECOGNISED)
    recogniser = passport(
        own[some], material.public.persons[some], torch_generator(material.seed, "passport"), RECOGNITION, device=device
    )
    persons, firsts = material.held.persons, _firsts(material)
    seconds = firsts + 1
    named = nearest(recogniser, received[firsts], persons[firsts], received[seconds])
    return float((named == persons[seconds]).mean()), len(firsts)


def _firsts(material: Material) -> NDArray[np.int64]:
    """Return the place of each participant's first picture."""
    return np.sort(np.unique(material.held.persons, return_index=True)[1]).astype(np.int64)
