"""Who must not learn what: pictures, secrets, keys and names, on the wire, in logs and on the cloud's disk."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulations.faults.town import Town

CANARY = bytes.fromhex("c0ffee0ddba11ad5eed5")
"""In every private picture, and in nothing else."""


class Secrecy:
    """Looks at all that leaves a program.

    Attributes:
        secrets: What nobody else may learn, by whose it is.
    """

    def __init__(self, town: "Town") -> None:
        self._town = town
        self.secrets: dict[str, bytes] = {}
        self._drawn: list[bytes] = []
        self._wrapped: set[bytes] = set()

    def wraps(self, data_key: bytes) -> None:
        """See that no data key seals two pictures; one of zeros is for looking whether a delivery key is any good."""
        if any(data_key) and data_key in self._wrapped:
            self._violated("a data key seals two pictures")
        self._wrapped.add(data_key)

    def draws(self, drawn: bytes) -> None:
        """Remember what is long enough for a key."""
        if len(drawn) >= 32:
            self._drawn.append(drawn)

    def on_wire(self, party: str, way: str, frame: bytes) -> None:
        """Look at a frame on the link of a party: no picture is in the open, and no secret in it."""
        if CANARY in frame:
            self._violated(f"a picture is in the open on the link of {party}, {way}")
        for owner, secret in self.secrets.items():
            if secret in frame:
                self._violated(f"the secret of {owner} is on the link of {party}, {way}")

    def in_log(self, line: str) -> None:
        """Look at a line of a log."""
        if any(form in line for form in _forms(CANARY)):
            self._violated("a log shows a picture")
        for owner, secret in self.secrets.items():
            if any(form in line for form in _forms(secret)):
                self._violated(f"a log shows the secret of {owner}")
        if any(form in line for drawn in self._drawn for form in _forms(drawn)):
            self._violated("a log shows a key")

    def on_disk(self) -> None:
        """Look at the cloud's disk."""
        image = self._town.cloud.disk.image()
        for name, content in [("its database", image.database), *image.files.items()]:
            if CANARY in content:
                self._violated(f"the cloud has a picture in {name}")
            for owner, secret in self.secrets.items():
                if owner != "cloud" and secret in content:
                    self._violated(f"the cloud has the secret of {owner} in {name}")

    def _violated(self, text: str) -> None:
        self._town.violated("secrecy", text)


def _forms(secret: bytes) -> tuple[str, str]:
    """Return how bytes appear in a text."""
    return secret.hex(), repr(secret)[2:-1]
