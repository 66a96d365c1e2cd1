"""LPIPS: by torchmetrics, against another implementation; nothing where its weights are not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import lpips as shipped
from torchvision.models import alexnet

from protocol.errors import BadInput
from simulations.workflows.pool.perceptual import perceptual_distance, weights_file


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Weights of AlexNet where torchvision looks for them: drawn at random here, as the real ones cannot be had."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = weights_file()
    path.parent.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = alexnet(weights=None).state_dict()
    torch.save(drawn, path)
    return dict(drawn)


def reference(weights: dict[str, Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The paper's Eq. 1, written down once more: unit-length features of five layers, weighted by channel."""
    network = alexnet(weights=None)
    network.load_state_dict(weights)
    heads = torch.load(
        Path(shipped.__file__).parent / "lpips_models" / "alex.pth", map_location="cpu", weights_only=True
    )
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def features(images: Tensor) -> list[Tensor]:
        found, now = [], (2 * images - 1 - shift[:, None, None]) / scale[:, None, None]
        for layer in network.features:
            now = layer(now)
            if isinstance(layer, nn.ReLU):
                now = now.clone()
                found.append(now / (now.square().sum(1, keepdim=True).sqrt() + 1e-8))
        return found

    def distance(images: Tensor, others: Tensor) -> Tensor:
        pairs = zip(features(images), features(others), heads.values(), strict=True)
        return sum(((one - other).square() * head).sum(1).mean((1, 2)) for one, other, head in pairs)  # type: ignore[return-value]

    return distance


def test_it_equals_the_formula_and_is_nothing_for_equal_images(weights: dict[str, Tensor]) -> None:
    generator = torch.Generator().manual_seed(2)
    images, others = torch.rand(3, 3, 64, 64, generator=generator), torch.rand(3, 3, 64, 64, generator=generator)
    distance = perceptual_distance()
    assert distance is not None
    with torch.inference_mode():
        expected = reference(weights)(images, others).mean().item()
    assert distance(images, others) == pytest.approx(expected, rel=1e-4)
    assert distance(images, images) == pytest.approx(0, abs=1e-6)
    assert distance(images, others) == pytest.approx(expected, rel=1e-4)  # it keeps nothing from call to call
    assert distance(images[:, :, :48, :48], others[:, :, :48, :48]) > 0  # the size of a pool's pictures


def test_without_weights_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert perceptual_distance() is None


def test_a_file_that_is_none_is_one_sentence(weights: dict[str, Tensor]) -> None:
    weights_file().write_bytes(b"no weights")
    with pytest.raises(BadInput, match="does not hold AlexNet's weights, which LPIPS takes"):
        perceptual_distance()
