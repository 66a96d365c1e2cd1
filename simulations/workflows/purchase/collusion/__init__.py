"""What the paper assumes away: "We assume that the cloud will not collude with any user" (CrowdBuy, section II.B).

The cloud pools what it received with a party, meddles with what it passes on, or favours its friends; what that buys is
counted.
"""

from simulations.workflows.purchase.collusion.favours import Favouring, favoured, friends
from simulations.workflows.purchase.collusion.linking import link, linked
from simulations.workflows.purchase.collusion.substituted import substituted

__all__ = ["Favouring", "favoured", "friends", "link", "linked", "substituted"]
