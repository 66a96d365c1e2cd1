"""The public, which reads publications."""

from parties.party import Party, step
from protocol.messages.base import Acknowledgement
from protocol.messages.publish import Gallery


class Reader(Party):
    """A reader of galleries. Simulations attack from what it received."""

    role = "reader"

    @step("read")
    def read(self, gallery: Gallery) -> Acknowledgement:
        """Take note of a gallery."""
        return Acknowledgement()
