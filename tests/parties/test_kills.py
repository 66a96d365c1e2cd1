"""Processes that are killed at random moments, for real: cloud, buyer and sellers, who meet over gRPC.

The number of a test that fails is the seed of its deaths. Hundreds of them:

    pytest tests/parties/test_kills.py --kills 200
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from durable import Outcome, Town
from processes import PATIENCE, Household

from parties.purchase.workflow import Purchase

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


class Forgetful(Town):
    """Its cloud is killed as it begins something for the first time."""

    moment = ""

    def alive(self, *arguments: Any, **more: Any) -> Any:
        begin: Callable[[Purchase], None] = getattr(Purchase, self.moment)

        def dying(purchase: Purchase) -> None:
            if not (self.root / "died").exists():
                (self.root / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            begin(purchase)

        setattr(Purchase, self.moment, dying)
        return super().alive(*arguments, **more)


class BeforeVerification(Forgetful):
    moment = "_verify"


class BeforeArbitration(Forgetful):
    moment = "_arbitrate"


class BeforePayout(Forgetful):
    moment = "_settle"


@pytest.mark.parametrize("kind", [BeforeVerification, BeforeArbitration, BeforePayout])
def test_a_cloud_that_is_killed_and_then_loses_its_vault_goes_on(
    tmp_path: Path, undisturbed: Outcome, kind: type[Forgetful]
) -> None:
    """The buyer has what it bought, and shows what it complains about; a verdict that was found stands."""
    household = Household(kind(tmp_path))
    try:
        household.running[0].join(PATIENCE)
        lost = [path for path in (tmp_path / "vault").rglob("*") if path.is_file()]
        for path in lost:
            path.unlink()
        household.kill(0)
        assert household.wait(PATIENCE)
    finally:
        household.close()
    assert lost
    assert household.town.outcome() == undisturbed
