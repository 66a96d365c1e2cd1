import numpy as np
import torch
from scipy import ndimage

from strategies.deep_poisoning.perturbations import SPREAD, WINDOW, gaussian_filter, gaussian_noise, mean_filter


def features() -> torch.Tensor:
    return torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(1))


def test_filters_are_scipys() -> None:
    maps = features().double()
    means = ndimage.uniform_filter(maps.numpy(), (1, 1, WINDOW, WINDOW), mode="constant")
    np.testing.assert_allclose(mean_filter(maps), means, atol=1e-6)
    spread, reach = (0, 0, SPREAD, SPREAD), (0, 0, WINDOW // 2, WINDOW // 2)
    blurred = ndimage.gaussian_filter(maps.numpy(), spread, radius=reach, mode="constant")
    np.testing.assert_allclose(gaussian_filter(maps), blurred, atol=1e-6)


def test_noise_is_as_strong_as_the_features() -> None:
    maps = torch.rand(20, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    noise = gaussian_noise(maps, torch.Generator().manual_seed(2), 2.0) - maps
    assert abs((noise.std() / maps.std()).item() - 2) < 0.05
    assert abs(noise.mean().item()) < 0.01
    assert torch.equal(gaussian_noise(maps, torch.Generator().manual_seed(2), 2.0) - maps, noise)
