"""A deployed buyer: what it does where the cloud has not waited for it, and with folders and wishes that do not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment

from deploy.buyer import MARK, RequestingBuyer, Wanted, buy
from deploy.cloud import cloud_of
from deploy.kit import CloudFile, Kit, read_kit
from deploy.prices import priced
from deploy.receipt import Receipt
from parties.album import read_folder
from parties.featurizers import Model
from parties.purchase.seller import Seller
from parties.purchase.statements import statement
from parties.purchase.terms import COIN
from parties.purchase.workflow import Purchase
from parties.workflow import unwatched
from protocol.errors import BadInput, BadKit, OutputExists, Stopped
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.messages.purchase import Quality
from protocol.storage.ledger import Ledger


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return Deployment(tmp_path_factory.mktemp("deployment"), sellers=1)


@pytest.fixture
def kit(deployment: Deployment) -> Kit:
    return read_kit(deployment.kit / "buyer1", ["buyer"])


@pytest.fixture
def wanted(deployment: Deployment) -> Wanted:
    return Wanted(deployment.folder / "wanted", 20.0, Quality.QUANTITY, Model())


class Leaving(RequestingBuyer):
    """Is away from the time that its pictures have come."""

    def verify(self, call: Any) -> Any:
        raise TimeoutError

    def settle(self, statement: Any) -> Any:
        raise TimeoutError


@pytest.mark.parametrize("delivering", [True, False])
def test_a_buyer_that_comes_back_too_late_has_what_it_paid_for(
    deployment: Deployment, kit: Kit, wanted: Wanted, tmp_path: Path, delivering: bool
) -> None:
    album = priced(read_folder(deployment.folder / "albums" / "seller1"), deployment.folder, 0.5)
    seller = Seller(bytes(32), album, album.costs, Model().load())
    if not delivering:
        seller.album = []  # type: ignore[assignment]
    cloud_kit = read_kit(deployment.kit / "cloud", ["cloud"])
    assert isinstance(cloud_kit.party, CloudFile)
    cloud = cloud_of(cloud_kit, cloud_kit.party, Ledger())
    out = tmp_path / "bought"
    with LocalGrid([Leaving(kit, "w", wanted, out).client_app(), seller.client_app()]) as grid:
        record = Purchase(cloud, Exchange(grid, cloud.clock)).run()
        state = grid.state(FIRST_NODE_ID)
    assert [step for step, _, _ in record.failures] == (["verify", "settle"] if delivering else ["settle"])
    out.mkdir(exist_ok=True)
    RequestingBuyer(kit, "w", wanted, out).settle_alone(state, statement(cloud, f"buyer-{FIRST_NODE_ID}"))
    receipt = Receipt.model_validate_json((out / "receipt.json").read_bytes())
    spent = cloud.deposits["buyer"] - cloud.ledger.balance(f"buyer-{FIRST_NODE_ID}")
    assert round(receipt.paid * COIN) == spent
    assert (spent > 0) is delivering
    assert {path.name for path in out.iterdir()} == {"receipt.json", *(picture.file for picture in receipt.pictures)}
    assert f"Bought {len(receipt.pictures)} picture" in receipt.sentence(out) or not delivering


def test_a_buyer_cannot_have_its_cloud_play_what_sellers_manipulate_or_what_keeps_it_busy(
    deployment: Deployment,
) -> None:
    kit = read_kit(deployment.kit / "cloud", ["cloud"])
    assert isinstance(kit.party, CloudFile)
    named = cloud_of(kit, kit.party, Ledger()).mechanisms
    assert {"singer", "chen-gravin-lu", "clock", "beacon"} <= named.keys()
    assert not {"crowdbuy-max", "crowdbuy-max-myerson", "first-price", "random", "public-cost"} & named.keys()


def test_a_receipt_says_what_became_of_the_money(tmp_path: Path) -> None:
    """Also where nothing is in the folder for it."""
    outcomes = [("accepted", "0.png", 2.0), ("accepted", None, 2.0), ("refunded", "refused/2.png", 0.0)]
    pictures = [{"file": file, "bid": "", "outcome": outcome, "paid": paid} for outcome, file, paid in outcomes]
    shared = {"purchase": "", "cloud": "", "buyer": "", "settled_at": "", "budget": 9.0, "balance": 5.0}
    said = Receipt.model_validate({**shared, "paid": 4.0, "pictures": pictures}).sentence(tmp_path)
    assert "Bought 1 picture for 4.00 coins." in said
    assert "1 more was paid for, and this machine has lost it." in said
    assert "1 more was not delivered, or not as promised, and cost nothing." in said
    for balance, money in ((9.0, "the budget"), (0.36, "the 0.36 coins in the account")):
        said = Receipt.model_validate({**shared, "balance": balance, "paid": 0.0, "pictures": []}).sentence(tmp_path)
        assert f"Nothing was bought: no such images were offered within {money}." in said
    unpaid = [{"file": None, "bid": "", "outcome": "unpaid", "paid": 0.3}]
    said = Receipt.model_validate({**shared, "paid": 0.3, "pictures": unpaid}).sentence(tmp_path)
    assert "Nothing was bought: the invoice was not paid in time, which cost 0.30 coins." in said


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.buyer._play", play)


@pytest.mark.usefixtures("interrupted")
def test_a_folder_goes_on_with_what_it_was_begun_with(
    deployment: Deployment, kit: Kit, wanted: Wanted, tmp_path: Path
) -> None:
    out = tmp_path / "bought"
    with pytest.raises(Stopped, match="the same command resumes"):
        buy(kit, wanted, out, unwatched)
    begun = (out / MARK).read_bytes()
    with pytest.raises(Stopped):
        buy(kit, wanted, out, unwatched)
    for other in (replace(wanted, budget=21.0), replace(wanted, samples=deployment.folder / "albums" / "seller1")):
        with pytest.raises(OutputExists, match=r"begun with --samples .*wanted --budget 20 --quality quantity"):
            buy(kit, other, out, unwatched)
    with pytest.raises(BadKit, match="begun with another kit"):
        buy(read_kit(deployment.kit / "buyer2", ["buyer"]), wanted, out, unwatched)
    assert (out / MARK).read_bytes() == begun


@pytest.mark.usefixtures("interrupted")
def test_samples_that_cannot_be_used_begin_nothing(kit: Kit, wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no readable picture"):
        buy(kit, replace(wanted, samples=tmp_path / "empty"), tmp_path / "bought", unwatched)
    assert not (tmp_path / "bought").exists()
