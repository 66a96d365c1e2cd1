"""Slightly changed copies of pictures."""

import numpy as np

from parties.album import Album, Pixels


class Copies:
    """Copies of an album, each picture changed by at most two grey levels a channel.

    No two copies of a picture are the same to the byte, so they commit to different pixels.

    Args:
        original: What is copied; picture i of the copies shows picture ``i % len(original)`` of it.
        number: How many copies of each picture, the first one changed too.
        seed: The changes derive from it.

    Examples:
        >>> copies = Copies([np.zeros((2, 2, 3), np.uint8)], 3, bytes(32))
        >>> len(copies), int(copies[2].max()) <= 2, (copies[0] != copies[1]).any()
        (3, True, np.True_)
    """

    def __init__(self, original: Album, number: int, seed: bytes) -> None:
        self.original = original
        self._number = number
        self._seed = int.from_bytes(seed)

    def __len__(self) -> int:
        return self._number * len(self.original)

    def __getitem__(self, index: int) -> Pixels:
        picture = self.original[index % len(self.original)]
        change = np.random.default_rng([self._seed, index]).integers(-2, 3, picture.shape)
        copy: Pixels = np.clip(picture + change, 0, 255).astype(np.uint8)
        return copy
