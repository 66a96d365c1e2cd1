"""A party answers the same after a crash, and knows what is over."""

import errno
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from sqlalchemy.exc import OperationalError

from parties.party import Memory, Party, step
from parties.store import KEPT_DAYS, DiskFailed, PartyStore
from protocol.encoding.codec import encode
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.messages.base import Hello, ProtocolMessage
from protocol.messages.purchase import Statement

NODE = FIRST_NODE_ID


class Counter(Party):
    """Counts the statements of one conversation, and answers with the sum."""

    role = "counter"
    calls = 0

    @step("settle")
    def settle(self, statement: Statement) -> Statement:
        type(self).calls += 1
        if statement.balance < 0:
            raise RuntimeError("told to fail")
        try:
            before = self.memory.recall("total", Statement).balance
        except KeyError:
            before = 0
        total = statement.model_copy(update={"balance": before + statement.balance})
        self.memory.keep("total", total)
        return total


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Counter.calls = 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "party.db"


@pytest.fixture
def grid(path: Path) -> Iterator[Grid]:
    with closing(PartyStore(path)) as store:
        yield LocalGrid([store.app(Counter(bytes(32)).client_app())])


def tell(grid: Grid, group: str, amount: int) -> int | str:
    statement = Statement(lines=(), balance=amount)
    (reply,) = grid.send_and_receive([grid.create_message(encode(statement), "query.settle", NODE, group)])
    return str(reply.error.reason).strip().splitlines()[-1] if reply.has_error() else balance(reply)


def balance(reply: Message) -> int:
    return int(reply.content["fields"]["balance"])  # type: ignore[arg-type,call-overload,index]


def test_asked_again_it_answers_the_same_and_does_nothing(grid: Grid) -> None:
    assert [tell(grid, "p/1", 5), tell(grid, "p/1", 5), tell(grid, "p/2", 5)] == [5, 5, 10]
    assert Counter.calls == 2


def test_after_a_crash_it_remembers(grid: Grid, path: Path) -> None:
    tell(grid, "p/1", 5)
    with closing(PartyStore(path)) as store:
        reborn = LocalGrid([store.app(Counter(bytes(32)).client_app())])
        assert [tell(reborn, "p/1", 5), tell(reborn, "p/2", 5)] == [5, 10]
    assert Counter.calls == 2


def test_each_conversation_has_its_own_memory(grid: Grid) -> None:
    assert [tell(grid, "p/1", 5), tell(grid, "q/1", 7), tell(grid, "p/2", 5)] == [5, 7, 10]


def test_who_was_restored_from_a_backup_is_followed(grid: Grid) -> None:
    """It asks under earlier numbers, the same and others; the party must not lose by what it has forgotten."""
    assert [tell(grid, "p/1", 5), tell(grid, "p/3", 5)] == [5, 10]
    assert [tell(grid, "p/1", 5), tell(grid, "p/2", 1), tell(grid, "p/2", 2), tell(grid, "p/3", 5)] == [15, 16, 18, 23]


def test_answers_that_arrived_are_forgotten(grid: Grid, path: Path) -> None:
    for number in range(1, 50):
        tell(grid, f"p/{number}", 1)
    with closing(PartyStore(path)) as store, store.database.transaction() as connection:
        kept = connection.exec_driver_sql("SELECT count(reply) FROM replies").scalar()
    assert kept == 1


class Drawer(Party):
    """Keeps every statement, as an entity keeps what it draws from a pool, and forgets the first of them later."""

    role = "drawer"

    @step("settle")
    def settle(self, statement: Statement) -> Statement:
        self.memory.keep(f"drawn-{statement.balance}", statement)
        if statement.balance == 3:
            self.memory.forget("drawn-1")
        return statement


def test_what_was_kept_before_is_not_written_again(path: Path) -> None:
    """A pool that an entity has drawn may be larger than a row of a database can be."""
    with closing(PartyStore(path)) as store:
        with store.database.transaction() as connection:
            connection.exec_driver_sql("CREATE TABLE written (name TEXT)")
            connection.exec_driver_sql(
                "CREATE TRIGGER writing AFTER INSERT ON records BEGIN INSERT INTO written VALUES (new.name); END"
            )
        grid = LocalGrid([store.app(Drawer(bytes(32)).client_app())])
        for number in range(1, 4):
            tell(grid, f"p/{number}", number)
        with store.database.transaction() as connection:
            written = connection.exec_driver_sql("SELECT name FROM written").scalars().all()
            kept = connection.exec_driver_sql("SELECT name FROM records").scalars().all()
    assert written == ["drawn-1", "drawn-2", "drawn-3"]
    assert kept == ["drawn-2", "drawn-3"]


def test_a_step_that_fails_leaves_nothing_and_may_be_tried_again(grid: Grid) -> None:
    tell(grid, "p/1", 5)
    assert "told to fail" in str(tell(grid, "p/2", -1))
    assert tell(grid, "p/2", 5) == 10


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OperationalError("INSERT", {}, Exception("disk is full")), False),
        (TimeoutError("no answer"), True),
    ],
)
def test_a_full_disk_is_no_answer(grid: Grid, monkeypatch: pytest.MonkeyPatch, failure: Exception, told: bool) -> None:
    """The party leaves, and the question is open still when it comes back."""

    def fail(memory: Memory, name: str, message: ProtocolMessage) -> None:
        raise failure

    tell(grid, "p/1", 5)
    with monkeypatch.context() as patch:
        patch.setattr(Memory, "keep", fail)
        if told:
            assert "no answer" in str(tell(grid, "p/2", 5))
        else:
            with pytest.raises(DiskFailed, match=r"No space left|disk is full"):
                tell(grid, "p/2", 5)
    assert tell(grid, "p/2", 5) == 10


def test_what_belongs_to_no_conversation_is_passed_on(grid: Grid) -> None:
    assert [tell(grid, "settle", 5), tell(grid, "settle", 5)] == [5, 10]
    assert Counter.calls == 2


def test_nobody_else_may_read_it(grid: Grid, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_old_conversations_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "party.db"
    for days, expected in ((0, 5), (KEPT_DAYS - 1, 10), (3 * KEPT_DAYS, 5)):
        with closing(PartyStore(path, clock=lambda days=days: 1e9 + days * 86_400)) as store:  # type: ignore[misc]
            grid = LocalGrid([store.app(Counter(bytes(32)).client_app())])
            assert tell(grid, f"p/{days + 1}", 5) == expected


def test_a_question_without_content_is_one_too(grid: Grid) -> None:
    message = grid.create_message(RecordDict({"x": ConfigRecord()}), "query.introduce", NODE, "p/1")
    (reply,) = grid.send_and_receive([message])
    assert reply.has_error()
    (reply,) = grid.send_and_receive([grid.create_message(encode(Hello()), "query.introduce", NODE, "p/1")])
    assert not reply.has_error()
