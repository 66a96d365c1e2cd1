"""Accounts get new names wherever they are named, and the books stay in order."""

from contextlib import closing
from pathlib import Path

import pytest
from books import do, fund
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from protocol.storage.database import looking_into
from protocol.storage.ledger import Audit, Hold, Ledger, Release, Transfer, audit
from protocol.storage.ledger.renaming import rename_accounts


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cloud.sqlite'}"


def audited(url: str) -> Audit:
    with looking_into(url) as connection:
        assert connection is not None
        return audit(connection)


class TestRenaming:
    @pytest.fixture
    def books(self, url: str) -> str:
        with closing(Ledger(url)) as ledger:
            do(ledger, fund)
            do(ledger, lambda posting: posting.hold([Hold("a", "buyer", 10, ""), Hold("b", "buyer", 10, "")]))
            do(ledger, lambda posting: posting.post([Release("a", {"seller": 9, "buyer": 1})]))
            do(ledger, lambda posting: posting.void(["b"]))
        return url

    def test_money_and_escrows_are_under_the_new_names(self, books: str) -> None:
        with closing(Ledger(books)) as ledger:
            with ledger.database.transaction() as connection:
                rename_accounts(connection, {"buyer": "ann", "seller": "bob"})
            assert ledger.balances() == {"ann": 91, "bob": 9, "escrow": 0, "mint": -100}
            assert {row.payer for row in ledger.escrows()} == {"ann"}
            do(ledger, lambda posting: posting.transfer([Transfer("ann", "bob", 1, "")]))
        assert audited(books).sentences() == []

    def test_a_name_that_is_taken_changes_nothing(self, books: str) -> None:
        with closing(Ledger(books)) as ledger:
            with pytest.raises(IntegrityError), ledger.database.transaction() as connection:
                rename_accounts(connection, {"buyer": "mint"})
            assert ledger.balance("buyer") == 91
        assert audited(books).sentences() == []

    def test_a_forged_balance_is_found(self, books: str) -> None:
        with closing(Ledger(books)) as ledger, ledger.database.transaction() as connection:
            connection.execute(text("UPDATE accounts SET balance = balance + 1 WHERE name = 'buyer'"))
        assert audited(books).sentences()[0] == "account buyer holds 92, and its lines sum to 91"
