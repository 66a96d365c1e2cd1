"""The messages of a purchase in the order in which they were said, step by step, for the page's diagram."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from parties.purchase.workflow import Purchase
from protocol.messages.purchase import Privacy
from simulations.reports.model import Flow
from simulations.reports.words import count
from simulations.workflows.purchase.report.model import PurchaseReport

BUYER, CLOUD, SELLERS = "buyer", "cloud", "seller"

_EXPLANATIONS = (
    "The buyer sends sample images, a budget, which is set aside, a quality, and the key that verifies its signatures.",
    "The cloud sends the samples to all sellers, without the budget and without the buyer's name.",
    "Each phone computes features of the samples and of its own images, and keeps the images near a sample.",
    "For each such image the phone makes an offer: a price, a locked stake, and commitments.",
    "The cloud decides which offers match, and selects those that serve the buyer best within the budget.",
    "Winners learn their payments; the others get their stakes back.",
    "The buyer checks the invoice and pays into escrow, with a fresh key for each image.",
    "The money is in escrow: the cloud asks winners to deliver.",
    "Each image is encrypted to its key and signed; the cloud passes on what it cannot open.",
    "The buyer learns what the images open with, decrypts each and compares it with its commitment.",
    "The buyer accepts, or complains and reveals the key of that one image, so that the cloud can check.",
    "Escrow is paid out or refunded, cheats lose their stake or bond, and each party gets a statement.",
)

_SAID = {
    "Hello": (0, "who is there?"),
    "Introduction": (0, "my role and my key"),
    "Invitation": (1, "my terms; what do you want?"),
    "VouchedRequest": (1, "samples, budget, quality, key"),
    "CallForBids": (2, "samples and terms"),
    "Bids": (4, "signatures, commitments, prices, stakes"),
    "SelectionNotice": (6, "you won, or you did not"),
    "SelectionResult": (6, "how many won, and the total"),
    "Invoice": (7, "invoice with all winning offers"),
    "SignedPayment": (7, "pay into escrow; orders with keys"),
    "DeliveryOrder": (8, "deliver, sealed to this key"),
    "Delivery": (9, "sealed image, signed receipt"),
    "Parcel": (9, "sealed images, receipts"),
    "Kept": (9, "stored"),
    "VerificationCall": (10, "what they open with; please verify"),
    "ShowCall": (11, "I lost it; show it"),
    "Shown": (11, "the sealed image"),
    "SignedConfirmation": (11, "accepted, or complaints"),
    "Statement": (12, "your statement"),
}
"""What each kind of message says, and the step in which it is said."""

_ANSWERED = {"introduce": 0, "request": 1, "bid": 4, "notify": 6, "pay": 7, "deliver": 9, "receive": 9, "verify": 11}
"""The step in which a question is answered, for answers that are the same everywhere."""


@dataclass(frozen=True)
class Arrow:
    """All messages of one kind in one direction.

    Attributes:
        rightwards: Whether it points from the buyer's side to the sellers'.
        role: Who speaks.
        says: What is said, in plain words.
        messages, bytes: How many, and their bytes together.
        thickness: Pixels; grows with the logarithm of the bytes.
        minor: Whether it only says that another message was heard.
    """

    rightwards: bool
    role: str
    says: str
    messages: int
    bytes: int
    thickness: float
    minor: bool


@dataclass
class Row:
    """What is said at about the same time: between buyer and cloud, and between cloud and sellers."""

    buyer: Arrow | None = None
    sellers: Arrow | None = None


@dataclass
class Step:
    """One step: its messages, or what a party does by itself.

    Attributes:
        number: 1 to 12; 0 for the roll call.
        name, explanation: In plain words.
        rows: Messages from top to bottom.
        actor, deed: Who does what by itself; empty where nobody does.
    """

    number: int
    name: str
    explanation: str
    rows: list[Row] = field(default_factory=list)
    actor: str = ""
    deed: str = ""

    @property
    def reached(self) -> bool:
        """Whether the purchase came this far."""
        return bool(self.rows or self.deed)


def sequence(report: PurchaseReport) -> list[Step]:
    """Sort a run's messages into the twelve steps, after the roll call."""
    steps = [Step(0, "roll call", "The cloud asks every machine who it is.")]
    steps += [
        Step(number, name, text)
        for number, (name, text) in enumerate(zip(Purchase.STEPS, _EXPLANATIONS, strict=True), 1)
    ]
    for flow in report.traffic:
        number, says = _said(flow, report)
        _place(steps[number].rows, _arrow(flow, says))
    for number, actor, deed in _deeds(report):
        steps[number].actor, steps[number].deed = actor, deed
    return steps


def _said(flow: Flow, report: PurchaseReport) -> tuple[int, str]:
    if flow.kind == "Bids" and report.scenario["cloud"]["privacy"] != Privacy.LEVEL2:
        return 4, "features, commitments, prices, stakes"
    if flow.kind in _SAID:
        return _SAID[flow.kind]
    says = {"Acknowledgement": "acknowledged", "Error": "failed"}.get(flow.kind, flow.kind)
    return _ANSWERED.get(flow.step, len(Purchase.STEPS)), says


def _arrow(flow: Flow, says: str) -> Arrow:
    return Arrow(
        rightwards=flow.source == BUYER or flow.target == SELLERS,
        role=flow.source,
        says=says,
        messages=flow.messages,
        bytes=flow.bytes,
        thickness=1 + min(4.0, max(0.0, math.log10(max(flow.bytes, 1)) - 2.5)),
        minor=flow.kind == "Acknowledgement",
    )


def _place(rows: list[Row], arrow: Arrow) -> None:
    """Put an arrow below the last one between the same parties."""
    lane = "buyer" if arrow.role == BUYER or (arrow.role == CLOUD and not arrow.rightwards) else "sellers"
    taken = [index for index, row in enumerate(rows) if getattr(row, lane) is not None]
    place = taken[-1] + 1 if taken else 0
    if place == len(rows):
        rows.append(Row())
    setattr(rows[place], lane, arrow)


def _deeds(report: PurchaseReport) -> Iterator[tuple[int, str, str]]:
    """Yield what parties do by themselves: step, party, deed."""
    outcome = report.outcome
    yield 3, SELLERS, f"albums searched, {count(outcome.bids + outcome.rejected, 'image')} offered"
    yield 5, CLOUD, f"{outcome.candidates:,} match, {outcome.selected:,} win"
    if outcome.delivered:
        yield 10, BUYER, f"{count(outcome.delivered, 'image')} opened and checked"
    if outcome.complaints:
        yield 11, CLOUD, f"{count(outcome.complaints, 'complaint')}, {outcome.upheld:,} unfounded"
    if outcome.selected:
        yield 12, CLOUD, f"{count(outcome.verified, 'image')} paid for"
