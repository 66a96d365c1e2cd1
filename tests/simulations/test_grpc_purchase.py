"""The same purchase, between machines and in one process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from conftest import small
from flwr.clientapp import ClientApp
from wiring import Wires, secure

from protocol.grids import LocalGrid
from protocol.grids.grpc import GrpcGrid
from protocol.grids.grpc.blobs import MAX_BLOB_INLINE
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import score
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer


class TestPurchase:
    @pytest.fixture(autouse=True)
    def wires(self, tmp_path: Path) -> Iterator[None]:
        self.wires_ = Wires(tmp_path)
        yield
        self.wires_.close()

    @contextmanager
    def attached(self, apps: Sequence[ClientApp]) -> Iterator[GrpcGrid]:
        urns = ["urn:parley:buyer:buyer", *(f"urn:parley:seller:seller{index}" for index in range(len(apps) - 1))]
        grid = self.wires_.cloud(urns)
        for urn, app in zip(urns, apps, strict=True):
            self.wires_.attach(grid.address, urn, app, security=secure(urn))
        assert grid.wait_attached(range(2, 2 + len(apps)), 60) == set()
        yield grid

    @pytest.mark.parametrize("inline", [MAX_BLOB_INLINE, 1_000], ids=["in frames", "beside them"])
    def test_it_comes_to_the_same_outcome(
        self, tmp_path: Path, featurizer: Featurizer, monkeypatch: pytest.MonkeyPatch, inline: int
    ) -> None:
        for end in ("attach", "grid"):
            monkeypatch.setattr(import_module(f"protocol.grids.grpc.{end}"), "MAX_BLOB_INLINE", inline)
        scenario: PurchaseScenario = small(cloud={"privacy": "level2"})
        digests = []
        for opened in (LocalGrid, self.attached):
            bought = tmp_path / opened.__name__
            world, ledger = build(scenario, featurizer, bought), Ledger()
            vault = self.wires_.vault if opened == self.attached else Vault(str(tmp_path / "local"))
            record = play(world, make_cloud(scenario, featurizer, ledger, vault), open_grid=opened)
            outcome = score(scenario, featurizer, world, record, ledger).outcome
            assert outcome.delivered > 0
            digests.append(outcome.digest)
        assert digests[0] == digests[1]
