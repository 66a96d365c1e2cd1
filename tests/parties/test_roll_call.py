"""What a party is follows from its certificate, and not from what it says."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import small
from pooling import RULES
from wiring import BUYER, SELLERS, Wires, secure

from parties.featurizers import load_featurizer
from parties.party import Party
from parties.pool.workflow import Keeper, Pool
from parties.purchase.workflow import Purchase
from parties.workflow import WorkflowFailed, roll_call
from protocol.exchange import Exchange
from protocol.grids import LocalGrid, ObservedGrid
from protocol.grids.grpc import GrpcGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import make_cloud

ENTITY = "urn:parley:entity:clinic"
CLAIMS = {BUYER: "seller", SELLERS[0]: "seller", SELLERS[1]: "buyer", SELLERS[2]: "entity", ENTITY: "entity"}
"""Two are what they say."""


def claiming(claimed: str) -> Party:
    class Claiming(Party):
        role: ClassVar[str] = claimed

    return Claiming(bytes(32))


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


@pytest.fixture
def grid(wires: Wires) -> GrpcGrid:
    """Five parties with certificates: a buyer, three sellers, an entity."""
    grid = wires.cloud(list(CLAIMS))
    for urn, role in CLAIMS.items():
        wires.attach(grid.address, urn, claiming(role).client_app(), security=secure(urn))
    assert grid.wait_attached(range(2, 7), 20) == set()
    return grid


def test_nobody_has_a_role_that_its_certificate_does_not_name(grid: GrpcGrid) -> None:
    """Also through a grid that forwards to the one that knows."""
    roll = roll_call(Exchange(ObservedGrid(grid, lambda envelope: None)), 20)
    assert roll.present == {"seller": [3], "entity": [6]}
    assert roll.impostors == {
        2: "it introduces itself as seller, and its certificate names buyer",
        4: "it introduces itself as buyer, and its certificate names seller",
        5: "it introduces itself as entity, and its certificate names seller",
    }


def test_a_purchase_goes_on_without_impostors_and_records_them(grid: GrpcGrid, tmp_path: Path) -> None:
    with closing(Ledger()) as ledger:
        cloud = make_cloud(small(), load_featurizer("small"), ledger, Vault(tmp_path / "sealed"))
        record = Purchase(cloud, Exchange(grid), buyer=2).record
        assert record.sellers == [3]
        assert [(failure.step, failure.node_id) for failure in record.failures] == [("introduce", n) for n in (2, 4, 5)]
        with pytest.raises(WorkflowFailed, match="needs one buyer, and there are 0"):
            Purchase(cloud, Exchange(grid))


def test_a_pool_goes_on_without_impostors_and_records_them(grid: GrpcGrid, tmp_path: Path) -> None:
    pool = Pool(Keeper(RULES, Vault(tmp_path / "features"), patience=20), Exchange(grid))
    with pytest.raises(WorkflowFailed):
        pool.run()
    introduced = [failure.node_id for failure in pool.record.failures if failure.step == "introduce"]
    asked = [failure.node_id for failure in pool.record.failures if failure.step == "enrol"]
    assert (introduced, asked) == ([2, 4, 5], [6])


def test_roles_that_no_certificate_names_are_what_parties_say(wires: Wires) -> None:
    grid = wires.cloud([ENTITY])
    wires.attach(grid.address, ENTITY, claiming("reader").client_app(), security=secure(ENTITY))
    assert grid.wait_attached([2], 20) == set()
    assert roll_call(Exchange(grid), 20).present == {"reader": [2]}


def test_within_one_program_parties_are_what_they_say(tmp_path: Path) -> None:
    apps = [claiming(role).client_app() for role in ("seller", "seller", "buyer")]
    with LocalGrid(apps) as grid:
        assert roll_call(Exchange(grid), 20).present == {"seller": [2, 3], "buyer": [4]}


def test_a_buyer_is_no_seller_in_its_own_purchase(tmp_path: Path) -> None:
    with LocalGrid([claiming("seller").client_app()] * 2) as grid, closing(Ledger()) as ledger:
        cloud = make_cloud(small(), load_featurizer("small"), ledger, Vault(tmp_path / "sealed"))
        assert Purchase(cloud, Exchange(grid), buyer=2).record.sellers == [3]
