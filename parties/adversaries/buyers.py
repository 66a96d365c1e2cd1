"""Buyers that cheat."""

import numpy as np

from parties.album import Pixels
from parties.buyer import Buyer
from protocol.arbitration import Deal


class FalseComplaint(Buyer):
    """Complains about every good image, hoping to keep it and its money.

    Knowledge: what every buyer knows. Profit: refunds for images that it has opened, where
    complaints are believed (CrowdBuy, section II.C).
    """

    def judge(self, number: int, deal: Deal, private_key: bytes, *, check_feature: bool) -> str:
        """Keep the image, and complain all the same."""
        super().judge(number, deal, private_key, check_feature=check_feature)
        return "this is not what was offered"


class AnotherImage(FalseComplaint):
    """Complains about every good image, and shows the cloud another one as the one it got.

    Knowledge: what every buyer knows. Profit: refunds for images that it has opened, where the cloud goes by the image
    that the buyer sends (CrowdBuy, step 11); nothing ties that image to the ciphertext whose hash was stored.
    """

    def evidence(self, number: int) -> Pixels:
        """Send noise."""
        return self.generator("evidence", str(number)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
