"""Reproduce the `small` featurizer: ``python -m simulations.studies.calibration.train_small`` (six minutes, one core).

1. Train the network to classify public portraits of pets (twenty breeds, freshly painted in every step) and public
   digits (ten classes, turned and shifted a little); fold batch normalisation into the convolutions.
2. Train autoencoders on the network's fc8 features of other public pictures, from several initial weights.
3. Calibrate each one's lattice on public pictures that neither was trained on, and keep the one with the highest recall
   among those with enough precision.
4. Measure it on traded pictures, which no step above uses, and write weights and card.

The same machine type and versions give the same weights, bit for bit.

The classifier is trained with label smoothing, which brings the fc8 features of a class together; the paper uses a
trained network.
"""

import json
import platform
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from parties.featurizers import build
from simulations.data import digits, pets
from simulations.studies.calibration import calibration as calibrate
from simulations.studies.calibration.autoencoding import CODE_NOISE, CODE_PULL, train_autoencoder
from simulations.studies.calibration.drift import honest_drift, percentiles, tolerance
from strategies.features.featurizer import (
    INPUT_SIZE,
    Autoencoder,
    Calibration,
    Featurizer,
    SmallNet,
    prepare,
    to_vectors,
)
from strategies.pixels import network_inputs

CLASSES = (*pets.BREEDS, *(f"digit {digit}" for digit in digits.CLASSES))

# One stream of portraits for each purpose; all but the last paint public ones.
TRAINING, AUTOENCODING, CHOOSING, MEASURING = 1, 2, 3, 4

STEPS, PETS_PER_STEP, DIGITS_PER_STEP, LEARNING_RATE, LABEL_SMOOTHING = 1500, 96, 32, 4e-3, 0.1
PETS_PER_BREED, DIGIT_COPIES = 800, 12
RESTARTS, MOST_OFF_LATTICE, LEAST_PRECISION = 6, 0.01, 0.96


def train_network() -> SmallNet:
    """Train the classifier and fold its batch normalisation into the convolutions."""
    generator = torch.Generator().manual_seed(TRAINING)
    torch.manual_seed(TRAINING)
    network = SmallNet(len(CLASSES))
    plain = network.convolutions
    network.convolutions = _with_batch_normalisation(plain)
    network.to(memory_format=torch.channels_last)
    scans, scan_labels = _training_digits()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS, pct_start=0.15)
    for step in range(STEPS):
        breeds = torch.randint(len(pets.BREEDS), (PETS_PER_STEP,), generator=generator)
        portraits = network_inputs(list(pets.draw(breeds.numpy(), INPUT_SIZE, generator, "public")))
        chosen = torch.randint(len(scans), (DIGITS_PER_STEP,), generator=generator)
        inputs = torch.cat([portraits, _moved(scans[chosen], generator)]).contiguous(memory_format=torch.channels_last)
        targets = torch.cat([breeds, scan_labels[chosen]])
        loss = F.cross_entropy(network(inputs), targets, label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"network: step {step + 1} of {STEPS}, loss {loss.item():.3f}", flush=True)
    network.eval()
    network.convolutions = _folded(network.convolutions)
    return network


def _with_batch_normalisation(plain: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in plain:
        layers += [layer, nn.BatchNorm2d(layer.out_channels)] if isinstance(layer, nn.Conv2d) else [layer]
    return nn.Sequential(*layers)


def _folded(normalised: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in normalised:
        if isinstance(layer, nn.BatchNorm2d):
            convolution = layers.pop()
            assert isinstance(convolution, nn.Conv2d)
            layers.append(fuse_conv_bn_eval(convolution, layer))
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def _public_digits(held_out: bool) -> tuple[Tensor, Tensor]:
    """Return the inputs and class indices of the three quarters for training, or of the held-out quarter."""
    images, labels = digits.read("public")
    own = (np.arange(len(labels)) % 4 == 3) == held_out
    return network_inputs([prepare(image) for image in images[own]]), torch.from_numpy(labels[own]) + len(pets.BREEDS)


def _training_digits() -> tuple[Tensor, Tensor]:
    return _public_digits(held_out=False)


def _moved(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale and shift pictures a little."""
    count = len(inputs)
    uniform = torch.rand(4, count, generator=generator) - 0.5
    angle, zoom = uniform[0] * 0.5, 1 + uniform[1] * 0.3
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = torch.stack([cos, -sin, uniform[2] * 0.25, sin, cos, uniform[3] * 0.25], 1)
    grid = F.affine_grid(rows.reshape(count, 2, 3), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


@torch.inference_mode()
def _fc8(network: SmallNet, inputs: Tensor) -> Tensor:
    batches = torch.split(inputs.contiguous(memory_format=torch.channels_last), 256)
    return torch.cat([network(batch) for batch in batches])


def _fc8_of_pets(network: SmallNet, per_breed: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the fc8 features and class indices of fresh public portraits."""
    generator = torch.Generator().manual_seed(seed)
    breeds = np.tile(np.arange(len(pets.BREEDS)), per_breed)
    features = [
        _fc8(network, network_inputs(list(pets.draw(part, INPUT_SIZE, generator, "public"))))
        for part in np.array_split(breeds, max(1, len(breeds) // 1000))
    ]
    return torch.cat(features), torch.from_numpy(breeds)


def _fc8_for_autoencoding(network: SmallNet) -> tuple[Tensor, Tensor]:
    portraits, breeds = _fc8_of_pets(network, PETS_PER_BREED, AUTOENCODING)
    generator = torch.Generator().manual_seed(AUTOENCODING)
    scans, scan_labels = _training_digits()
    moved = torch.cat([_fc8(network, _moved(scans, generator)) for _ in range(DIGIT_COPIES)])
    return torch.cat([portraits, moved]), torch.cat([breeds, scan_labels.repeat(DIGIT_COPIES)])


def _fc8_for_choosing(network: SmallNet) -> tuple[Tensor, Tensor]:
    portraits, breeds = _fc8_of_pets(network, 200, CHOOSING)
    scans, scan_labels = _public_digits(held_out=True)
    return torch.cat([portraits, _fc8(network, scans)]), torch.cat([breeds, scan_labels])


def choose(network: SmallNet) -> tuple[Autoencoder, float, tuple[float, float]]:
    """Train several autoencoders; return the one of highest recall with enough precision, and its lattice."""
    features, labels = _fc8_for_autoencoding(network)
    unseen, unseen_labels = _fc8_for_choosing(network)
    candidates = []
    for seed in range(RESTARTS):
        autoencoder = train_autoencoder(features, labels, seed)
        with torch.inference_mode():
            codes = autoencoder.encode(unseen).double().numpy()
        scale, offset = calibrate.lattice(codes, unseen_labels.numpy())
        points = np.array(offset) + scale * codes
        quality = _purchases(points, unseen_labels.numpy(), CHOOSING)
        precision, recall = (min(values) for values in zip(*map(astuple, quality.values()), strict=True))
        off = calibrate.off_lattice(points)
        print(f"autoencoder {seed}: {quality}, {off:.2%} off the lattice", flush=True)
        good = off <= MOST_OFF_LATTICE and precision >= LEAST_PRECISION
        candidates.append(((good, recall if good else precision), (autoencoder, scale, offset)))
    return max(candidates, key=lambda candidate: candidate[0])[1]


def _purchases(
    points: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> dict[str, calibrate.PurchaseQuality]:
    breeds = len(pets.BREEDS)
    parts = {"pets": range(breeds), "digits": range(breeds, len(CLASSES))}
    return {
        name: calibrate.purchase_quality(points, labels, part, np.random.default_rng(seed))
        for name, part in parts.items()
    }


def measure(featurizer: Featurizer) -> tuple[Calibration, dict[str, Any]]:
    """Return the calibration with tolerances, and the card's figures, on traded portraits and digits."""
    breeds = np.tile(np.arange(len(pets.BREEDS)), 200)
    portraits = pets.draw(breeds, INPUT_SIZE, torch.Generator().manual_seed(MEASURING), "traded")
    scans, scan_labels = digits.read("traded")
    images = [*portraits, *scans]
    labels = np.concatenate([breeds, scan_labels + len(pets.BREEDS)])
    fc8 = featurizer.fc8(images)
    points, vectors = featurizer.features(images), to_vectors(fc8)
    purchases = _purchases(points.astype(np.float64), labels, MEASURING)
    drifts = honest_drift(featurizer, images)
    within, vectors_within = tolerance(drifts.points), tolerance(drifts.vectors)
    calibration = replace(
        featurizer.calibration,
        tolerance=within,
        vector_tolerance=vectors_within,
        false_accepts=calibrate.false_accepts(points, labels, within),
        vector_false_accepts=calibrate.false_accepts(vectors, labels, vectors_within),
    )
    named = fc8.argmax(1) == labels
    return calibration, {
        "pictures": {"pets": len(portraits), "digits": len(scans)},
        "accuracy": {"pets": named[: len(breeds)].mean().item(), "digits": named[len(breeds) :].mean().item()},
        "recall_within_radius_of_centroid": calibrate.recall(points, labels),
        "recall_within_vector_radius_of_centroid": calibrate.recall(vectors, labels, calibration.vector_radius),
        "share_of_centroid_pairs_farther_apart_than_radius": calibrate.pair_separation(points, labels),
        "share_of_centroid_pairs_farther_apart_than_vector_radius": calibrate.pair_separation(
            vectors, labels, calibration.vector_radius
        ),
        "share_off_lattice": calibrate.off_lattice(points),
        "purchase_of_3_categories_by_10_samples_at_30_percent_noise": {
            name: asdict(quality) for name, quality in purchases.items()
        },
        "drift_in_lattice_units": percentiles(drifts.points),
        "drift_of_vectors_in_1_256": percentiles(drifts.vectors),
    }


def train() -> tuple[dict[str, Tensor], Calibration]:
    """Train network and autoencoder; return their tensors and the lattice, R, d and k."""
    network = train_network()
    autoencoder, scale, offset = choose(network)
    tensors = {
        **{f"network.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()},
        **{f"autoencoder.{name}": tensor.contiguous() for name, tensor in autoencoder.state_dict().items()},
    }
    return tensors, Calibration(calibrate.RADIUS, calibrate.REACH, calibrate.SIGNATURE_SIZE, scale, offset, tolerance=0)


def write(tensors: dict[str, Tensor], lattice: Calibration) -> None:
    """Choose the radius among fc8 vectors, measure everything, and write weights and card beside this module."""
    untested = build(tensors, lattice)
    assert isinstance(untested.network, SmallNet)
    unseen, unseen_labels = _fc8_for_choosing(untested.network)
    vector_radius = round(calibrate.radius_of_recall(to_vectors(unseen.numpy()), unseen_labels.numpy()))
    calibration, measured = measure(build(tensors, replace(lattice, vector_radius=vector_radius)))
    card = {
        "model_id": build(tensors, calibration).model_id,
        "calibration": asdict(calibration),
        "classes": CLASSES,
        "public_data": (
            f"{STEPS * PETS_PER_STEP} portraits of {len(pets.BREEDS)} breeds painted by simulations.data.pets"
            " (split public) and three quarters of the public half of scikit-learn's digits for the network;"
            f" {PETS_PER_BREED * len(pets.BREEDS)} more portraits and the same digits for the autoencoder;"
            " fresh portraits and the last quarter of the public digits to choose and calibrate it"
        ),
        "beyond_the_paper": (
            f"classifier trained with label smoothing {LABEL_SMOOTHING}; autoencoder trained with Gaussian noise of"
            f" deviation {CODE_NOISE} on its code and a penalty of {CODE_PULL} times its squared length"
        ),
        "measured_on": "traded portraits and the traded half of the digits, used for nothing else",
        "measured": measured,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    here = Path(__file__).parent
    (here / "small.safetensors").write_bytes(save(tensors))
    (here / "small.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    torch.set_num_threads(1)
    write(*train())
