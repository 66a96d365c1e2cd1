"""What a seller's pictures cost: one price for all, and a list with prices of single ones."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.party import log
from parties.album import FolderImages, Pixels
from parties.purchase.terms import COIN
from protocol.errors import BadInput
from protocol.storage.spreadsheet import read_number, read_table
from protocol.storage.user_files import composed, printable, user_path

PRICES = "prices.csv"
"""A list in the album's folder: lines of ``file,price``, paths relative to the folder, prices in coins."""
MOST = 10**7
"""Coins that a picture may cost, at most."""


_LOOKALIKES = tuple(
    f"prices.{ending}" for ending in ("csv.txt", "csv.csv", "txt", "tsv", "xlsx", "xls", "ods", "numbers")
)
"""What lists are called that were not saved as `PRICES`."""


class PricedAlbum:
    """The pictures of a folder that have a price.

    Attributes:
        files: Their files.
        costs: The price of each, minor units.
        unpriced: How many readable pictures are not for sale, as they have no price.
    """

    def __init__(self, pictures: FolderImages, prices: Mapping[Path, int], otherwise: int | None) -> None:
        costs = {path: prices.get(path, otherwise) for path in pictures.paths}
        self._pictures = pictures
        self._positions = [index for index, path in enumerate(pictures.paths) if costs[path] is not None]
        self.files = [pictures.paths[index] for index in self._positions]
        self.costs = [cost for cost in costs.values() if cost is not None]
        self.unpriced = len(pictures) - len(self._positions)

    def __len__(self) -> int:
        """Return the number of pictures for sale."""
        return len(self._positions)

    def __getitem__(self, index: int) -> Pixels:
        """Open one of them; raises `UnreadableImage`."""
        return self._pictures[self._positions[index]]


def priced(pictures: FolderImages, folder: Path, price: float | None, *, changing: bool = False) -> PricedAlbum:
    """Put prices on an album.

    Args:
        pictures: What is in the folder.
        folder: The album's folder; a ``prices.csv`` in it has the prices of single pictures.
        price: Coins for every picture that is not in the list; None: those are not for sale.
        changing: Whether pictures come and go: then listed ones may be missing, which is logged.

    Raises:
        BadInput: When there is no price, or a line of the list is not a price of a picture in the folder.
    """
    folder = user_path(folder)
    path = _list_in(folder)
    if price is None and path is None:
        raise BadInput(
            "pictures have no price: give --price COINS, or a list "
            f"{printable(folder / PRICES)} with lines of file,price"
        )
    listed = {} if path is None else _read(path, folder, pictures, changing)
    return PricedAlbum(pictures, listed, None if price is None else _minor(price, "--price"))


def _list_in(folder: Path) -> Path | None:
    """Return the list in an album, in whatever case its name is."""
    there = {entry.name.lower(): entry for entry in sorted(folder.iterdir(), reverse=True)}
    if PRICES in there:
        return folder / PRICES if (folder / PRICES).exists() else there[PRICES]
    for name in _LOOKALIKES:
        if name in there:
            raise BadInput(f"{printable(there[name])} would be ignored: save it as {PRICES}, as CSV in UTF-8")
    return None


class Names:
    """Finds a file by the name that a list has for it.

    Letters may be composed or decomposed, as macOS has them; where there is no such file, they may be small or
    capital, and folders may be separated by backslashes.
    """

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self._exact: dict[str, Path] = {}
        self._alike: dict[str, list[Path]] = {}
        for path in files:
            name = path.relative_to(folder).as_posix()
            self._exact[name] = path
            for key in {composed(name), _folded(name)}:
                self._alike.setdefault(key, []).append(path)

    def find(self, name: str, where: str) -> Path | None:
        """Return the file of a name, None if there is none.

        Raises:
            BadInput: When it could be one of two.
        """
        found = [self._exact[name]] if name in self._exact else self._alike.get(composed(name), [])
        found = found or self._alike.get(_folded(name), [])
        if len(found) > 1:
            raise BadInput(f"{where}: {printable(name)} may be {printable(found[0])} or {printable(found[1])}")
        return found[0] if found else None

    def nearest(self, name: str) -> str:
        """Suggest a name."""
        folded = {_folded(known): known for known in self._exact}
        near = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=0.5)
        return f"; did you mean {printable(folded[near[0]])}?" if near else ""


def _folded(name: str) -> str:
    return composed(name.replace("\\", "/").removeprefix("./")).casefold()


def _read(path: Path, folder: Path, pictures: FolderImages, changing: bool) -> dict[Path, int]:
    names = Names(folder, (*pictures.paths, *pictures.left_out))
    prices: dict[Path, int] = {}
    missing: list[str] = []
    for row in read_table(path, ("file", "price")):
        name, cell = row.cells["file"], row.cells["price"]
        try:
            coins = read_number(cell)
        except ValueError as error:
            header = " (a header is file,price)" if row.where.endswith(", line 1") else ""
            raise BadInput(f"{row.where}: {printable(cell)[:80]} is not a price in coins; {error}{header}") from None
        price = _minor(coins, row.where)
        picture = names.find(name, row.where)
        if picture is None or picture in pictures.left_out:
            if not changing:
                why = f" beside the list{names.nearest(name)}" if picture is None else f": {pictures.left_out[picture]}"
                raise BadInput(f"{row.where}: there is no readable picture {printable(name)}{why}")
            missing.append(printable(name))
        elif prices.setdefault(picture, price) != price:
            raise BadInput(f"{row.where}: {printable(name)} has another price in a line above; leave one of them out")
    if missing:
        log("listed pictures are not there", count=len(missing), names=missing[:3])
    return prices


def _minor(coins: float, where: str) -> int:
    if not 1 / COIN <= coins <= MOST:
        raise BadInput(f"{where}: a price is {1 / COIN} to {MOST} coins, not {coins}")
    return round(coins * COIN)
