"""Buyers that cheat."""

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
