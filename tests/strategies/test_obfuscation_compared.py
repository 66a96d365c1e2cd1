"""The older techniques that the paper's are compared with: mixup, InstaHide, and differentially private mixing."""

from importlib import import_module

import numpy as np
import pytest
import torch
from obfuscation_contract import ObfuscationContract, floats, mixture, noise, one
from scipy import stats

from strategies.obfuscation import OBFUSCATIONS, Obfuscation, obfuscate
from strategies.obfuscation.guarantee import mixing_epsilon
from strategies.obfuscation.weights import beta_weights, capped_weights
from strategies.privacy.stream import Stream


class TestMixup(ObfuscationContract):
    technique = "mixup"

    def test_labels_are_mixed_as_images_are(self) -> None:
        batch = one(self.obfuscation, self.sources())
        assert torch.equal(batch.labels[:, :2], batch.weights)
        assert np.abs(floats(batch.pictures) - mixture(self.sources(), batch.weights)).max() <= 0.51

    def test_weights_follow_the_beta_distribution(self) -> None:
        drawn = beta_weights(4000, 2, Stream(bytes(32)))[:, 0].double().numpy()
        assert stats.kstest(drawn, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4


class TestInstaHide(ObfuscationContract):
    technique = "instahide"

    def test_flips_the_sign_of_half_the_values(self) -> None:
        batch = one(self.obfuscation, self.sources())
        mixed = mixture(self.sources(), batch.weights)
        published = floats(batch.pictures)
        kept, flipped = np.abs(published - mixed) <= 0.51, np.abs(255 - published - mixed) <= 0.51
        assert (kept | flipped).all()
        assert kept[~(kept & flipped)].mean() == pytest.approx(0.5, abs=0.02)

    def test_no_weight_exceeds_the_cap(self) -> None:
        weights = capped_weights(5000, 4, Stream(bytes(32)))
        assert weights.max() <= 0.65 + 1e-6
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum(1), torch.ones(5000))


class TestPrivateMixing(ObfuscationContract):
    technique = "dp-mix"

    def test_noise_does_not_shrink_with_the_images(self) -> None:
        for images in (2, 16):
            grey = torch.full((2, images, 3, 64, 64), 120, dtype=torch.uint8)
            published = one(Obfuscation("dp-mix", weights=(1.0,) * images, strength=25), grey).pictures
            assert published.double().std().item() == pytest.approx(25, rel=0.03)

    def test_labels_are_noised_too(self) -> None:
        sources = noise(4000, 2, 3, 1, 1)
        labels = torch.tensor([0, 1]).expand(4000, 2)
        setting = Obfuscation("dp-mix", weights=(0.75, 0.25), strength=0.25 * 255)
        drawn = obfuscate(setting, sources, labels, 2, Stream(bytes(32))).labels
        assert (drawn == 0).double().mean().item() == pytest.approx(stats.norm.cdf(0.5 / (0.25 * 2**0.5)), abs=0.02)


@pytest.mark.parametrize(("sigma", "images", "epochs"), [(40, 128, 1), (100, 64, 3), (500, 128, 1)])
def test_epsilon_is_where_the_divergence_of_the_gaussians_is_delta(sigma: float, images: int, epochs: int) -> None:
    epsilon = mixing_epsilon(sigma, images, 28 * 28, epochs, 1e-5)
    apart = 255 / (images * sigma) * np.sqrt(epochs * (3 * 28 * 28 + 2))
    grid = np.linspace(-12, 12 + apart, 400_001)
    divergence = np.maximum(stats.norm.pdf(grid, apart) - np.exp(epsilon) * stats.norm.pdf(grid), 0)
    assert np.trapezoid(divergence, grid) == pytest.approx(1e-5, rel=1e-3)


def test_epsilon_at_its_ends() -> None:
    assert mixing_epsilon(1e9, 128, 784, 1, 1e-5) == 0
    assert mixing_epsilon(1, 1, 256 * 256, 100, 1e-5) > 1e9
    with pytest.raises(ValueError, match="delta lies between 0 and 1"):
        mixing_epsilon(40, 128, 784, 1, 0)


def test_every_technique_has_its_contract() -> None:
    import_module("test_obfuscation")
    assert {contract.technique for contract in ObfuscationContract.__subclasses__()} == set(OBFUSCATIONS)
