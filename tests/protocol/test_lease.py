"""One cloud at a time writes to a database, wherever it runs."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from books import do, fund
from sqlalchemy import select, update

from protocol.storage import lease as leases
from protocol.storage.lease import STALE, Lease, LeaseHeld, LeaseLost, held
from protocol.storage.ledger import Ledger
from protocol.storage.tables import lease


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cloud.sqlite'}"


class TestLease:
    """Two programs with one database; subclass it for another one."""

    @pytest.fixture
    def stack(self) -> Iterator[ExitStack]:
        with ExitStack() as opened:
            yield opened

    @pytest.fixture
    def first(self, url: str, stack: ExitStack) -> Ledger:
        return stack.enter_context(closing(Ledger(url)))

    @pytest.fixture
    def second(self, url: str, stack: ExitStack) -> Ledger:
        return stack.enter_context(closing(Ledger(url)))

    def age(self, ledger: Ledger, seconds: float) -> None:
        """Make a lease that nobody has renewed for some time."""
        with ledger.database.transaction() as connection:
            connection.execute(update(lease).values(renewed_at=lease.c.renewed_at - seconds))

    def test_a_second_holder_is_told_who_holds_it(self, first: Ledger, second: Ledger, stack: ExitStack) -> None:
        stack.enter_context(closing(Lease(first.database, "a", "north, process 7")))
        with pytest.raises(LeaseHeld, match=r"held by the cloud on north, process 7, started at 20\d\d-.* UTC: stop"):
            Lease(second.database, "b", "south, process 8")
        do(first, fund)
        do(second, lambda posting: None)  # who has no lease, as a simulation, is not asked for one

    def test_one_that_was_released_is_free(self, first: Ledger, second: Ledger, stack: ExitStack) -> None:
        Lease(first.database, "a", "north").close()
        with pytest.raises(LeaseLost):
            do(first, fund)
        stack.enter_context(closing(Lease(second.database, "b", "south")))

    @pytest.mark.parametrize("seconds", [STALE + 1, -3600.0])
    def test_one_that_is_stale_is_free_and_its_holder_writes_nothing_any_more(
        self, first: Ledger, second: Ledger, stack: ExitStack, seconds: float
    ) -> None:
        """Also after the clock was set back: the holder would have renewed it."""
        lost = stack.enter_context(closing(Lease(first.database, "a", "north")))
        self.age(second, seconds)
        stack.enter_context(closing(Lease(second.database, "b", "south")))
        with pytest.raises(LeaseLost, match="taken over by the cloud on south"):
            do(first, fund)
        with pytest.raises(LeaseLost):
            lost.renew()
        do(second, fund)
        assert first.balance("buyer") == 100

    def test_the_same_holder_takes_it_over_at_once(self, first: Ledger, second: Ledger, stack: ExitStack) -> None:
        stack.enter_context(closing(Lease(first.database, "a", "north, process 7")))
        stack.enter_context(closing(Lease(second.database, "a", "north, process 8")))
        do(second, fund)
        with pytest.raises(LeaseLost):
            do(first, fund)

    def test_what_a_holder_has_lost_it_does_not_release(self, first: Ledger, second: Ledger, stack: ExitStack) -> None:
        lost = Lease(first.database, "a", "north, process 7")
        stack.enter_context(closing(Lease(second.database, "a", "north, process 8")))
        lost.close()
        (row,) = second.database.read(select(lease))
        assert row.place == "north, process 8"

    def test_it_is_renewed_until_another_takes_it(
        self, first: Ledger, second: Ledger, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "RENEWAL", 0.01)
        renewed, lost = threading.Event(), threading.Event()
        stack.enter_context(
            closing(Lease(first.database, "a", "north", lambda error: lost.set(), on_renewed=renewed.set))
        )
        self.age(second, STALE + 1)
        renewed.clear()
        assert renewed.wait(20)
        with second.database.transaction() as connection:
            assert str(held(connection)).startswith("the cloud on north")
        stack.enter_context(closing(Lease(second.database, "a", "south")))
        assert lost.wait(20)
