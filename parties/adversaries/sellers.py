"""Sellers that cheat."""

import numpy as np
from numpy.typing import NDArray

from parties.album import Pixels
from parties.seller import Seller
from protocol.messages.purchase import CallForBids
from strategies.signatures import on_lattice


class IrrelevantImages(Seller):
    """Bids every picture it has, whether it matches the request or not.

    Knowledge: its own album, the samples. Profit: payment for pictures that nobody asked for, where
    the cloud does not decide for itself which images match (CrowdBuy, section II.C).
    """

    def choose(self, call: CallForBids, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offer everything."""
        valid = features.shape[1] > 2 or on_lattice(features)
        return np.flatnonzero(np.broadcast_to(valid, len(features))).astype(np.int64)


class SwappedDelivery(Seller):
    """Bids a picture that matches, and delivers another one.

    Knowledge: its own album. Profit: payment without parting with the picture, where the buyer does
    not check what arrives (CrowdBuy, section II.C).
    """

    def picture(self, image: int) -> Pixels:
        """Deliver noise of the right size."""
        wanted = self.album[image]
        return self.generator("swap", str(image)).integers(0, 256, wanted.shape, dtype=np.uint8)
