"""A deployed seller's folder: pictures come and go, and what was offered is what is delivered."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from deployment import Deployment, paint
from PIL import Image

from deploy.buyer import RequestingBuyer, Wanted
from deploy.cloud import cloud_of
from deploy.kit import CloudFile, Kit, read_kit
from deploy.seller import FolderSeller
from parties.album import read_folder
from parties.featurizers import Model
from parties.purchase.workflow import Purchase
from protocol.exchange import Exchange
from protocol.grids import LocalGrid
from protocol.messages.base import Acknowledgement
from protocol.messages.purchase import Quality, SelectionNotice
from protocol.storage.ledger import Ledger


class Bought(NamedTuple):
    """How many pictures were on offer, and the pixels of those that were bought."""

    offered: int
    pictures: set[bytes]


Buy = Callable[[FolderSeller], Bought]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), sellers=1)
    paint(deployment.folder / "later", [0, 1, 0, 0, 0], 7)
    return deployment


@pytest.fixture
def album(deployment: Deployment, tmp_path: Path) -> Path:
    """Two pictures that the buyer wants, with names that leave room before and after."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in (0, 1):
        shutil.copy(deployment.folder / "later" / f"{number}.png", folder / f"m{number}.png")
    return folder


@pytest.fixture
def buy(deployment: Deployment, tmp_path: Path) -> Buy:
    """Play a purchase from a seller."""
    wanted = Wanted(deployment.folder / "wanted", 100.0, Quality.QUANTITY, Model())
    kits: dict[str, Kit] = {name: read_kit(deployment.kit / name, [name[:5]]) for name in ("cloud", "buyer1")}
    party = kits["cloud"].party
    assert isinstance(party, CloudFile)
    count = iter(range(10))

    def play(seller: FolderSeller) -> Bought:
        out = tmp_path / f"bought{next(count)}"
        cloud = cloud_of(kits["cloud"], party, Ledger())
        with LocalGrid(
            [RequestingBuyer(kits["buyer1"], out.name, wanted, out).client_app(), seller.client_app()]
        ) as grid:
            record = Purchase(cloud, Exchange(grid, cloud.clock)).run()
        return Bought(len(record.offers), {shown(path) for path in out.glob("*.png")})

    return play


def shown(path: Path) -> bytes:
    return np.asarray(Image.open(path)).tobytes()


def seller(album: Path, kind: type[FolderSeller] = FolderSeller, price: float | None = 0.5) -> FolderSeller:
    return kind(bytes(32), read_folder(album), price, Model().load())


def test_pictures_that_come_and_go_are_offered_at_the_next_purchase(
    deployment: Deployment, album: Path, buy: Buy
) -> None:
    running, later = seller(album), deployment.folder / "later"
    assert buy(running) == (2, {shown(later / "0.png"), shown(later / "1.png")})
    (album / "m0.png").unlink()
    shutil.copy(later / "4.png", album / "a.png")
    whole = (later / "3.png").read_bytes()
    (album / "z.png").write_bytes(whole[: len(whole) // 2])  # half of it has come
    assert buy(running) == (2, {shown(later / "1.png"), shown(later / "4.png")})
    (album / "z.png").write_bytes(whole)
    assert buy(running).offered == 3
    album.rename(album.with_name("unplugged"))
    assert buy(running) == (0, set())


def test_a_list_that_is_being_written_leaves_prices_as_they_were(album: Path, buy: Buy) -> None:
    (album / "prices.csv").write_text("m0.png,0.5\n")
    running = seller(album, price=None)
    (album / "prices.csv").write_text("m0.png,0.5\nm1")
    assert buy(running) == (1, {shown(album / "m0.png")})
    (album / "prices.csv").write_text("m0.png,0.5\nm1.png,0.5\ncoming.png,0.5\n")
    assert buy(running).offered == 2


class Busy(FolderSeller):
    """Hears of another request while its pictures are sold, when more have come."""

    more: Path

    def notify(self, notice: SelectionNotice) -> Acknowledgement:
        shutil.copy(self.more, self._folder / "a.png")
        self._read_again()
        return super().notify(notice)


def test_what_was_offered_is_delivered_though_more_has_come(deployment: Deployment, album: Path, buy: Buy) -> None:
    Busy.more = deployment.folder / "later" / "4.png"
    assert buy(seller(album, Busy)) == (2, {shown(album / "m0.png"), shown(album / "m1.png")})


class Tidied(FolderSeller):
    """Its first picture is replaced by another, or deleted, once both are sold."""

    def notify(self, notice: SelectionNotice) -> Acknowledgement:
        self.tidy(self._folder)
        return super().notify(notice)

    def tidy(self, folder: Path) -> None:
        shutil.copy(folder / "m1.png", folder / "m0.png")


class Deleted(Tidied):
    def tidy(self, folder: Path) -> None:
        (folder / "m0.png").unlink()


@pytest.mark.parametrize("kind", [Tidied, Deleted])
def test_a_picture_that_has_changed_since_it_was_offered_is_not_delivered(
    album: Path, buy: Buy, kind: type[FolderSeller]
) -> None:
    assert buy(seller(album, kind)) == (2, {shown(album / "m1.png")})
