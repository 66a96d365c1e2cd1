"""Figs. 7 to 9 of CrowdBuy at a small size."""

from pathlib import Path

import numpy as np
import pytest

from simulations.studies.reproductions import crowdbuy_selection
from simulations.studies.reproductions.crowdbuy_selection import COLUMNS, drawn_prices
from simulations.studies.reproductions.runner import run


def test_it_puts_what_each_quality_buys_beside_the_papers_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowdbuy_selection, "OFFERED", 400)
    monkeypatch.setattr(crowdbuy_selection, "BUDGET", 15_000)
    report = run("crowdbuy-selection", [1, 2], 1, None, tmp_path / "out", lambda what, done, total: None)
    assert len(report.rows) == 18
    assert all(set(row.cells) == set(COLUMNS) for row in report.rows)
    shares = [cell.ours.mean for row in report.rows for cell in row.cells.values()]
    assert all(0 <= share <= 1 for share in shares)
    area = [row.cells for row in report.rows if row.what[0].startswith("Fig. 9")]
    for column in ("diversity", "beacon", "crowdbuy-max"):
        assert all(cells[column].ours.mean <= cells["public-cost"].ours.mean + 0.02 for cells in area)
    assert "public-cost" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("model", ["uniform", "normal"])
def test_prices_have_the_mean_and_about_the_variance_they_claim(model: str) -> None:
    prices = drawn_prices(3, model) / 100
    assert prices.min() >= 0.05
    assert np.mean(prices) == pytest.approx(1.0, abs=0.04)
    assert np.var(prices) == pytest.approx(0.4, abs=0.07)
