"""What a seller asks for its pictures: one price for all, or a list beside the album."""

import csv
from collections.abc import Mapping
from pathlib import Path

from parties.album import Pixels
from simulations.datasets.folder import FolderImages
from simulations.errors import BadInput
from simulations.purchase.scenario import COIN

PRICES = "prices.csv"
"""A list in the album's folder: lines of ``file,price``, paths relative to the folder, prices in coins."""
MOST = 10**7
"""Coins that a picture may cost, at most."""


class PricedAlbum:
    """The pictures of a folder that have a price.

    Attributes
    ----------
    costs : list of int
        The price of each, minor units.
    unpriced : int
        How many readable pictures are not for sale, because nothing says what they cost.
    """

    def __init__(self, pictures: FolderImages, prices: Mapping[Path, int], otherwise: int | None) -> None:
        self._pictures = pictures
        self._positions = [
            index for index, path in enumerate(pictures.paths) if prices.get(path, otherwise) is not None
        ]
        self.costs = [price for path in pictures.paths if (price := prices.get(path, otherwise)) is not None]
        self.unpriced = len(pictures) - len(self._positions)

    def __len__(self) -> int:
        """Return how many pictures are for sale."""
        return len(self._positions)

    def __getitem__(self, index: int) -> Pixels:
        """Open one of them; raises `UnreadableImage`."""
        return self._pictures[self._positions[index]]


def priced(pictures: FolderImages, folder: Path, price: float | None) -> PricedAlbum:
    """Put prices on an album.

    Parameters
    ----------
    pictures : FolderImages
        What is in the folder.
    folder : Path
        The album's folder; a ``prices.csv`` in it names prices of single pictures.
    price : float or None
        Coins for every picture that the list does not name; None: those are not for sale.

    Raises
    ------
    BadInput
        When there is no price at all, or a line of the list is no price of a picture in the folder.
    """
    path = folder / PRICES
    if price is None and not path.exists():
        raise BadInput(f"say what a picture is worth: --price COINS, or a list {path} with lines of file,price")
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
                raise BadInput(f"{where}: {cells[1]} is no price in coins") from None
    return prices


def _minor(coins: float, where: str) -> int:
    if not 1 / COIN <= coins <= MOST:
        raise BadInput(f"{where}: a price is {1 / COIN} to {MOST} coins, not {coins}")
    return round(coins * COIN)
