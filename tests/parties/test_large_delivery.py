"""Sealed images go through the vault, not through the cloud's memory.

The delivery of 2 GB takes some minutes and three times as much disk:

    pytest tests/parties/test_large_delivery.py --delivery 2000
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import small
from durable import Town
from processes import Household

from parties.album import Album, Pixels
from parties.purchase.seller import Seller

MOST = 200_000_000
"""Bytes that the cloud may need more."""
SCALE = 45
BYTES = 3 * (64 * SCALE) ** 2


class Enlarged:
    """An album whose pictures of 64 x 64 are shown at 25 MB each."""

    def __init__(self, album: Album, count: int) -> None:
        self._album, self._count = album, count

    def __len__(self) -> int:
        return min(self._count, len(self._album))

    def __getitem__(self, index: int) -> Pixels:
        return np.kron(self._album[index], np.ones((SCALE, SCALE, 1), np.uint8))


class LargeTown(Town):
    """One seller with many large pictures, and a buyer who wants all of them."""

    scenario = small(
        seed=6,
        buyer={"budget": 3000.0, "quality": "quantity", "samples": {"count": 20}},
        sellers={"count": 1, "noise": 0, "deposit": 100000, "album": {"images": 100}},
    )

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.first_seller = Seller

    def album(self, album: Album) -> Album:
        return Enlarged(album, int((self.root / "count").read_text()))


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads the memory that was needed from Linux's /proc"
)
def test_a_large_delivery_does_not_go_through_the_clouds_memory(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    wanted = pytestconfig.getoption("--delivery", 75) * 1_000_000
    (tmp_path / "count").write_text(str(-(-wanted // BYTES) + 1))
    household = Household(LargeTown(tmp_path))
    try:
        assert household.wait(1800)
    finally:
        household.close()
    outcome = household.town.outcome()
    delivered = sum(path.stat().st_size for path in (tmp_path / "bought-0" / "sealed").iterdir())
    needed = int((tmp_path / "memory").read_text())
    shutil.rmtree(tmp_path)
    print(f"{delivered / 1e6:.0f} MB delivered, and the cloud needed {needed / 1e6:.0f} MB more")
    assert delivered >= wanted
    assert len(outcome.bought) * BYTES >= wanted
    assert outcome.vault == []
    assert 0 < needed < MOST
