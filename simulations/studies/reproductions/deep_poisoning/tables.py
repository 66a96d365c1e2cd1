"""The experiments of the five tables: each is a job that returns numbers by row and column."""

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from simulations.studies.reproductions.deep_poisoning.data import Task, attributes, classes
from simulations.studies.reproductions.deep_poisoning.scale import Scale
from strategies.deep_poisoning.attacks import reverse
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.obfuscator import Hidden, train_obfuscator
from strategies.deep_poisoning.perturbations import gaussian_filter, gaussian_noise, mean_filter
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import SplitNetwork, new_network
from strategies.deep_poisoning.training import train_decider, train_network, train_poisoning, train_reconstructor
from strategies.learning.batches import Batches, Images, Joined, Mapped, apply, guessed
from strategies.learning.fit import Plan
from strategies.scores.image_quality import disclosure

Numbers = dict[tuple[str, str, str], float]
"""By table, row and column; shares of 1."""

OBFUSCATION_RATE, OBFUSCATION_WEIGHT = 0.4, 4.0
"""DeepObfuscator's learning rate as a share of the others', and the weight of its adversary."""
SCORED = 500
"""The most images to score reconstructions on."""


class Perturbed(nn.Module):
    """One of Table 3's stationary perturbations, as a network."""

    def __init__(self, kind: str, seed: int) -> None:
        super().__init__()
        self._kind, self._generator = kind, torch.Generator().manual_seed(seed)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        if self._kind == "GN":
            return gaussian_noise(features, self._generator)
        return gaussian_filter(features) if self._kind == "GF" else mean_filter(features)


class Bench:
    """Trains the networks of an experiment, on one device and with one generator.

    Args:
        scale: Steps of training.
        seed: Of the generator.
    """

    def __init__(self, scale: Scale, device: torch.device, seed: int) -> None:
        self.scale, self.device = scale, device
        self.generator = torch.Generator().manual_seed(seed)

    def network(self, architecture: str, outputs: int, images: Batches, labels: Tensor) -> SplitNetwork:
        """Pre-train a network."""
        untrained = new_network(architecture, outputs, self.generator)
        plan = self.scale.plan(self.scale.pretraining, len(labels))
        return train_network(untrained, images, labels, self.generator, plan, device=self.device)

    def features(self, images: Batches, *networks: nn.Module) -> Batches:
        """Return the features of images: kept, or computed at each access."""
        return apply(images, *networks) if self.scale.kept else Mapped(images, *networks)

    def reconstructor(self, featurizer: nn.Module, public: Batches) -> Reconstructor:
        """Train a reconstructor on public images."""
        plan = self.scale.plan(self.scale.reconstruction, len(public))
        return train_reconstructor(self.features(public, featurizer), public, self.generator, plan, device=self.device)

    def module(
        self, network: SplitNetwork, psi: Reconstructor, images: Batches, labels: Tensor, *before: nn.Module
    ) -> DeepPoisoningModule:
        """Train a module, after a perturbation if there is one."""
        scale = self.scale
        return train_poisoning(
            self.features(images, network.featurizer, *before), images, labels, network.decider, psi, self.generator,
            scale.plan(scale.poisoning, len(labels)), weight=scale.weight, penalty=scale.penalty, device=self.device,
        )  # fmt: skip

    def accuracy(self, images: Batches, labels: Tensor, *networks: nn.Module, top: int = 1) -> float:
        """Return the top-k accuracy."""
        *featurizing, decider = networks
        return guessed(decider, Mapped(images, *featurizing), labels, top).double().mean().item()


def _some(images: Images) -> Tensor:
    return images[torch.arange(min(SCORED, len(images)))]


def hiding(device: torch.device, scale: Scale, root: Path | None, backbone: str, seed: int) -> Numbers:
    """Tables 1, 2 and 3, of one backbone."""
    task, bench = classes(scale, root, seed), Bench(scale, device, seed)
    count = int(task.labels.max()) + 1
    network = bench.network(scale.backbones[backbone], count, task.images, task.labels)
    psi = bench.reconstructor(network.featurizer, task.public)
    last = backbone == list(scale.backbones)[-1]
    chains: dict[str, list[nn.Module]] = {"w/o": []}
    for kind in ("GN", "GF", "MF") if last else ():
        chains[kind] = [Perturbed(kind, seed)]
    for kind, chain in list(chains.items()):
        name = "DPM" if kind == "w/o" else f"{kind}+DPM"
        chains[name] = [*chain, bench.module(network, psi, task.images, task.labels, *chain)]
    found: Numbers = {}
    originals = _some(task.fresh)
    for name, chain in chains.items():
        before = (network.featurizer, *chain)
        shown = disclosure(apply(originals, *before, psi), originals)
        numbers = {
            f"top-{top}": bench.accuracy(task.fresh, task.fresh_labels, *before, network.decider, top=min(top, count))
            for top in (1, 5)
        } | {"L1": shown.l1, "SSIM": shown.ssim, "SSIM of the negative": shown.ssim_of_negative}
        if last:
            found |= {("Table 3", name, column): value for column, value in numbers.items()}
        if name in {"w/o", "DPM"}:
            column = "Original" if name == "w/o" else "Poisoned"
            found |= {("Table 1", f"{backbone}, {measure}", column): numbers[measure] for measure in ("top-1", "top-5")}
            found |= {
                ("Table 2", f"{backbone}, {measure}", column): numbers[measure]
                for measure in ("L1", "SSIM", "SSIM of the negative")
            }
    if last:
        found["Table 5", "5, raw images S", "top-1"] = found["Table 3", "w/o", "top-1"]
        found["Table 5", "5, raw images S", "top-5"] = found["Table 3", "w/o", "top-5"]
    return found


def competitor(device: torch.device, scale: Scale, root: Path | None, seed: int) -> Numbers:
    """Table 4: no protection, DeepObfuscator and a module, on attributes of faces: half utility, half privacy."""
    task, bench = attributes(scale, root, seed), Bench(scale, device, seed)
    half = task.labels.shape[1] // 2
    useful, private = task.labels[:, :half].long(), task.labels[:, half:].long()
    network = bench.network(scale.attributes, half, task.images, useful)
    psi = bench.reconstructor(network.featurizer, task.public)
    plan = Plan.lasting(scale.obfuscation, len(useful), scale.batch, scale.learning_rate * OBFUSCATION_RATE)
    adversary = train_decider(
        new_network(scale.attributes, private.shape[1], bench.generator).decider,
        bench.features(task.images, network.featurizer), private, bench.generator,
        scale.plan(scale.refinement, len(private)), device=device,
    )  # fmt: skip
    obfuscated = train_obfuscator(
        network, psi, task.images, useful, bench.generator, plan, weight=OBFUSCATION_WEIGHT, device=device,
        hidden=Hidden(private, adversary, scale.learning_rate),
    )  # fmt: skip
    module = bench.module(network, psi, task.images, useful)
    obfuscator = obfuscated.network.featurizer
    reverser = reverse(
        obfuscator, task.public, bench.generator, scale.plan(scale.reconstruction, len(task.public)), device=device
    )
    originals = _some(task.fresh)
    cases: dict[str, tuple[tuple[nn.Module, ...], tuple[nn.Module, ...], nn.Module, Reconstructor]] = {
        # what is shared, what the privacy attacker can compute, the decider, and the reconstructor
        "w/o protection": ((network.featurizer,), (network.featurizer,), network.decider, psi),
        "DeepObfuscator": ((obfuscator,), (obfuscator,), obfuscated.network.decider, obfuscated.reconstructor),
        "DPM": ((network.featurizer, module), (network.featurizer,), network.decider, psi),
    }
    found: Numbers = {}
    for name, (shared, attacker, decider, judge) in cases.items():
        recogniser = train_decider(
            new_network(scale.attributes, private.shape[1], bench.generator).decider,
            bench.features(task.images, *attacker), private, bench.generator,
            scale.plan(scale.refinement, len(private)), device=device,
        )  # fmt: skip
        shown = disclosure(apply(originals, *shared, judge), originals)
        row = {
            "utility mAP": _precision(apply(task.fresh, *shared, decider), task.fresh_labels[:, :half]),
            "privacy mAP": _precision(apply(task.fresh, *shared, recogniser), task.fresh_labels[:, half:]),
            "L1": shown.l1,
            "SSIM": shown.ssim,
        }
        again = disclosure(apply(originals, *shared, reverser if name == "DeepObfuscator" else psi), originals)
        row |= {"L1, sharing": again.l1, "SSIM, sharing": again.ssim}
        found |= {("Table 4", name, column): value for column, value in row.items()}
    return found


def sharing(device: torch.device, scale: Scale, root: Path | None, seed: int) -> Numbers:
    """Table 5: four entities, and a control that the paper does not have."""
    task, bench = classes(scale, root, seed), Bench(scale, device, seed)
    count = int(task.labels.max()) + 1
    own = _entities(task, scale)
    found: Numbers = {}

    def judge(row: str, *networks: nn.Module) -> None:
        for top in (1, 5):
            found["Table 5", row, f"top-{top}"] = bench.accuracy(
                task.fresh, task.fresh_labels, *networks, top=min(top, count)
            )

    networks = []
    for number, (images, labels) in enumerate(own, 1):
        networks.append(bench.network(scale.sharing, count, images, labels))
        judge(f"{number}, raw images S{number}", networks[-1].featurizer, networks[-1].decider)
    shared = networks[0]
    featurizer = shared.featurizer
    psi = bench.reconstructor(featurizer, task.public)
    clean = [bench.features(images, featurizer) for images, _ in own]
    poisoned = []
    for images, labels in own[:3]:
        module = bench.module(shared, psi, images, labels)
        poisoned.append(bench.features(images, featurizer, module))

    def refine(row: str, parts: list[Batches], owners: list[int], start: nn.Module) -> None:
        labels = torch.cat([own[owner][1] for owner in owners])
        plan = scale.plan(scale.refinement, len(labels))
        judge(row, featurizer, train_decider(start, Joined(parts), labels, bench.generator, plan, device=device))

    (c1, c2, c3, c4), (p1, p2, p3) = clean, poisoned
    new = new_network(scale.sharing, count, bench.generator).decider
    for number, part in enumerate(clean, 1):
        refine(f"control, f(S{number}) alone", [part], [number - 1], new)
    refine("6, f(S1) + f(S2)", [c1, c2], [0, 1], new)
    refine("7, f(S1) + P2 f(S2)", [c1, p2], [0, 1], new)
    refine("8, P1 f(S1) + f(S2)", [p1, c2], [0, 1], new)
    refine("9, P1 f(S1) + P2 f(S2) + f(S3)", [p1, p2, c3], [0, 1, 2], new)
    refine("10, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S3)", [p1, p2, p3, c3], [0, 1, 2, 2], new)
    refine("11, P1 f(S1) + P2 f(S2) + f(S4)", [p1, p2, c4], [0, 1, 3], new)
    refine("12, P1 f(S1) + P2 f(S2) + P3 f(S3) + f(S4)", [p1, p2, p3, c4], [0, 1, 2, 3], new)
    refine("control, fine-tuned: f(S4) alone", [c4], [3], shared.decider)
    refine("12, fine-tuned", [p1, p2, p3, c4], [0, 1, 2, 3], shared.decider)
    return found


def _entities(task: Task, scale: Scale) -> list[tuple[Batches, Tensor]]:
    """Split S: three entities with a share each, and a fourth with a tenth of that."""
    large = round(scale.share * len(task.labels))
    ends = np.cumsum([large, large, large, max(2, large // 10)]).tolist()
    starts = [0, *ends[:-1]]
    order = np.arange(len(task.labels)) if scale.dataset == "painted" else np.random.default_rng(0).permutation(
        len(task.labels)
    )  # fmt: skip
    chosen = [torch.from_numpy(np.sort(order[start:end])) for start, end in zip(starts, ends, strict=True)]
    return [(_Part(task.images, some), task.labels[some]) for some in chosen]


class _Part:
    """Some images of a set."""

    def __init__(self, images: Batches, chosen: Tensor) -> None:
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        return self._images[self._chosen[chosen]]


def _precision(scores: Tensor, truth: Tensor) -> float:
    """Return the mean average precision over attributes with both values in the truth."""
    known = [n for n in range(truth.shape[1]) if 0 < truth[:, n].sum() < len(truth)]
    return float(np.mean([average_precision_score(truth[:, n].numpy(), scores[:, n].numpy()) for n in known]))
