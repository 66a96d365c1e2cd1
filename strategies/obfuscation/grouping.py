"""Which images are mixed with which in one epoch (Raynal et al. 2020, sections 4.4 and 5.1)."""

import torch
from torch import Tensor

from strategies.privacy.stream import Stream


def group(labels: Tensor, images: int, stream: Stream, *, intra_class: bool = False, repeat: bool = False) -> Tensor:
    """Draw who is mixed with whom in one epoch.

    Args:
        labels: (n,) int64, what the images show.
        images: Images per mixture, k.
        stream: Of random numbers.
        intra_class: Whether only images of one class are mixed with each other.
        repeat: False: each image is used at most once per epoch (section 4.4), which gives n / k mixtures; up to k - 1
            images, of each class when `intra_class`, sit the epoch out. True: each image is used once in each of the k
            roles, so that there are n mixtures (the permutations of section 5.1); the paper asks for the one and trains
            with the other.

    Returns:
        (m, k) int64; indices of images, those of one mixture different from each other, mixtures in random order.

    Raises:
        ValueError: When a class, or the whole set, has fewer than k images.

    Examples:
        >>> pairs = group(torch.zeros(6, dtype=torch.int64), 2, Stream(bytes(32)))
        >>> pairs.shape, pairs.flatten().sort().values.tolist()
        (torch.Size([3, 2]), [0, 1, 2, 3, 4, 5])
    """
    if images < 1:
        raise ValueError(f"a mixture takes at least one image, not {images}")
    classes = torch.unique(labels).tolist() if intra_class else [None]
    parts = []
    for name in classes:
        members = torch.arange(len(labels)) if name is None else (labels == name).nonzero()[:, 0]
        if len(members) < images:
            whose = "there are" if name is None else f"class {name} has"
            raise ValueError(f"{whose} {len(members)} images and a mixture takes {images} different ones")
        order = members[torch.from_numpy(stream.permutation(len(members)))]
        if repeat:
            # Shifts of one random cycle: no image ever meets itself.
            parts.append(torch.stack([order.roll(-role) for role in range(images)], dim=1))
        else:
            parts.append(order[: len(order) // images * images].reshape(-1, images))
    groups = torch.cat(parts)
    return groups[torch.from_numpy(stream.permutation(len(groups)))]
