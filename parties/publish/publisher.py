"""The owner of pictures, who adds noise before publication."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from parties.album import Album, Pixels, readable
from parties.party import Party, step
from protocol.crypto.secret_parts import seal
from protocol.messages.publish import CallForPictures, Publication
from strategies.dp_images import P3, P3JPEG, Mechanism, mechanism
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream


class Publisher(Party):
    """A party that publishes pictures.

    1. It takes at most as many pictures as the call says, and as it wants to publish: each picture reveals more of it.
    2. It adds noise that derives from its secret, the picture and the mechanism with its settings. So there is one
       publication of each picture for each of these, whatever name it is asked for by and however often: nobody can
       average the noise away.

    Args:
        secret: 32 bytes.
        album: Its pictures, all of one size.
        labels: What they show, published with them.
        most: How many it publishes.
    """

    role = "publisher"

    def __init__(self, secret: bytes, album: Album, labels: Sequence[int], most: int) -> None:
        super().__init__(secret)
        self.album = album
        self.labels = labels
        self.most = most

    @step("publish")
    def publish(self, call: CallForPictures) -> Publication:
        """Publish pictures."""
        chosen = self.chosen(call)
        pictures = to_tensor([picture for _, picture in chosen])
        used = mechanism_of(call)
        published = torch.cat(
            [used.publish(picture[None].contiguous(), self.noise(call, used, picture)) for picture in pictures]
        )
        key = self.friends_key(call.method)
        return Publication(
            pictures=to_pictures(published),
            labels=np.array([self.labels[index] for index, _ in chosen], dtype=np.int64),
            sealed=tuple(seal(key, used.secret(picture)) for _, picture in chosen)
            if isinstance(used, P3 | P3JPEG)
            else (),
        )

    def chosen(self, call: CallForPictures) -> list[tuple[int, Pixels]]:
        """Return the pictures to publish, with their positions.

        Raises:
            ValueError: When none can be opened.
        """
        chosen = list(islice(readable(self.album), min(self.most, call.most)))
        if not chosen:
            raise ValueError("none of the pictures can be opened")
        return chosen

    def friends_key(self, method: str) -> bytes:
        """Return the key of a publication's sealed parts, 32 bytes, which friends get by other means."""
        return self.derive("friends", method)

    def noise(self, call: CallForPictures, used: Mechanism, picture: Tensor) -> Stream:
        """Return the stream of a picture's noise: the same for the same picture, mechanism and settings.

        Args:
            picture: (channels, height, width) uint8
        """
        return Stream(self.derive("publish", *question(used, picture)))


def mechanism_of(call: CallForPictures) -> Mechanism:
    """Return the mechanism that a call asks for.

    Raises:
        ValueError: When there is no such mechanism, or a setting is none of its own, or out of range.
    """
    return mechanism(
        call.mechanism, **{each.name: int(each.value) if each.whole else each.value for each in call.settings}
    )


def question(used: Mechanism, picture: Tensor) -> tuple[str, str, bytes]:
    """Return all that a published picture depends on, beside the owner's secret."""
    pixels = picture.numpy()
    return repr(used), repr(pixels.shape), pixels.tobytes()
