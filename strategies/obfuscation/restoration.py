"""Undoing an obfuscation without knowledge of the images: interpolation, denoising, deconvolution.

Raynal et al. 2020, section 4.4. The service knows the technique and its setting, not what is mixed with what. Pictures
are (n, 3, height, width) uint8 tensors.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from skimage.restoration import denoise_nl_means, estimate_sigma
from torch import Tensor

from strategies.obfuscation.blurring import gaussian_blur, gaussian_kernel
from strategies.pixels import to_pictures, to_pixels

NOISY = 15.0
"""Below this standard deviation removing noise takes as much of the image with it; in units of 0..255."""

_NEIGHBOURS = 5
_ESTIMATED = 64
"""Pictures that noise is estimated from."""


def interpolate(pictures: Tensor, known: Tensor) -> Tensor:
    """Fill in unknown pixels by the Gaussian-weighted mean of the known ones around them.

    Normalised convolution (Knutsson and Westin 1993), with ever wider kernels until every pixel has a neighbour.

    Args:
        pictures: (n, 3, height, width) uint8
        known: (n, height, width) bool, which pixels to trust, at least one per picture.

    Raises:
        ValueError: When nothing of a picture is known.

    Examples:
        >>> pictures = torch.full((1, 3, 8, 8), 90, dtype=torch.uint8)
        >>> known = torch.eye(8, dtype=torch.bool)[None]
        >>> interpolate(pictures * known, known).unique().tolist()
        [90]
    """
    if not known.flatten(1).any(dim=1).all():
        raise ValueError("a picture of which no pixel is known cannot be interpolated")
    trusted = known[:, None].float()
    values = pictures.float() * trusted
    filled, missing = values.clone(), ~known[:, None]
    size, widest = _NEIGHBOURS, 2 * min(pictures.shape[2:]) - 1
    while missing.any() and size <= widest:
        around = gaussian_blur(trusted, size)
        reached = missing & (around > 1e-3)
        filled = torch.where(reached, gaussian_blur(values, size) / around.clamp(min=1e-3), filled)
        missing &= ~reached
        size = 2 * size + 1
    means = values.sum(dim=(2, 3), keepdim=True) / trusted.sum(dim=(2, 3), keepdim=True)
    return to_pixels(torch.where(missing, means, filled))


def ungraft(pictures: Tensor, kept: float, rounds: int = 3) -> Tensor:
    """Split grafted pictures into kept and mixed pixels, and interpolate the image from the kept ones.

    Pixels of a smooth image are like the median of their neighbours, which is a kept pixel where most are kept; the
    share `kept` of the pixels that are most like it is taken to be the image's.

    Args:
        pictures: (n, 3, height, width) uint8, obfuscated by grafting (`graft_and_mix`).
        kept: The setting of the technique; above one half, or the median is not the image's.
        rounds: How often to compare with what was interpolated, and to split again.

    Raises:
        ValueError: When `kept` is not above one half.
    """
    if not 0.5 < kept <= 1:
        raise ValueError(f"grafting can be undone where most pixels are kept, not a share of {kept}")
    restored = _medians(pictures)
    known = torch.ones_like(pictures[:, 0], dtype=torch.bool)
    for _ in range(rounds):
        unlike = (pictures.float() - restored).abs().sum(dim=1)
        limit = unlike.flatten(1).kthvalue(max(1, round(kept * unlike[0].numel())), dim=1).values
        known = unlike <= limit[:, None, None]
        # Of the kept pixels themselves, too, only what their neighbours say.
        restored = gaussian_blur(interpolate(pictures, known).float(), 3)
    return interpolate(pictures, known)


def denoise(pictures: Tensor, sigma: float) -> Tensor:
    """Remove Gaussian noise of known standard deviation by non-local means (Buades, Coll and Morel 2005).

    The algorithm that the paper takes from OpenCV, by scikit-image: its setting is the noise level instead of a
    filter strength, works on real numbers, and is the library that the scores are checked with.

    Args:
        pictures: (n, 3, height, width) uint8
        sigma: Of the noise in the published pictures, in units of 0..255: for `noise_and_mix`, the setting times the
            norm of the weights.
    """
    scale = sigma / 255
    cleaned = [
        denoise_nl_means(picture / 255, 5, 6, 0.8 * scale, fast_mode=True, sigma=scale, channel_axis=2)
        for picture in to_pictures(pictures)
    ]
    if not cleaned:
        return pictures
    restored = torch.from_numpy(np.stack(cleaned)).permute(0, 3, 1, 2).to(pictures.device)
    return to_pixels(restored * 255)


def denoised(pictures: Tensor) -> Tensor:
    """Remove the noise that can be seen in (n, 3, height, width) uint8 pictures, if it is worth it (`NOISY`).

    Its strength is estimated from the pictures themselves (Donoho and Johnstone 1994); see `denoise`.
    """
    some = to_pictures(pictures[:_ESTIMATED])
    estimate: Callable[..., float] = estimate_sigma
    sigma = float(np.mean([estimate(picture, channel_axis=2, average_sigmas=True) for picture in some] or [0.0]))
    return denoise(pictures, sigma) if sigma > NOISY else pictures


def deconvolve(pictures: Tensor, kernel: int, noise: float = 1e-3) -> Tensor:
    """Undo a known Gaussian blur by Wiener deconvolution (Wiener 1949; Lim 1990, chapter 9).

    The paper uses ``scipy.signal.wiener``, which is a local noise filter and undoes no blur. Here the mirrored picture
    is a whole period of what the blur was computed on, so that division in the Fourier domain is exact at the border.

    Args:
        pictures: (n, 3, height, width) uint8; blurred, mixed or not: the two commute.
        kernel: The setting of the technique, see `gaussian_kernel`.
        noise: Power of the noise beside that of the image; rounding to 0..255 alone is some 1e-5.
    """
    height, width = pictures.shape[2:]
    mirrored = F.pad(pictures.float(), (0, width - 2, 0, height - 2), mode="reflect")
    period_down, period_across = mirrored.shape[2:]
    line = gaussian_kernel(kernel, pictures.device)
    down, across = _response(line, period_down), _response(line, period_across)[: period_across // 2 + 1]
    response = down[:, None] * across
    restored = torch.fft.irfft2(
        torch.fft.rfft2(mirrored) * response / (response.square() + noise), s=mirrored.shape[2:]
    )
    return to_pixels(restored[:, :, :height, :width])


def _response(kernel: Tensor, period: int) -> Tensor:
    """Return the frequency response of a symmetric kernel on a circle: real."""
    places = torch.arange(-(len(kernel) // 2), len(kernel) // 2 + 1, device=kernel.device) % period
    circle = torch.zeros(period, device=kernel.device).scatter_add_(0, places, kernel)
    response: Tensor = torch.fft.fft(circle).real
    return response


def _medians(pictures: Tensor) -> Tensor:
    """Return the median of every pixel's neighbourhood, channel by channel, float32."""
    radius = _NEIGHBOURS // 2
    mirrored = F.pad(pictures.float(), (radius,) * 4, mode="reflect")
    windows = mirrored.unfold(2, _NEIGHBOURS, 1).unfold(3, _NEIGHBOURS, 1).flatten(4)
    return windows.median(dim=4).values
