"""What a party lets others have of it: its policy, and a ledger of the privacy that it has lost."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parties.policy.site import Site


def policy(path: str | PathLike[str]) -> "Site":
    """Return a mod that lets anybody's Flower app answer only what a site's policy allows.

    ``ClientApp(mods=[policy("policy.yaml")])``, before all other mods. See `parties.policy.site`.

    Raises:
        BadKit: When the file is missing, or cannot be used.
    """
    from parties.policy.site import Site

    return Site(path)
