"""The grid between machines does what every grid does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from test_grids import GridContract
from wiring import SELLERS, Wires


class TestGrpcGrid(GridContract):
    @pytest.fixture(autouse=True)
    def wires(self, tmp_path: Path) -> Iterator[None]:
        self.wires_ = Wires(tmp_path)
        yield
        self.wires_.close()

    def make(self, apps: list[ClientApp]) -> Grid:
        grid = self.wires_.cloud(SELLERS[: len(apps)])
        for urn, app in zip(SELLERS, apps, strict=False):
            self.wires_.attach(grid.address, urn, app)
        assert grid.wait_attached(range(2, 2 + len(apps)), timeout=20) == set()
        return grid
