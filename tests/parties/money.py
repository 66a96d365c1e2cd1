"""What holds of money in every purchase."""

from conftest import Played

from parties.purchase.offer import Outcome


def check_money(played: Played) -> None:
    """What holds of money in every purchase, whatever anybody did."""
    outcome, balances = played.outcome, played.ledger.balances()
    assert sum(balances.values()) == 0
    assert all(balance >= 0 for name, balance in balances.items() if name != "mint")
    assert outcome.paid_total + outcome.commission <= outcome.budget
    assert balances["cloud"] == outcome.commission
    assert not [escrow for escrow in played.ledger.escrows() if escrow.state == "pending"]
    bonds = sum(o.payment // 10 for o in [*played.by_outcome(Outcome.UPHELD), *played.by_outcome(Outcome.UNCLAIMED)])
    stakes = sum(o.bid.bid.stake for o in played.record.winners if o.forfeited)
    deposit = sum(o.compensation for o in played.record.winners)
    assert played.profit("buyer-2") == stakes - bonds - deposit - outcome.paid_total - outcome.commission
