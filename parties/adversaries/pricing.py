"""Sellers that lie about prices, or withhold pictures to raise them.

Under the default mechanisms no single picture gains by a false price. But a seller of several pictures can raise the
payments for some by withholding others.
"""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le

from parties.adversaries.adversary import adversary
from parties.adversaries.collusion import Blackboard
from parties.purchase.seller import Seller
from protocol.messages.purchase import Bids, CallForBids

Share = Annotated[float, Gt(0), Le(1)]


@adversary(
    "overbidding",
    knowledge="nothing beyond its role",
    profit="higher payments, where winners are paid what they ask; none under a truthful mechanism",
)
class Overbidding(Seller):
    """Asks for more than its pictures are worth to it."""

    factor: Annotated[float, Ge(1), Le(1000)] = 1.5

    def price(self, image: int) -> int:
        """Ask for a multiple of the cost."""
        return math.ceil(self.factor * self.costs[image])


@adversary(
    "shading",
    knowledge="nothing beyond its role",
    profit="wins that its cost would not win, where winners share a fixed sum; a loss under a truthful mechanism",
)
class Shading(Seller):
    """Asks for less than its pictures are worth to it."""

    factor: Share = 0.5

    def price(self, image: int) -> int:
        """Ask for a part of the cost."""
        return max(1, math.floor(self.factor * self.costs[image]))


@adversary(
    "withholding",
    knowledge="nothing beyond its role",
    profit="higher payments for the pictures that it offers: mechanisms are truthful per picture, not per seller",
)
class Withholding(Seller):
    """Offers only the cheapest of its matching pictures, so that the others do not compete with them."""

    offered: Share = 0.5

    def bid(self, call: CallForBids) -> Bids:
        """Bid honestly, and leave out the dearer ones."""
        bids = super().bid(call)
        ranked = sorted(bids.bids, key=lambda bid: bid.bid.price)
        return bids.model_copy(update={"bids": tuple(ranked[: math.ceil(self.offered * len(ranked))])})


@adversary(
    "ring",
    knowledge="what the pictures of all members are worth to them",
    profit="higher payments for the members that offer, at the buyer's expense",
)
class Ring(Seller):
    """Agrees with the other members that only their cheapest pictures are offered at all."""

    offered: Share = 0.5

    def join(self, board: Blackboard) -> None:
        """Post the costs of its pictures."""
        self.board = board
        for cost in self.costs:
            board.post("costs", cost)

    def bid(self, call: CallForBids) -> Bids:
        """Bid honestly, without the pictures that the ring withholds."""
        costs = sorted(cost for cost in self.board.read("costs") if isinstance(cost, int))
        limit = costs[math.ceil(self.offered * len(costs)) - 1]
        bids = super().bid(call)
        return bids.model_copy(update={"bids": tuple(bid for bid in bids.bids if bid.bid.price <= limit)})
