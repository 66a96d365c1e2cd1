"""The blur against an independent one."""

import numpy as np
import torch
from scipy import ndimage

from strategies.obfuscation.blurring import gaussian_blur, gaussian_kernel


def test_blur_equals_an_independent_one_at_any_size() -> None:
    for height, width, size in ((5, 70, 3), (33, 20, 17), (64, 64, 45)):
        image = np.random.default_rng(size).uniform(0, 255, (2, height, width))
        expected = image
        for axis in (1, 2):
            kernel = gaussian_kernel(size).double().numpy()
            expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="mirror")
        np.testing.assert_allclose(gaussian_blur(torch.from_numpy(image).float(), size).numpy(), expected, atol=1e-3)
