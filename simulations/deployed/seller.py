"""A seller's process: a real album, attached to the cloud until it is stopped."""

from pathlib import Path

from parties.purchase.seller import Seller
from simulations.datasets.folder import read_folder
from simulations.deployed.kit import Kit
from simulations.deployed.logs import log
from simulations.deployed.party import stay_attached
from simulations.deployed.prices import PRICES, priced
from simulations.errors import BadInput
from simulations.featurizers import Model


def sell(kit: Kit, folder: Path, price: float | None, model: Model) -> None:
    """Offer the pictures of a folder until told to stop.

    Parameters
    ----------
    kit : Kit
        The seller's.
    folder : Path
        The album; a ``prices.csv`` in it names the prices of single pictures.
    price : float or None
        Coins for each of the others; None: they are not for sale.
    model : Model
        The cloud's public model.

    Raises
    ------
    BadInput
        When the album, its prices or the model cannot be used.
    Unreachable
        When the cloud cannot be reached for a long time, or refuses this party.
    """
    pictures = read_folder(folder)
    album = priced(pictures, folder, price)
    if len(album) == 0:
        raise BadInput(f"{folder} holds {len(pictures)} pictures, and {PRICES} names the price of none of them")
    seller = Seller(kit.secret(), album, album.costs, model.load())
    log("album opened", pictures=len(album), unpriced=album.unpriced, skipped=sum(pictures.skipped.values()))
    stay_attached(kit, seller)
