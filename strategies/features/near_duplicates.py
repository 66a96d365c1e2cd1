"""Near-duplicates inside one album: re-encoded, slightly resized or brightened copies of a picture.

The Hamming distance between perceptual hashes (pHash, 12 x 12 bits) decides. In a large album the hashes are cut into
shingles, and MinHash locality-sensitive hashing proposes the pairs to look at; in a small one all are looked at.
"""

import functools
from collections.abc import Sequence

import imagehash
import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# Of 144 bits, a copy at JPEG quality 70 changes at most 12 and most often 2. No two of the 898 traded digits (8 x 8
# scans, the hard case) differ in fewer than 10, and portraits of one breed of pets differ in 24 or more.
_HASH_SIDE = 12
_MOST_CHANGED_BITS = 9

# Nine changed bits leave at least 27 of 36 shingles equal: a Jaccard similarity of 27/45, at which 32 bands of two rows
# miss one pair in a million.
_SHINGLE_BITS = 4
_BANDS, _ROWS = 32, 2
_SCHEME = "affine32"
_SMALL = 100
"""Up to this many pictures, comparing all is faster than setting up the index."""


def distinct(images: Sequence[Pixels]) -> list[int]:
    """Return the indices of the pictures to keep: the first of each group of near-duplicates.

    Args:
        images: Each (height, width, 3), RGB pictures of any size.

    Returns:
        Indices in increasing order. No two of these pictures are near-duplicates, and each picture left out is a
        near-duplicate of an earlier one that is kept.

    Examples:
        >>> noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
        >>> darker = (noise[0] * 0.9).astype(np.uint8)
        >>> distinct([noise[0], noise[1], darker, noise[1]])
        [0, 1]
    """
    if len(images) < 2:
        return list(range(len(images)))
    hashes = np.stack([imagehash.phash(Image.fromarray(image), _HASH_SIDE).hash.ravel() for image in images])
    sketches = _sketches(hashes) if len(images) > _SMALL else []
    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS)) if sketches else None
    kept: list[int] = []
    for position, own in enumerate(hashes):
        rivals = kept if index is None else index.query(sketches[position])
        if (hashes[rivals] != own).sum(1).min(initial=hashes.shape[1]) > _MOST_CHANGED_BITS:
            kept.append(position)
            if index is not None:
                index.insert(position, sketches[position])
    return kept


def _sketches(hashes: NDArray[np.bool_]) -> list[MinHash]:
    """Return the MinHash of each hash's set of shingles (place, four bits there)."""
    table = _shingle_sketches()
    bits = hashes.reshape(len(hashes), len(table), _SHINGLE_BITS)
    shingles = bits @ (1 << np.arange(_SHINGLE_BITS))
    values = table[np.arange(len(table)), shingles].min(1)
    return [MinHash(hashvalues=row, scheme=_SCHEME) for row in values]


@functools.cache
def _shingle_sketches() -> NDArray[np.uint32]:
    """Return the MinHash values of every shingle alone, shape (places, 2^bits, permutations).

    The MinHash of a set is the minimum over its members, so these are the only hashes that are computed.
    """
    places = _HASH_SIDE**2 // _SHINGLE_BITS
    names = [[f"{place}:{bits}".encode()] for place in range(places) for bits in range(1 << _SHINGLE_BITS)]
    sketches = MinHash.bulk(names, num_perm=_BANDS * _ROWS, scheme=_SCHEME)
    return np.stack([sketch.hashvalues for sketch in sketches]).reshape(places, 1 << _SHINGLE_BITS, -1)
