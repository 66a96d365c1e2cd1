"""Batches of sealed images, so that memory stays bounded for pictures of any size."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from parties.purchase.offer import Offer

WAVE_BYTES = 64_000_000
"""About how many bytes of sealed images are in flight at once."""
PARCEL_BYTES = 32_000_000
"""Most bytes of sealed images in one message to the buyer; a single image may be larger."""
FIRST_WAVE, MAX_WAVE = 8, 4096
"""Deliveries asked for at once: before their size is known, and at most."""


def next_wave(pending: Sequence[Offer], size: int) -> dict[int, Offer]:
    """Pick the first offer of each of the first `size` sellers."""
    wave: dict[int, Offer] = {}
    for offer in pending:
        if offer.seller not in wave and len(wave) < size:
            wave[offer.seller] = offer
    return wave


def waves_left(pending: Sequence[Offer], size: int) -> int:
    """Return the number of waves for these offers, if the first has this size and each next one twice as many.

    Examples:
        >>> waves_left([], 8)
        0
    """
    most = max(Counter(offer.seller for offer in pending).values(), default=0)
    return max(most, math.ceil(math.log2(1 + len(pending) / size)))


def next_size(size: int, delivered: int, total: int) -> int:
    """Return the size of the next wave: what fits in `WAVE_BYTES` by the mean so far, at most twice the last.

    Args:
        size: Images in the last wave.
        delivered, total: Images delivered so far, and their bytes.

    Examples:
        >>> next_size(8, 8, 8 * 12_000), next_size(8, 8, 8 * 32_000_000)
        (16, 2)
    """
    return max(1, min(MAX_WAVE, 2 * size, WAVE_BYTES * delivered // total)) if delivered else size


def parcels(delivered: Sequence[Offer]) -> Iterator[list[Offer]]:
    """Pack what was delivered into parcels of at most `PARCEL_BYTES`, or one image."""
    packed: list[Offer] = []
    size = 0
    for offer in delivered:
        assert offer.receipt is not None
        length = offer.receipt.receipt.length
        if packed and size + length > PARCEL_BYTES:
            yield packed
            packed, size = [], 0
        packed.append(offer)
        size += length
    if packed:
        yield packed
