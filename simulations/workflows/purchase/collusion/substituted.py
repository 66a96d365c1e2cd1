"""What a cloud that substitutes keys has learned."""

from parties.adversaries.substitution import KeySubstitution
from parties.purchase.record import PurchaseRecord
from simulations.reports.model import Learned
from simulations.reports.words import count


def substituted(substitution: KeySubstitution, record: PurchaseRecord) -> Learned:
    """Write down what a key substitution gained, and who noticed."""
    delivered = sum(offer.receipt is not None for offer in record.winners)
    complaints = sum(offer.complaint is not None for offer in record.winners)
    return Learned(
        observer="cloud",
        what="images",
        detail=(
            f"{substitution.opened} of the {delivered} that were delivered, opened by substituting keys of its own: "
            "sellers sealed to these, and it sealed again to the buyer's. Noticed: "
            f"{count(len(record.failures), 'step')} refused, {count(complaints, 'complaint')}. Where parties have "
            "certificates, sellers refuse such a call."
        ),
    )
