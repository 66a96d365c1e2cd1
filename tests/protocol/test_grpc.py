"""The wire between machines does what every grid does, and holds against what comes along a wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from test_grids import GridContract
from wiring import Parties, secure

from protocol.grids.grpc import GrpcGrid, Roster
from protocol.vault import Vault

CLOUD = secure("urn:parley:cloud:cloud")
SELLERS = [f"urn:parley:seller:seller{index}" for index in range(5)]
SECURITY = {urn: secure(urn) for urn in SELLERS}


class TestGrpcGrid(GridContract):
    @pytest.fixture(autouse=True)
    def wires(self, tmp_path: Path) -> Iterator[None]:
        self.vault = Vault(str(tmp_path / "vault"))
        self.parties = Parties()
        self.grids: list[GrpcGrid] = []
        yield
        self.parties.close()
        for grid in self.grids:
            grid.close()

    def make(self, apps: list[ClientApp]) -> Grid:
        urns = SELLERS[: len(apps)]
        grid = GrpcGrid("127.0.0.1:0", CLOUD, Roster(urns), self.vault)
        self.grids.append(grid)
        for urn, app in zip(urns, apps, strict=True):
            self.parties.attach(grid, SECURITY[urn], app)
        assert grid.wait_attached(range(2, 2 + len(apps)), timeout=20) == set()
        return grid
