"""Whoever dies at whatever point, the purchase ends as it would have: nothing is lost, nothing is paid twice.

Every point of one purchase is tried by default, and a few random sequences of deaths. Thousands of them:

    pytest tests/parties/test_crashes.py --crashes 5000
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from durable import NOON, Crash, Outcome, Points, Town
from postgresql import new_schema, server


@pytest.fixture(scope="module")
def memory_disk() -> Iterator[Path]:
    """A folder in memory where there is one: what is synced there is synced at once."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def undisturbed(memory_disk: Path) -> tuple[Outcome, int]:
    """The outcome without a crash, and how many points there are."""
    town, points = Town(memory_disk / "undisturbed"), Points()
    (record,) = town.play(points)
    assert sorted(str(offer.outcome) for offer in record.offers) == ["accepted", "declined", "refunded"]
    kinds = {kind.partition(" ")[0] for kind in points.passed}
    assert kinds == {"commit", "question", "answer", "open", "mv", "rm_file", "replace"}
    return town.outcome(), points.passed.total()


def play_on(town: Town, point: Callable[[str], None] = lambda kind: None) -> bool:
    """Play until it is over, or somebody dies at a point; whether it is over."""
    try:
        town.play(point)
    except Crash:
        return False
    return True


def test_a_purchase_ends_well(undisturbed: tuple[Outcome, int]) -> None:
    outcome, _ = undisturbed
    assert [(state, step) for _, _, state, step in outcome.purchases] == [("ended", 12)]
    assert {state for _, state in outcome.escrows} == {"posted", "voided"}
    assert outcome.balances["escrow"] == sum(outcome.balances.values()) == 0
    assert sorted(name.split("/")[0] for name in outcome.bought) == ["bought-0", "refused"]
    assert outcome.vault == []


def test_played_again_it_changes_nothing(memory_disk: Path, undisturbed: tuple[Outcome, int]) -> None:
    town = Town(memory_disk / "undisturbed")
    assert play_on(town)
    assert town.outcome() == undisturbed[0]


class Remains:
    """What would be left of a town if all of it were killed at a point: its files, as they are then."""

    def __init__(self, town: Town, kept: Path) -> None:
        self.town, self.kept = town, kept
        self.towns: list[Path] = []

    def __call__(self, kind: str) -> None:
        self.towns.append(self.kept / f"{len(self.towns)} {kind}")
        shutil.copytree(self.town.root, self.towns[-1], ignore=shutil.ignore_patterns("*-shm"))  # SQLite's memory


def test_death_at_every_point(memory_disk: Path, undisturbed: tuple[Outcome, int]) -> None:
    expected, count = undisturbed
    town = Town(memory_disk / "alive")
    remains = Remains(town, memory_disk / "points")
    assert play_on(town, remains)
    assert len(remains.towns) == count
    for root in remains.towns:
        left = Town(root)
        assert play_on(left)
        assert left.outcome() == expected, f"died at point {root.name}"
        shutil.rmtree(root)


def test_death_with_the_books_on_postgresql(memory_disk: Path, undisturbed: tuple[Outcome, int]) -> None:
    """At some of the points: those of the cloud are the same as on SQLite."""
    expected, count = undisturbed
    with server() as url:
        for point in range(5, count, 15):
            town = Town(memory_disk / f"postgresql-{point}", new_schema(url, f"town{point}"))
            assert not play_on(town, Points(point))
            assert play_on(town)
            assert town.outcome() == expected, f"died at point {point}"


def test_death_again_and_again(
    memory_disk: Path, undisturbed: tuple[Outcome, int], pytestconfig: pytest.Config
) -> None:
    expected, count = undisturbed
    for seed in range(pytestconfig.getoption("--crashes")):
        generator = random.Random(seed)
        town = Town(memory_disk / f"seed-{seed}")
        while not play_on(town, Points(generator.randint(1, count))):
            pass
        assert town.outcome() == expected, f"deaths of seed {seed}"
        shutil.rmtree(town.root)


def test_a_first_death_so_early_that_nothing_began_is_no_purchase(memory_disk: Path) -> None:
    town = Town(memory_disk / "early")
    assert not play_on(town, Points(1))
    assert town.outcome().purchases == []


class At:
    """Dies the n-th time that a point of one kind is passed."""

    def __init__(self, kind: str, times: int = 1) -> None:
        self.kind, self.left = kind, times

    def __call__(self, kind: str) -> None:
        self.left -= kind == self.kind
        if self.left <= 0:
            raise Crash(self.kind)


@pytest.mark.parametrize("dies", ["question bid", "question pay", "question deliver", "question verify"])
def test_an_outage_of_the_cloud_costs_nobody_anything(
    memory_disk: Path, undisturbed: tuple[Outcome, int], dies: str
) -> None:
    """The cloud was away for a year: deadlines count only while it listens."""
    town = Town(memory_disk / dies.replace(" ", "-"))
    with pytest.raises(Crash):
        town.play(At(dies))
    town.clock = lambda: NOON + 365 * 86_400
    town.play()
    assert town.outcome() == undisturbed[0]
