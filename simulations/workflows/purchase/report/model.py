"""What the report of a purchase says: the schema of its ``report.json``."""

from pydantic import BaseModel, ConfigDict

from simulations.reports.model import RunReport
from simulations.workflows.purchase.report.phones import PhonesAccount
from simulations.workflows.purchase.scoring import PurchaseOutcome

SCHEMA_VERSION = 5
"""Raised with every change of the schema that a reader could notice."""


class PartyAccount(BaseModel):
    """One party: who it was, what it did and what it earned. Money in minor units.

    Attributes:
        party: ``buyer``, ``cloud`` or ``seller-n``.
        adversary: The cheat it played.
        bids, selected, sold: Images it offered, those chosen, those paid for.
        deposit, balance: What it brought and what it ended with.
        cost: True cost of what it sold, 0 but for sellers.
        failures: Steps it failed, and why.
    """

    model_config = ConfigDict(frozen=True)

    party: str
    adversary: str | None
    bids: int
    selected: int
    sold: int
    deposit: int
    balance: int
    cost: int
    failures: list[str]


class AuctionAccount(BaseModel):
    """The rule that decided who won, and what it paid beyond what was asked. Money in minor units.

    Attributes:
        mechanism, summary, guarantee: Its name, what it does, and what it guarantees, in words.
        truthful: Whether it claims that no bidder gains by asking anything but its cost, and is not known to be wrong.
        agents: What bids: ``images`` or ``sellers``.
        reserve: The most that an image may be paid; None: the budget.
        asked, awarded: What the selected images asked, and what they were to be paid.
        tried, gain, by: Ways in which sellers of several images could have withheld or copied one that were tried, the
            most that one of them gains, and how: no mechanism here rules that out.
        overpayment: `awarded` less `asked`, as a share of `asked`; None where nothing was selected.
    """

    model_config = ConfigDict(frozen=True)

    mechanism: str
    summary: str
    guarantee: str
    truthful: bool
    agents: str
    reserve: int | None
    asked: int
    awarded: int
    overpayment: float | None
    tried: int = 0
    gain: int = 0
    by: str = ""


class CheatAccount(BaseModel):
    """What all parties that played one cheat made of it. Money in minor units.

    Attributes:
        parties, active: How many played it, and how many of them offered or asked for anything.
        selected, sold: Their pictures: chosen, paid for.
        profit: What they gained together, true costs taken off.
        ahead: How many of them gained at all.
        damage: Of sellers: what the buyer paid them, commission included, for pictures that show nothing it asked for,
            did not come, are not what was offered, or repeat one that it bought from such a seller. Of the buyer: what
            honest sellers lost on pictures that they delivered, payments and stakes.
    """

    model_config = ConfigDict(frozen=True)

    parties: int
    active: int
    selected: int
    sold: int
    profit: int
    ahead: int
    damage: int


class Dispute(BaseModel):
    """One complaint and what came of it."""

    model_config = ConfigDict(frozen=True)

    party: str
    complaint: str
    fault: str
    reason: str
    payment: int


class Worth(BaseModel):
    """What the bought pictures are worth to who trains on them: shares of test pictures whose class a CNN names.

    Attributes:
        pictures, tested, classes: Bought pictures of wanted classes; pictures in the test; wanted classes.
        bought: Trained on what was bought.
        random: Trained on as many drawn at random from what matched.
        trained: CNNs; `bought` and `random` are means over half of them each.
        device: What they were trained on.
    """

    model_config = ConfigDict(frozen=True)

    pictures: int
    tested: int
    classes: int
    bought: float
    random: float
    trained: int
    device: str


class PurchaseReport(RunReport):
    """A purchase, written down.

    Attributes:
        auction: The rule that decided who won; None in reports of before schema version 5.
        parties: Buyer, cloud, then the sellers who offered something.
        adversaries: By the name of the cheat, those that the scenario mixes in.
        disputes: Complaints and verdicts.
        verification: One sentence on what was verified, with the false-accept rate.
        worth: What a CNN makes of the bought pictures, where ``buyer.train`` asks for it and there are enough.
        phones: What the purchase takes on its phones, in virtual time; None where nobody looked.
    """

    schema_version: int = SCHEMA_VERSION
    outcome: PurchaseOutcome
    auction: AuctionAccount | None = None
    parties: list[PartyAccount]
    adversaries: dict[str, CheatAccount]
    disputes: list[Dispute]
    verification: str
    worth: Worth | None = None
    phones: PhonesAccount | None = None
