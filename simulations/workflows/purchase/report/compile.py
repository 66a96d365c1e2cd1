"""From a finished purchase to its report."""

from collections import Counter
from itertools import chain, islice
from typing import Any

import numpy as np

from parties.purchase.offer import Offer
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import CLOUD, account
from protocol.flower import FIRST_NODE_ID
from simulations.reports.words import party_name
from simulations.workflows.purchase.report.model import AuctionAccount, CheatAccount, Dispute, PartyAccount
from simulations.workflows.purchase.report.money import cheat_account
from simulations.workflows.purchase.scoring import ScoredPurchase, damage_by_buyer, damage_by_sellers
from simulations.workflows.purchase.words import summary, verification
from strategies.mechanisms import BrokenAward, Market, Mechanism
from strategies.mechanisms.auditing import Best, Case, best_of
from strategies.mechanisms.auditing.deviations import cloning, withholding
from strategies.mechanisms.selection import matching_offers

DEVIATIONS = 24
"""Ways to withhold or copy an image that are tried after a purchase."""


def findings(scored: ScoredPurchase) -> dict[str, Any]:
    """Return what the report of a purchase says beside what all reports say and what was learned."""
    parties = _accounts(scored)
    return {
        "summary": summary(scored.outcome),
        "outcome": scored.outcome,
        "auction": _auction(scored),
        "parties": parties,
        "adversaries": _adversaries(scored, parties),
        "disputes": _disputes(scored.record),
        "verification": verification(scored),
        "notes": scored.world.notes,
    }


def _auction(scored: ScoredPurchase) -> AuctionAccount:
    rule, wish, winners = scored.scenario.buyer.rule, scored.world.buyer, scored.record.winners
    best = _best_of_several(scored.record, rule)
    asked, awarded = sum(offer.bid.bid.price for offer in winners), sum(offer.payment for offer in winners)
    return AuctionAccount(
        mechanism=rule.name,
        summary=rule.summary,
        guarantee=rule.guarantee,
        truthful=rule.truthful and not rule.manipulable,
        agents=wish.agents,
        reserve=wish.ceiling,
        asked=asked,
        awarded=awarded,
        overpayment=round(awarded / asked - 1, 9) if asked else None,
        tried=best.tried,
        gain=best.gain,
        by=best.kind,
    )


def _best_of_several(record: PurchaseRecord, rule: Mechanism) -> Best:
    """Try what sellers with the most images that match could have gained by withholding or copying one."""
    auction = record.auction
    if auction is None or auction.bundles or not record.winners:
        return Best(0, "", 0)
    candidates, value = matching_offers(
        auction.offers, auction.targets, quality=auction.quality, radius=auction.radius, reach=auction.reach
    )
    prices, ranks = auction.offers.prices[candidates], auction.ranks[candidates]
    ceilings = np.full(len(candidates), auction.budget if auction.ceiling is None else auction.ceiling)
    case = Case(Market(value, prices, auction.budget, ranks, ceilings), auction.sellers[candidates])
    owners, images = np.unique(case.owners, return_counts=True)
    several = owners[np.argsort(-images, kind="stable")][: np.count_nonzero(images > 1)]
    deviations = (each for owner in several.tolist() for each in chain(withholding(case, owner), cloning(case, owner)))
    try:
        return best_of(rule, case, islice(deviations, DEVIATIONS))
    except BrokenAward:  # on a market that was not played
        return Best(0, "", 0)


def _accounts(scored: ScoredPurchase) -> list[PartyAccount]:
    world, record, ledger = scored.world, scored.record, scored.ledger
    balances = ledger.balances()
    deposits = Counter[str]()
    for entry in ledger.entries():
        if entry.memo == "deposit" and entry.amount > 0:
            deposits[entry.account] += entry.amount
    offers: dict[int, list[Offer]] = {}
    for offer in record.offers:
        offers.setdefault(offer.seller, []).append(offer)
    costs = Counter[int]()
    for trade in scored.trades:
        if trade.offer.paid:
            costs[trade.offer.seller] += trade.held.party.costs[trade.image]
    failures: dict[int, list[str]] = {}
    for failure in record.failures:
        failures.setdefault(failure.node_id, []).append(failure.line)

    def line(node_id: int, name: str, adversary: str | None, own: list[Offer]) -> PartyAccount:
        held = account(name.partition("-")[0], node_id) if name != CLOUD else CLOUD
        return PartyAccount(
            party=name,
            adversary=adversary,
            bids=len(own),
            selected=sum(offer.won for offer in own),
            sold=sum(offer.paid for offer in own),
            deposit=deposits[held],
            balance=balances[held],
            cost=costs[node_id],
            failures=failures.get(node_id, []),
        )

    lines = [line(record.buyer, "buyer", world.buyer_adversary, []), line(0, CLOUD, None, [])]
    for node_id in sorted(offers.keys() | (failures.keys() - {record.buyer})):
        held = world.sellers[node_id - FIRST_NODE_ID - 1]
        lines.append(line(node_id, party_name(node_id), held.adversary, offers.get(node_id, [])))
    return lines


def _adversaries(scored: ScoredPurchase, parties: list[PartyAccount]) -> dict[str, CheatAccount]:
    """Add up the parties that played each cheat of the scenario, and those that nobody came to play."""
    world = scored.world
    cheats = Counter(held.adversary for held in world.sellers)
    cheats.update([world.buyer_adversary])
    return {
        name: cheat_account(
            [party for party in parties if party.adversary == name],
            cheats[name],
            damage_by_buyer(scored) if name == world.buyer_adversary else damage_by_sellers(scored, name),
        )
        for name in dict.fromkeys([*scored.scenario.adversaries, *sorted(name for name in cheats if name)])
    }


def _disputes(record: PurchaseRecord) -> list[Dispute]:
    return [
        Dispute(
            party=f"seller-{offer.seller}",
            complaint=offer.complaint.reason,
            fault=str(offer.verdict.fault),
            reason=offer.verdict.reason,
            payment=offer.payment,
        )
        for offer in record.winners
        if offer.complaint is not None and offer.verdict is not None
    ]
