"""From a finished purchase to its report."""

from collections import Counter
from collections.abc import Mapping

from parties.purchase.offer import Offer
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import CLOUD, account
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import Privacy
from simulations.grids import worker_count
from simulations.purchase.report.damage import damage_by_buyer, damage_by_sellers
from simulations.purchase.report.learned import learned
from simulations.purchase.report.model import CheatAccount, Dispute, PartyAccount, Report
from simulations.purchase.report.money import cheat_account
from simulations.purchase.scenario import COIN
from simulations.purchase.scoring import PurchaseOutcome, ScoredPurchase
from simulations.report.failed import failed_steps, one_line
from simulations.report.versions import versions
from simulations.report.words import count, party_name
from simulations.traffic import Flow, View
from strategies.featurizer import VECTOR_UNITS


def compile_report(scored: ScoredPurchase, cloud_view: View, flows: list[Flow], timings: Mapping[str, float]) -> Report:
    """Put everything that is worth saying about a purchase into a report."""
    scenario, outcome = scored.scenario, scored.outcome
    parties = _accounts(scored)
    return Report(
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        outcome=outcome,
        summary=summary(outcome),
        traffic=flows,
        timings=dict(timings),
        parties=parties,
        adversaries=_adversaries(scored, parties),
        disputes=_disputes(scored.record),
        failed=failed_steps(scored.record.failures, party_name),
        verification=verification(scored),
        learned=learned(scored, cloud_view),
        notes=scored.world.notes,
        versions=versions(),
    )


def coins(amount: int) -> str:
    """Write an amount of minor units in coins.

    Examples
    --------
    >>> coins(-1205)
    '-12.05'
    """
    return f"{'-' if amount < 0 else ''}{abs(amount) // COIN}.{abs(amount) % COIN:02d}"


def summary(outcome: PurchaseOutcome) -> str:
    """Say in one sentence what happened."""
    if outcome.candidates == 0:
        offered = f"none of {count(outcome.bids, 'image')} on offer" if outcome.bids else "no image in any album"
        return f"Nothing was bought: {offered} matches the samples."
    if outcome.selected == 0:
        return f"Nothing was bought: the budget of {coins(outcome.budget)} is too small for any image that matches."
    text = (
        f"The buyer bought {count(outcome.verified, 'image')} out of {outcome.candidates:,} that matched, for "
        f"{coins(outcome.paid_total + outcome.commission)} of its {coins(outcome.budget)} coins"
    )
    if outcome.precision is not None:
        text += f"; {outcome.precision:.1%} of them show what was asked for"
    if outcome.refunded_total:
        text += f"; {coins(outcome.refunded_total)} came back"
    if outcome.kept_for_nothing:
        text += f"; it keeps {count(outcome.kept_for_nothing, 'image')} unpaid, because false complaints were believed"
    if outcome.upheld:
        text += f"; {count(outcome.upheld, 'complaint')} {'was' if outcome.upheld == 1 else 'were'} false"
    return text + "."


def verification(scored: ScoredPurchase) -> str:
    """Say in one sentence what a picture was compared with before it was paid for, and what would slip through."""
    basic = scored.scenario.cloud.privacy is Privacy.BASIC
    calibration = scored.featurizer.calibration
    tolerance = calibration.vector_tolerance if basic else calibration.tolerance
    rate = calibration.vector_false_accepts if basic else calibration.false_accepts
    unit = f"{tolerance / VECTOR_UNITS:.3g} in each number" if basic else f"{tolerance} lattice units"
    wrong = "not measured" if rate is None else f"{rate:.1e} of those measured" if rate else "none of those measured"
    return (
        "Every delivered picture had to open the commitment to its pixels, to the last one; "
        f"{scored.scenario.buyer.checked:.0%} were featurised again, and had to come within {unit} of the bid. "
        f"Pairs of different pictures of one category that pass for each other by the feature alone: {wrong} (the "
        "false-accept rate)."
    )


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
    for step, node_id, why in record.failures:
        failures.setdefault(node_id, []).append(one_line(step, why))

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
