"""Every effect once, whatever is asked again, and a database that keeps it."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from books import check_books, do, fund, funded, listening

from protocol.errors import ProtocolError
from protocol.storage.database import DatabaseVersion
from protocol.storage.ledger import Hold, IdempotencyConflict, Ledger, LedgerError, Posting, Release, Transfer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with funded() as opened:
        yield opened


class TestOnce:
    def test_a_replay_has_the_same_answer_and_no_effect(self, ledger: Ledger) -> None:
        runs = []

        def effect(posting: Posting) -> bytes:
            runs.append(1)
            posting.transfer([Transfer("buyer", "seller", 30, "")])
            return b"answer"

        assert [ledger.once("key", b"request", effect) for _ in range(3)] == [b"answer"] * 3
        assert len(runs) == 1
        assert ledger.balance("seller") == 30

    def test_a_key_is_for_one_request(self, ledger: Ledger) -> None:
        ledger.once("key", b"request", lambda _: b"answer")
        with pytest.raises(IdempotencyConflict, match="'key' was used before, for another request"):
            ledger.once("key", b"another", lambda _: b"answer")

    def test_a_failed_effect_leaves_nothing_and_may_be_tried_again(self, ledger: Ledger) -> None:
        before = ledger.balances()

        def effect(posting: Posting) -> bytes:
            posting.open_account("new")
            posting.hold([Hold("deal", "buyer", 10, "")])
            posting.transfer([Transfer("buyer", "seller", 30, "")])
            raise KeyError("bug")

        with pytest.raises(KeyError, match="bug"):
            ledger.once("key", b"request", effect)
        assert ledger.balances() == before
        assert list(ledger.escrows()) == []
        assert ledger.once("key", b"another request", lambda _: b"answer") == b"answer"

    def test_an_effect_may_answer_with_a_refusal(self, ledger: Ledger) -> None:
        """A call that raised has done nothing, so that going on after it is safe."""

        def effect(posting: Posting) -> bytes:
            posting.hold([Hold("kept", "buyer", 10, "")])
            refused: list[Callable[[], None]] = [
                lambda: posting.transfer([Transfer("buyer", "seller", 1, ""), Transfer("buyer", "seller", 90, "")]),
                lambda: posting.hold([Hold("a", "buyer", 1, ""), Hold("b", "buyer", 90, "")]),
                lambda: posting.hold([Hold("a", "buyer", 1, ""), Hold("kept", "buyer", 1, "")]),
                lambda: posting.post([Release("kept", {"nobody": 10})]),
                lambda: posting.void(["kept", "none"]),
                lambda: posting.open_accounts(["new", "mint"]),
            ]
            for attempt in refused:
                with pytest.raises(LedgerError):
                    attempt()
            return b"refused"

        assert ledger.once("key", b"request", effect) == b"refused"
        assert ledger.balances() == {"buyer": 90, "escrow": 10, "mint": -100, "seller": 0}
        assert [row.escrow_id for row in ledger.escrows()] == ["kept"]
        check_books(ledger)

    def test_inside_an_effect_only_the_posting_is_used(self, ledger: Ledger) -> None:
        def effect(_: Posting) -> bytes:
            return ledger.once("inner", b"", lambda _: b"")

        with pytest.raises(RuntimeError, match="through its posting only"):
            ledger.once("outer", b"", effect)
        assert ledger.once("outer", b"", lambda _: b"fine") == b"fine"

    def test_threads_and_ledgers_take_turns(self, url: str) -> None:
        """Two ledgers on one file stand for two processes; each key is asked for by all threads at once."""
        ledgers = [Ledger(url), Ledger(url)]
        do(ledgers[0], fund)
        runs: list[str] = []
        answers: list[bytes] = []

        def ask(own: Ledger) -> None:
            for i in range(20):

                def effect(posting: Posting, key: str = f"key {i}") -> bytes:
                    runs.append(key)
                    posting.transfer([Transfer("buyer", "seller", 1, key)])
                    return key.encode()

                answers.append(own.once(f"key {i}", b"request", effect))

        threads = [threading.Thread(target=ask, args=(ledgers[i % 2],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(runs) == sorted({f"key {i}" for i in range(20)})
        assert len(answers) == 80
        assert ledgers[1].balance("seller") == 20
        check_books(ledgers[0])
        for opened in ledgers:
            opened.close()

    def test_errors_are_protocol_errors(self) -> None:
        assert issubclass(LedgerError, ProtocolError)


class TestDatabase:
    def test_is_kept(self, url: str) -> None:
        with closing(Ledger(url)) as ledger:
            do(ledger, fund)
            before = list(ledger.entries())
        with closing(Ledger(url)) as ledger:
            assert list(ledger.entries()) == before
            assert ledger.balance("buyer") == 100

    def test_another_schema_version_is_refused(self, url: str, tmp_path: Path) -> None:
        Ledger(url).close()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            database.execute("UPDATE ledger_version SET version = 7")
            database.commit()
        with pytest.raises(DatabaseVersion, match="has schema version 7, but this program needs 5"):
            Ledger(url)

    def test_the_database_itself_refuses_a_negative_balance(self, url: str, tmp_path: Path) -> None:
        with closing(Ledger(url)) as ledger:
            do(ledger, fund)
        with (
            closing(sqlite3.connect(tmp_path / "ledger.db")) as database,
            pytest.raises(sqlite3.IntegrityError, match="never_below_zero"),
        ):
            database.execute("UPDATE accounts SET balance = -1 WHERE name = 'buyer'")

    def test_is_written_ahead(self, url: str, tmp_path: Path) -> None:
        Ledger(url).close()
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_every_connection_waits_for_the_disk(self, url: str) -> None:
        statements: list[tuple[int, int]] = []

        def look(connection: Any) -> None:
            driver = connection.connection.driver_connection
            pragmas = (driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys"))
            statements.append(tuple(pragmas))

        with listening("commit", look), closing(Ledger(url)) as ledger:
            do(ledger, fund)
        assert set(statements) == {(2, 1)}
