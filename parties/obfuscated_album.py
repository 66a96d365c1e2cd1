"""Obfuscation as a step before any workflow: a party that holds such an album shows no picture as it is."""

import numpy as np
import torch

from parties.album import Album, Pixels
from parties.outsource.pictures import resized
from protocol.signing import derive
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.secret_generator import secret_generator


class ObfuscatedAlbum:
    """An album whose pictures are obfuscated whenever they are opened, each always in the same way.

    Where the technique mixes, a picture is mixed with others of the album, drawn at random and brought to its size; it
    has the first weight itself. Everything that a party makes of its album, features, commitments and deliveries, is
    then made of obfuscated pictures.

    Parameters
    ----------
    album : Album
        The pictures as they are.
    obfuscation : Obfuscation
        The technique and its setting.
    secret : bytes
        The party's; it decides who is mixed with whom, and the noise.

    Examples
    --------
    >>> album = [np.full((16, 16, 3), shade, np.uint8) for shade in (200, 40)]
    >>> ObfuscatedAlbum(album, Obfuscation("mix"), bytes(32))[0][0, 0].tolist()
    [160, 160, 160]
    """

    def __init__(self, album: Album, obfuscation: Obfuscation, secret: bytes) -> None:
        self._album, self._obfuscation, self._secret = album, obfuscation, secret

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._album)

    def __getitem__(self, index: int) -> Pixels:
        """Open a picture and obfuscate it.

        Raises
        ------
        UnreadableImage
            When it, or one to mix it with, cannot be opened.
        ValueError
            When the album has too few pictures to mix, or the setting does not suit the picture's size.
        """
        picture = self._album[index]
        mixed = self._obfuscation.images
        if len(self) < mixed:
            raise ValueError(f"{self._obfuscation.technique} mixes {mixed} pictures, and the album has {len(self)}")
        draws = secret_generator(derive(self._secret, "obfuscated album", str(index)))
        others = [place for place in torch.randperm(len(self), generator=draws).tolist() if place != index]
        size = picture.shape[0], picture.shape[1]
        images = [picture, *(resized(self._album[place], *size) for place in others[: mixed - 1])]
        sources = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)[None]
        labels = torch.zeros(1, mixed, dtype=torch.int64)
        shown = obfuscate(self._obfuscation, sources, labels, 1, draws).pictures[0]
        return shown.permute(1, 2, 0).contiguous().numpy()
