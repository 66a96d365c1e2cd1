"""How much of an image another one shows: SSIM, PSNR and L1, and SSIM with the negative.

Minimising SSIM alone teaches a defence to paint photographic negatives, which people recognise as well: the score
falls below zero, and the picture is still visible. So what a picture discloses is the larger SSIM over the image
and its negative.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Structural similarity of each image with its counterpart (Wang et al. 2004), differentiable, in single precision.

    Gaussian window of 11 pixels with standard deviation 1.5, averaged over colours and over the positions where the
    window fits.

    Args:
        images, others: (n, 3, height, width), in 0..1, at least 11 pixels wide and high.

    Returns:
        (n,) float32, in -1..1; 1 for equal images.

    Examples:
        >>> image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        >>> round(ssim(image, image).item(), 6), ssim(image, 1 - image).item() < -0.9
        (1.0, True)
    """
    import piq  # noqa: PLC0415  (it brings torchvision, two seconds that others need not wait for)

    with torch.autocast(images.device.type, enabled=False):
        similarity: Tensor = piq.ssim(
            images.float(), others.float(), data_range=1.0, downsample=False, reduction="none"
        )
    return similarity


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each (n, 3, height, width) image in 0..1 with its counterpart, (n,) in decibels."""
    import piq  # noqa: PLC0415  (as above)

    ratio: Tensor = piq.psnr(images, others, data_range=1.0, reduction="none")
    return ratio


def l1(images: Tensor, others: Tensor) -> Tensor:
    """Mean absolute difference of each (n, 3, height, width) image in 0..1 from its counterpart, (n,)."""
    return (images - others).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Disclosure:
    """What reconstructions show of the originals, each number a mean over the images.

    Attributes:
        l1, psnr, ssim: Between reconstruction and original.
        ssim_of_negative: SSIM of the reconstruction's negative with the original.
    """

    l1: float
    psnr: float
    ssim: float
    ssim_of_negative: float

    @property
    def either_polarity(self) -> float:
        """The larger SSIM over the image and its negative: what a person sees."""
        return max(self.ssim, self.ssim_of_negative)


@torch.inference_mode()
def disclosure(reconstructions: Tensor, originals: Tensor) -> Disclosure:
    """Score (n, 3, height, width) reconstructions in 0..1 against their originals.

    Examples:
        >>> image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        >>> found = disclosure(1 - image, image)
        >>> found.ssim < 0, round(found.either_polarity, 4)
        (True, 1.0)
    """
    return Disclosure(
        *(
            value.double().mean().item()
            for value in (
                l1(reconstructions, originals),
                psnr(reconstructions, originals),
                ssim(reconstructions, originals),
                ssim(1 - reconstructions, originals),
            )
        )
    )
