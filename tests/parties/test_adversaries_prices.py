"""Lies about prices, pictures held back, pictures sold twice: what they gain, on instances to check by hand.

All pictures match equally well for the mechanism of quantity: the k cheapest win with k the largest number for which k
times the k-th price is within the budget B; each is paid min(B / k, the next price).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cheating import Costs, market, surplus
from conftest import Play, Played, small

from parties.adversaries import ADVERSARIES
from parties.adversaries.bidding import Cloning
from parties.adversaries.pricing import Overbidding, Ring, Shading, Withholding
from parties.purchase.auction import Auction, Auctioneer, by_the_rules
from parties.purchase.seller import Seller
from strategies.mechanisms.selection import Selection


def play_market(
    play: Play,
    *sellers: tuple[type[Seller], Costs],
    budget: float,
    quality: str = "quantity",
    auctioneer: Auctioneer = by_the_rules,
) -> Played:
    cloud = {"privacy": "level1", "commission": 0.0}
    scenario = small(cloud=cloud, buyer={"budget": budget, "quality": quality}, sellers={"noise": 0.0})
    return play(
        scenario,
        change_world=market(*sellers),
        change_cloud=lambda cloud: replace(cloud, auctioneer=auctioneer),
    )


SINGLE = (100, 150, 200, 300, 500, 700)


@pytest.mark.parametrize("quality", ["quantity", "matching", "diversity"])
@pytest.mark.parametrize("cheat", [Overbidding, Shading])
@pytest.mark.parametrize("liar", [1, 4])
def test_a_false_price_never_pays(play_purchase: Play, quality: str, cheat: type[Seller], liar: int) -> None:
    def gained(role: type[Seller]) -> int:
        sellers = [(role if index == liar else Seller, (cost,)) for index, cost in enumerate(SINGLE)]
        return surplus(play_market(play_purchase, *sellers, budget=10.0, quality=quality), liar)

    assert gained(cheat) <= gained(Seller)


def pay(rule: Any) -> Auctioneer:
    """Another way to pay: the three cheapest, by this rule."""

    def auctioneer(auction: Auction) -> Selection:
        candidates, prices = by_the_rules(auction).candidates, auction.offers.prices
        winners = np.sort(candidates[np.argsort(prices[candidates], kind="stable")[:3]])
        return Selection(candidates, winners, rule(prices[winners], auction.budget))

    return auctioneer


def test_overbidding_pays_where_winners_are_paid_what_they_ask(play_purchase: Play) -> None:
    first_price = pay(lambda prices, budget: prices)
    others = [(Seller, (cost,)) for cost in SINGLE[1:]]
    honest, cheat = (
        play_market(play_purchase, (role, (100,)), *others, budget=10.0, auctioneer=first_price)
        for role in (Seller, Overbidding)
    )
    assert surplus(honest, 0) == 0 < surplus(cheat, 0) == 50


def test_shading_pays_where_winners_share_the_budget(play_purchase: Play) -> None:
    shared = pay(lambda prices, budget: np.full(3, budget // 3))
    others = [(Seller, (cost,)) for cost in (*SINGLE[:3], *SINGLE[4:])]
    honest, cheat = (
        play_market(play_purchase, (role, (300,)), *others, budget=10.0, auctioneer=shared)
        for role in (Seller, Shading)
    )
    assert surplus(honest, 0) == 0 < surplus(cheat, 0) == 33


def test_withholding_a_picture_pays_a_seller_of_two(play_purchase: Play) -> None:
    """A seller of two pictures of cost 1 beside one of cost 10, B = 10: 8 becomes 9."""
    honest, cheat = (
        play_market(play_purchase, (role, (100, 100)), (Seller, (1000,)), budget=10.0) for role in (Seller, Withholding)
    )
    assert (surplus(honest, 0), surplus(cheat, 0)) == (800, 900)
    assert cheat.outcome.verified < honest.outcome.verified


def test_withholding_leaves_out_the_dearer_ones(play_purchase: Play) -> None:
    played = play_market(play_purchase, (Withholding, (400, 100, 300, 200)), (Seller, (1000,)), budget=10.0)
    assert sorted(offer.bid.bid.price for offer in played.record.offers) == [100, 200, 1000]


def test_a_ring_raises_what_its_cheapest_member_is_paid(play_purchase: Play) -> None:
    members: tuple[Costs, ...] = ((100,), (150,))
    honest, cheat = (
        play_market(play_purchase, *((role, costs) for costs in members), (Seller, (1000,)), budget=10.0)
        for role in (Seller, Ring)
    )
    assert (surplus(honest, 0, 1), surplus(cheat, 0, 1)) == (750, 900)
    paid = {offer.seller: offer.payment for offer in cheat.record.winners}
    assert paid == {3: 1000}


def test_a_ring_of_one_is_left_alone_where_quality_cannot_do_without_it(play_purchase: Play) -> None:
    """Competition blunts a ring: with enough others on offer, holding back only loses sales."""
    others = [(Seller, (cost,)) for cost in (120, 130, 140, 150)]
    honest, cheat = (
        play_market(play_purchase, (role, (100,)), (role, (110,)), *others, budget=5.0) for role in (Seller, Ring)
    )
    assert surplus(cheat, 0, 1) < surplus(honest, 0, 1)


def test_a_clone_is_paid_again(play_purchase: Play) -> None:
    """Costs 1, 4, 4 and B = 12: the first seller gains 3, and 7 with a copy of its picture."""
    twice = ADVERSARIES["cloning"].cast(copies=2)
    assert issubclass(twice, Cloning)
    honest, cheat = (
        play_market(play_purchase, (role, (100,)), (Seller, (400,)), (Seller, (400,)), budget=12.0)
        for role in (Seller, twice)
    )
    assert (surplus(honest, 0), surplus(cheat, 0)) == (300, 700)
