"""What a buyer keeps of a purchase beside the pictures."""

from pathlib import Path

from parties.purchase.offer import Outcome
from protocol.settings import Section

RECEIPT = "receipt.json"


class Picture(Section):
    """One picture of a receipt: its file in the folder (None: it never arrived), and the coins paid for it."""

    file: str | None
    bid: str
    outcome: str
    paid: float


class Receipt(Section):
    """What was bought, and for how many coins."""

    purchase: str
    cloud: str
    buyer: str
    settled_at: str
    budget: float
    paid: float
    balance: float
    pictures: tuple[Picture, ...]

    def sentence(self, out: Path) -> str:
        """Return the receipt as text for a person."""
        if not self.pictures:
            money = "the budget" if self.balance >= self.budget else f"the {self.balance:.2f} coins in the account"
            return f"Nothing was bought: no such images were offered within {money}.\nReceipt: {out / RECEIPT}"
        if all(picture.outcome == Outcome.UNPAID for picture in self.pictures):
            why = f"the invoice was not paid in time, which cost {self.paid:.2f} coins"
            return f"Nothing was bought: {why}.\nReceipt: {out / RECEIPT}"
        paid = [picture for picture in self.pictures if picture.outcome in (Outcome.ACCEPTED, Outcome.UPHELD)]
        kept = sum(picture.file is not None for picture in paid)
        left = [picture for picture in self.pictures if picture.outcome == Outcome.UNCLAIMED]
        lost = len(self.pictures) - len(paid) - len(left)
        gone = len(paid) - kept
        late = f" {_those(len(left), 'not stored here')} though delivered, which cost the bond on each." if left else ""
        refunded = f" {_those(lost, 'not delivered, or not as promised')}, and cost nothing." if lost else ""
        missing = (
            f" {_those(gone, 'paid for')}, and this machine has lost {'it' if gone == 1 else 'them'}." if gone else ""
        )
        bought = f"Bought {kept} picture{'' if kept == 1 else 's'} for {self.paid:.2f} coins."
        return f"{bought}{missing}{refunded}{late}\nPictures and receipt: {out}"


def _those(number: int, what: str) -> str:
    return f"{number} more {'was' if number == 1 else 'were'} {what}"
