"""Second implementations of the privacy scores, from their papers."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm
from scipy.signal import convolve2d

Picture = NDArray[np.uint8]
Plane = NDArray[np.float64]


def same(image: Plane, kernel: Plane) -> Plane:
    """Convolve as MATLAB does, whose centre of an even kernel is the other one."""
    return np.rot90(convolve2d(np.rot90(image, 2), np.rot90(kernel, 2), mode="same"), 2)


def haarpsi(first: Picture, second: Picture, c: float = 30, alpha: float = 4.2) -> float:
    """Reisenhofer et al. 2018, equations 8 to 14, with (height, width, 3) images."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    planes = [
        [same(plane, np.ones((2, 2)) / 4)[::2, ::2] for plane in np.moveaxis(image @ to_yiq.T, 2, 0)]
        for image in (first, second)
    ]

    def alike(a: Plane, b: Plane) -> Plane:
        return (2 * a * b + c) / (a**2 + b**2 + c)

    def wavelet(image: Plane, scale: int, across: bool) -> Plane:
        kernel = np.full((2**scale, 2**scale), 2.0**-scale)
        kernel[: 2 ** (scale - 1)] *= -1
        return np.abs(same(image, kernel.T if across else kernel))

    similarity, weights = [], []
    for across in (False, True):
        fine = [alike(*(wavelet(image[0], scale, across) for image in planes)) for scale in (1, 2)]
        similarity.append(sum(fine) / 2)
        weights.append(np.maximum(*(wavelet(image[0], 3, across) for image in planes)))
    chroma = [alike(*(np.abs(same(image[channel], np.ones((2, 2)) / 4)) for image in planes)) for channel in (1, 2)]
    similarity.append(sum(chroma) / 2)
    weights.append(sum(weights) / 2)
    mean = np.sum(np.array(weights) / (1 + np.exp(-alpha * np.array(similarity)))) / np.sum(weights)
    return float((np.log(mean / (1 - mean)) / alpha) ** 2)


def phash_distance(first: Picture, second: Picture) -> float:
    """Zauner 2010: the 8 x 8 lowest frequencies of 32 x 32 grey pixels against their median."""
    places = np.arange(32)
    cosines = np.cos(np.pi * (2 * places + 1) * places[:8, None] / 64)
    bits = []
    for image in (first, second):
        grey = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
        low = cosines @ grey @ cosines.T
        bits.append(low > np.median(low))
    return float((bits[0] != bits[1]).mean())


def frechet(first: Plane, second: Plane) -> float:
    """Heusel et al. 2017, equation 6, from (n, features) features."""
    means = np.sum((first.mean(0) - second.mean(0)) ** 2)
    one, other = np.cov(first.T), np.cov(second.T)
    return float(means + np.trace(one + other - 2 * np.real(sqrtm(one @ other))))
