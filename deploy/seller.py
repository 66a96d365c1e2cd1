"""A seller's process: an album in a folder, attached to the cloud until it is stopped."""

import csv
from collections.abc import Mapping
from pathlib import Path

from deploy.kit import Kit
from deploy.party import log, stay_attached
from parties.album import FolderImages, Pixels, read_folder
from parties.featurizers import Model
from parties.purchase.seller import Seller
from parties.purchase.terms import COIN
from protocol.errors import BadInput

PRICES = "prices.csv"
"""A list in the album's folder: lines of ``file,price``, paths relative to the folder, prices in coins."""
MOST = 10**7
"""Coins that a picture may cost, at most."""


class PricedAlbum:
    """The pictures of a folder that have a price.

    Attributes:
        costs: The price of each, minor units.
        unpriced: How many readable pictures are not for sale, as they have no price.
    """

    def __init__(self, pictures: FolderImages, prices: Mapping[Path, int], otherwise: int | None) -> None:
        self._pictures = pictures
        self._positions = [
            index for index, path in enumerate(pictures.paths) if prices.get(path, otherwise) is not None
        ]
        self.costs = [price for path in pictures.paths if (price := prices.get(path, otherwise)) is not None]
        self.unpriced = len(pictures) - len(self._positions)

    def __len__(self) -> int:
        """Return the number of pictures for sale."""
        return len(self._positions)

    def __getitem__(self, index: int) -> Pixels:
        """Open one of them; raises `UnreadableImage`."""
        return self._pictures[self._positions[index]]


def priced(pictures: FolderImages, folder: Path, price: float | None) -> PricedAlbum:
    """Put prices on an album.

    Args:
        pictures: What is in the folder.
        folder: The album's folder; a ``prices.csv`` in it has the prices of single pictures.
        price: Coins for every picture that is not in the list; None: those are not for sale.

    Raises:
        BadInput: When there is no price, or a line of the list is not a price of a picture in the folder.
    """
    path = folder / PRICES
    if price is None and not path.exists():
        raise BadInput(f"pictures have no price: give --price COINS, or a list {path} with lines of file,price")
    listed = _read(path, {picture.relative_to(folder): picture for picture in pictures.paths}) if path.exists() else {}
    return PricedAlbum(pictures, listed, None if price is None else _minor(price, "--price"))


def _read(path: Path, known: Mapping[Path, Path]) -> dict[Path, int]:
    prices: dict[Path, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 1 and [cell.lower() for cell in cells[:2]] == ["file", "price"]):
                continue
            where = f"{path}, line {number}"
            if len(cells) != 2:
                raise BadInput(f"{where}: a line is file,price, not {','.join(row)}")
            if Path(cells[0]) not in known:
                raise BadInput(f"{where}: there is no readable picture {cells[0]} beside the list")
            try:
                prices[known[Path(cells[0])]] = _minor(float(cells[1]), where)
            except ValueError:
                raise BadInput(f"{where}: {cells[1]} is not a price in coins") from None
    return prices


def _minor(coins: float, where: str) -> int:
    if not 1 / COIN <= coins <= MOST:
        raise BadInput(f"{where}: a price is {1 / COIN} to {MOST} coins, not {coins}")
    return round(coins * COIN)


def sell(kit: Kit, folder: Path, price: float | None, model: Model) -> None:
    """Offer the pictures of a folder until the process is stopped.

    Args:
        kit: The seller's.
        folder: The album; a ``prices.csv`` in it has the prices of single pictures.
        price: Coins for each of the others; None: they are not for sale.
        model: The cloud's public model.

    Raises:
        BadInput: When the album, its prices or the model cannot be used.
        Unreachable: When the cloud cannot be reached for a long time, or refuses this party.
    """
    pictures = read_folder(folder)
    album = priced(pictures, folder, price)
    if len(album) == 0:
        raise BadInput(f"{folder} holds {len(pictures)} pictures, but {PRICES} has no price for any of them")
    seller = Seller(kit.secret(), album, album.costs, model.load())
    log("album opened", pictures=len(album), unpriced=album.unpriced, skipped=sum(pictures.skipped.values()))
    stay_attached(kit, seller)
