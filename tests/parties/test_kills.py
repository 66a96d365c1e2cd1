"""Processes that are killed at random moments, for real: cloud, buyer and sellers, who meet over gRPC.

The number of a test that fails is the seed of its deaths. Hundreds of them:

    pytest tests/parties/test_kills.py --kills 200
"""

import random
import shutil
from pathlib import Path

import pytest
from durable import Outcome, Town
from processes import PATIENCE, Household

DEATHS = 8


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--kills", 10)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome in one process, where nobody dies."""
    town = Town(tmp_path_factory.mktemp("undisturbed"))
    town.play()
    return town.outcome()


def test_whoever_is_killed_the_purchase_ends_as_it_does_in_one_process(
    tmp_path: Path, undisturbed: Outcome, seed: int
) -> None:
    generator = random.Random(seed)
    household = Household(Town(tmp_path))
    killed: list[str] = []
    try:
        while not household.wait(PATIENCE if len(killed) == DEATHS else generator.uniform(0.0, 1.0)):
            assert len(killed) < DEATHS, f"seed {seed}: no end after the deaths of {killed}"
            killed.append(household.kill(generator.randrange(len(household.members))))
    finally:
        household.close()
    assert household.town.outcome() == undisturbed, f"seed {seed}: the deaths of {killed}"
    shutil.rmtree(tmp_path)
