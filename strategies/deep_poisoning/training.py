"""How the networks of Deep Poisoning are trained, each with everything else frozen (Deep Poisoning, sections 3.2-3.4).

The generator's state decides order and mirroring; with equal states, on one kind of device, the weights are equal.
"""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.deep_poisoning.module import DeepPoisoningModule, new_module
from strategies.deep_poisoning.reconstructor import PUBLISHED, Reconstructor, new_reconstructor
from strategies.deep_poisoning.split import SplitNetwork
from strategies.learning.batches import Batches
from strategies.learning.fit import UNWATCHED, Plan, Watch, classification_loss, fit, frozen, mirrored
from strategies.scores.image_quality import ssim

Penalty = Literal["absolute", "either", "signed"]


def train_network(
    network: SplitNetwork,
    images: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan,
    *,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> SplitNetwork:
    """Train featurizer and decider together on images, mirrored at random: step 1 (section 3.2), Eq. 1.

    Args:
        network: To start from; it is moved to the device and trained in place.
        images: (n, 3, height, width) in 0..1.
        labels: (n,) int64 or (n, attributes); classes, or attributes that are 0 or 1.
        generator: On the CPU; draws order and mirroring.
        device: Where to compute; None for the CPU.
    """
    _check(images, labels)
    device = device or torch.device("cpu")
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(chosen: Tensor) -> Tensor:
        (shown,) = mirrored(generator, images[chosen].to(device))
        return classification_loss(network(shown), labels[chosen].to(device))

    fit(network, loss, len(labels), generator, plan, watch)
    return network


def train_decider(
    decider: nn.Module,
    features: Batches,
    labels: Tensor,
    generator: torch.Generator,
    plan: Plan,
    *,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> nn.Module:
    """Train a decider on feature maps, one's own and others' poisoned ones: step 3 (section 3.4).

    Args:
        decider: To start from, the published one or a new one; it is copied, and stays as it is.
        features: (n, channels, h, w); `Joined` puts several sets together.
        labels: (n,) int64 or (n, attributes); classes, or attributes that are 0 or 1.

    Returns:
        The network, on the device, in evaluation mode.
    """
    _check(features, labels)
    device = device or torch.device("cpu")
    trained = copy.deepcopy(decider).requires_grad_(True).to(device)

    def loss(chosen: Tensor) -> Tensor:
        return classification_loss(trained(features[chosen].to(device)), labels[chosen].to(device))

    fit(trained, loss, len(labels), generator, plan, watch)
    return trained


def train_reconstructor(
    features: Batches,
    images: Batches,
    generator: torch.Generator,
    plan: Plan,
    *,
    design: str = PUBLISHED,
    start: Reconstructor | None = None,
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> Reconstructor:
    """Train a reconstructor on pairs of features and images, by their L1 distance: Eq. 3.

    Args:
        features, images: (n, channels, h, w), and (n, 3, height, width) in 0..1; heights and widths are whole multiples
            of h and w.
        generator: On the CPU; draws first weights and order.
        design: In the paper's notation (`reconstructor.Design`); ignored with a start.
        start: To start from a copy of, instead of new weights.

    Raises:
        ValueError: When there are not as many features as images.
    """
    if len(features) != len(images):
        raise ValueError(f"{len(features)} features but {len(images)} images")
    device = device or torch.device("cpu")
    if start is None:
        first = torch.zeros(1, dtype=torch.int64)
        (channels, side), full = features[first].shape[1:3], images[first].shape[2]
        reconstructor = new_reconstructor(design, channels, full // side, generator)
    else:
        reconstructor = copy.deepcopy(start).requires_grad_(True)
    reconstructor.to(device)

    def loss(chosen: Tensor) -> Tensor:
        return F.l1_loss(reconstructor(features[chosen].to(device)), images[chosen].to(device))

    fit(reconstructor, loss, len(images), generator, plan, watch)
    return reconstructor


def train_poisoning(
    features: Batches,
    images: Batches,
    labels: Tensor,
    decider: nn.Module,
    reconstructor: Reconstructor,
    generator: torch.Generator,
    plan: Plan,
    *,
    weight: float = 1.0,
    penalty: Penalty = "absolute",
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> DeepPoisoningModule:
    """Train a Deep Poisoning Module on one's own images; decider and reconstructor are frozen: Eq. 6.

    L_C(phi_2(P(phi_1 x))) + weight * L_SSIM(psi(P(phi_1 x)), x).

    Args:
        features, images, labels: One's own: phi_1 x, x in 0..1, and classes or attributes.
        decider, reconstructor: phi_2 and psi, as published; they are moved to the device, and otherwise stay as they
            are.
        generator: On the CPU; draws first weights and order. It must be secret: the module is.
        weight: Lambda.
        penalty: What L_SSIM is. The paper's SSIM is signed, and rewards painting the image's negative; so the default
            is its absolute value. That can still be small where a reconstruction is only too dark, and its negative
            shows the image; `either` takes the larger absolute value of the two polarities, for a third more time.

    Raises:
        ValueError: When features, images and labels differ in number.
    """
    _check(features, labels)
    _check(images, labels)
    device = device or torch.device("cpu")
    module = new_module(features[torch.zeros(1, dtype=torch.int64)].shape[1], generator).to(device)
    decider.to(device)
    reconstructor.to(device)

    def loss(chosen: Tensor) -> Tensor:
        poisoned = module(features[chosen].to(device))
        shown = disclosed(reconstructor(poisoned), images[chosen].to(device), penalty)
        return classification_loss(decider(poisoned), labels[chosen].to(device)) + weight * shown.mean()

    with frozen(decider, reconstructor):
        fit(module, loss, len(labels), generator, plan, watch)
    return module


def disclosed(reconstructions: Tensor, originals: Tensor, penalty: Penalty) -> Tensor:
    """Return L_SSIM of each image, (n,), as `train_poisoning` takes it."""
    similarity = ssim(reconstructions, originals)
    if penalty == "signed":
        return similarity
    if penalty == "absolute":
        return similarity.abs()
    return torch.maximum(similarity.abs(), ssim(1 - reconstructions, originals).abs())


def _check(inputs: Batches, labels: Tensor) -> None:
    if len(inputs) != len(labels):
        raise ValueError(f"{len(inputs)} inputs but {len(labels)} labels")
