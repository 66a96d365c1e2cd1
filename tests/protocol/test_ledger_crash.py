"""A whole purchase, crashed between any two statements."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from books import fund, listening

from protocol.storage.ledger import Hold, Ledger, Posting, Release, Transfer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def settle(posting: Posting) -> None:
    posting.open_account("cloud")
    posting.post([Release("image 0", {"seller": 18, "cloud": 2}), Release("stake", {"buyer": 4, "seller": 5})])
    posting.void(["image 1", "image 2", "bond"])


PURCHASE: list[tuple[str, Callable[[Posting], None]]] = [
    ("open", fund),
    ("fund", lambda posting: posting.transfer([Transfer("mint", "seller", 9, "deposit")])),
    ("pay", lambda posting: posting.hold([Hold(f"image {i}", "buyer", 20, "price and commission") for i in range(3)])),
    ("stake", lambda posting: posting.hold([Hold("stake", "seller", 9, "stake")])),
    ("complain", lambda posting: posting.hold([Hold("bond", "buyer", 2, "bond")])),
    ("settle", settle),
    ("withdraw", lambda posting: posting.transfer([Transfer("seller", "mint", 23, "withdrawal")])),
]


def purchase(url: str) -> tuple[Any, ...]:
    """Run the purchase, as far as it has not run before, and tell all there is to know of its outcome."""
    with closing(Ledger(url)) as ledger:
        answers = []
        for step, move in PURCHASE:

            def effect(posting: Posting, step: str = step, move: Callable[[Posting], None] = move) -> bytes:
                move(posting)
                return f"{step} done".encode()

            answers.append(ledger.once(step, step.encode(), effect))
        return answers, ledger.balances(), list(ledger.entries()), list(ledger.escrows())


class Crash(Exception):
    """The process dies here."""


@contextmanager
def points(visit: Callable[[], None]) -> Iterator[None]:
    """Visit each point at which a process may die: between any two statements, those that commit included."""
    with listening("before_cursor_execute", lambda *_: visit()), listening("commit", lambda *_: visit()):
        yield


class Countdown:
    """Does nothing until it has been called often enough, then what it was given."""

    def __init__(self, calls: int, then: Callable[[], None]) -> None:
        self.calls, self.then = calls, then

    def __call__(self) -> None:
        self.calls -= 1
        if self.calls == 0:
            self.then()


def crash() -> None:
    raise Crash


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def purchase_until_killed(url: str, point: int) -> None:
    with points(Countdown(point, kill)):
        purchase(url)


class TestCrash:
    @pytest.fixture
    def expected(self) -> tuple[Any, ...]:
        return purchase("sqlite://")

    @pytest.fixture
    def number_of_points(self) -> int:
        visits: list[None] = []
        with points(lambda: visits.append(None)):
            purchase("sqlite://")
        return len(visits)

    def test_a_purchase_crashed_anywhere_and_retried_is_the_purchase(
        self, tmp_path: Path, expected: tuple[Any, ...], number_of_points: int
    ) -> None:
        assert number_of_points > 60
        for point in range(1, number_of_points + 1):
            url = f"sqlite:///{tmp_path / f'{point}.db'}"
            with points(Countdown(point, crash)), pytest.raises(Crash):
                purchase(url)
            assert purchase(url) == expected, f"crashed at point {point}"

    def test_a_purchase_that_crashes_again_and_again_is_the_purchase(
        self, url: str, expected: tuple[Any, ...], number_of_points: int
    ) -> None:
        """Each life is a little longer than the one before; together they are far longer than one purchase."""
        lives = range(5, number_of_points, 3)
        for life in lives:
            with points(Countdown(life, crash)), suppress(Crash):
                purchase(url)
        assert sum(lives) > 5 * number_of_points
        assert purchase(url) == expected

    @pytest.mark.parametrize("part", [0.1, 0.4, 0.7, 0.95])
    def test_a_killed_process_leaves_a_ledger_that_goes_on(
        self, url: str, expected: tuple[Any, ...], number_of_points: int, part: float
    ) -> None:
        child = get_context("spawn").Process(target=purchase_until_killed, args=(url, round(part * number_of_points)))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert purchase(url) == expected
