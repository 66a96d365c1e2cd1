"""How unlike its original an obfuscated image is: the five scores of Raynal et al. 2020, section 4.1.

Pairs of images are (n, 3, height, width) uint8 tensors; every score is (n,) float64, 0 for equal images, more for more
privacy. FID is no score of a pair: see `frechet_distance` and `feature_distances`.
"""

from collections.abc import Callable

import imagehash
import piq
import torch
from PIL import Image
from torch import Tensor, nn

from strategies.pixels import to_pictures

Score = Callable[[Tensor, Tensor], Tensor]
SSIM_WINDOW = 11
HAAR_SMALLEST = 16
_BATCH = 32

# From RGB to YIQ as piq rounds it, and as HaarPSI's authors do: that alone moves the score of small images by 3e-4.
_YIQ = (
    torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64),
    torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=torch.float64),
)


def mse(originals: Tensor, obfuscated: Tensor) -> Tensor:
    """Return the mean squared error over pixels and channels, in squared units of 0..255.

    Examples:
        >>> black = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
        >>> mse(black, black + 10)
        tensor([100.], dtype=torch.float64)
    """
    _check(originals, obfuscated, 1)
    return (originals.double() - obfuscated.double()).square().mean(dim=(1, 2, 3))


def dssim(originals: Tensor, obfuscated: Tensor) -> Tensor:
    """Return 1 - SSIM (Wang et al. 2004), 0 to 2: Gaussian window of 11 pixels, mean over the three channels.

    Raises:
        ValueError: When the images differ in shape or are smaller than the window.
    """
    _check(originals, obfuscated, SSIM_WINDOW)
    return _by_batch(
        lambda first, second: 1 - piq.ssim(first, second, SSIM_WINDOW, 1.5, 255, reduction="none", downsample=False),
        originals,
        obfuscated,
    )


def dhaar(originals: Tensor, obfuscated: Tensor) -> Tensor:
    """Return 1 - HaarPSI (Reisenhofer et al. 2018), 0 to 1, with the authors' constants and their subsampling.

    Raises:
        ValueError: When the images differ in shape or are smaller than 16 pixels.
    """
    _check(originals, obfuscated, HAAR_SMALLEST)
    recolour = torch.linalg.solve(*_YIQ).to(originals.device)

    def score(*pair: Tensor) -> Tensor:
        first, second = (torch.einsum("ij,njhw->nihw", recolour, images.double()).clamp_(0, 255) for images in pair)
        similarity: Tensor = piq.haarpsi(first, second, reduction="none", data_range=255)
        return 1 - similarity

    return _by_batch(score, originals, obfuscated)


def dphash(originals: Tensor, obfuscated: Tensor) -> Tensor:
    """Return the share of the 64 bits of the perceptual hash (pHash) that differ, 0 to 1."""
    _check(originals, obfuscated, 1)
    pairs = zip(_hashes(originals), _hashes(obfuscated), strict=True)
    return torch.tensor([(first - second) / 64 for first, second in pairs], dtype=torch.float64)


SCORES: dict[str, Score] = {"MSE": mse, "dSSIM": dssim, "pHash": dphash, "dHaarPSI": dhaar}
"""Scores of a pair of images, by the names that the paper gives them."""


def frechet_distance(originals: Tensor, obfuscated: Tensor, network: nn.Module | None) -> float:
    """Return the Frechet distance (FID) between two sets of images, by their features.

    Args:
        originals, obfuscated: (n, 3, height, width) uint8, at least two images each; the two sets need not correspond
            or be equally large.
        network: Maps uint8 images to (n, features): Inception v3 up to its last pooling for the FID of the literature,
            or the trained network at hand. Values of different networks do not compare.

    Raises:
        ValueError: When there is no network, its weights are missing, or a set has fewer than two images: of single
            images a covariance, and hence a FID, does not exist (`feature_distances` compares pairs).
    """
    if min(len(originals), len(obfuscated)) < 2:
        raise ValueError("FID compares two sets of at least two images; feature_distances compares single ones")
    return frechet(features_of(originals, network), features_of(obfuscated, network))


@torch.inference_mode()
def features_of(images: Tensor, network: nn.Module | None) -> Tensor:
    """Return what a network makes of (n, 3, height, width) uint8 images, (n, features) float64.

    Raises:
        ValueError: When there is no network, or its weights are missing.
    """
    trained = _with_weights(network)
    return torch.cat([trained(part).flatten(1).double().cpu() for part in torch.split(images, _BATCH)])


def frechet(first: Tensor, second: Tensor) -> float:
    r"""Return the Frechet distance between normal distributions with the moments of two sets of features.

    :math:`|m_1 - m_2|^2 + \mathrm{tr}(S_1 + S_2 - 2 (S_1 S_2)^{1/2})` (Heusel et al. 2017). The trace of the root is
    the nuclear norm of the product of the centred features, which is as small as the sets are.

    Args:
        first, second: (n, features) float64, n at least two.
    """
    moved = (first.mean(0) - second.mean(0)).square().sum()
    one, other = ((each - each.mean(0)) / (len(each) - 1) ** 0.5 for each in (first, second))
    shared = torch.linalg.matrix_norm(one @ other.T, "nuc")
    return max(0.0, float(moved + one.square().sum() + other.square().sum() - 2 * shared))


def frechet_interval(first: Tensor, second: Tensor, groups: int = 10) -> tuple[float, float]:
    """Return a 95 % interval of `frechet` over images: a jackknife that leaves out one group of pairs at a time.

    Args:
        first, second: (n, features), of corresponding images in random order, n at least as many as the groups.
    """
    parts = [torch.arange(len(first)) % groups != group for group in range(groups)]
    left = torch.tensor([frechet(first[part], second[part]) for part in parts], dtype=torch.float64)
    spread = 1.96 * float((left - left.mean()).square().sum() * (groups - 1) / groups) ** 0.5
    value = frechet(first, second)
    return max(0.0, value - spread), value + spread


@torch.inference_mode()
def feature_distances(originals: Tensor, obfuscated: Tensor, network: nn.Module | None) -> Tensor:
    """Return the squared distance between the features of corresponding images, (n,) float64.

    What a FID of two single images comes down to, for their covariances do not exist; the paper's FID column can only
    have been this, up to scale.

    Raises:
        ValueError: When there is no network, its weights are missing, or the images differ in shape.
    """
    _check(originals, obfuscated, 1)
    trained = _with_weights(network)
    return _by_batch(
        lambda first, second: (trained(first).flatten(1) - trained(second).flatten(1)).square().sum(dim=1),
        originals,
        obfuscated,
        convert=False,
    )


def _with_weights(network: nn.Module | None) -> nn.Module:
    """Return the network, ready to use, if it is there."""
    if network is None:
        raise ValueError("FID needs a trained network to take features from, and its weights are missing: none given")
    unloaded = [name for name, value in network.state_dict().items() if value.is_meta]
    if unloaded:
        raise ValueError(f"the network to take features from has no weights for {unloaded[0]}: load them first")
    return network.eval()


def _hashes(images: Tensor) -> list[imagehash.ImageHash]:
    return [imagehash.phash(Image.fromarray(image)) for image in to_pictures(images)]


def _by_batch(score: Score, originals: Tensor, obfuscated: Tensor, *, convert: bool = True) -> Tensor:
    if not len(originals):
        return torch.empty(0, dtype=torch.float64)
    pairs = zip(torch.split(originals, _BATCH), torch.split(obfuscated, _BATCH), strict=True)
    scores = [score(*((part.float() for part in pair) if convert else pair)).double().cpu() for pair in pairs]
    return torch.cat(scores)


def _check(originals: Tensor, obfuscated: Tensor, smallest: int) -> None:
    if originals.shape != obfuscated.shape or originals.dim() != 4 or originals.shape[1] != 3:
        raise ValueError(
            f"scores compare (n, 3, height, width) images one to one, "
            f"not {tuple(originals.shape)} and {tuple(obfuscated.shape)}"
        )
    if min(originals.shape[2:]) < smallest:
        raise ValueError(f"this score needs images of at least {smallest} pixels a side, not {originals.shape[2:]}")
