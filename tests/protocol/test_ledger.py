import os
import signal
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, event

from protocol.database import DatabaseVersion
from protocol.errors import ProtocolError
from protocol.ledger import (
    ESCROW,
    AccountExists,
    Entry,
    EscrowExists,
    EscrowResolved,
    EscrowRow,
    EscrowState,
    Hold,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidAmount,
    Ledger,
    LedgerError,
    Posting,
    Release,
    ReservedAccount,
    Transfer,
    UnknownAccount,
    UnknownEscrow,
)

Effect = Callable[[Posting], bytes]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A mint, a buyer with 100 and a seller with nothing."""
    with closing(Ledger()) as opened:
        do(opened, fund)
        yield opened


def fund(posting: Posting) -> None:
    posting.open_account("mint", overdraft=True)
    posting.open_accounts(["buyer", "seller"])
    posting.transfer([Transfer("mint", "buyer", 100, "deposit")])


def do(ledger: Ledger, effect: Callable[[Posting], None]) -> None:
    """Post under a key of its own."""
    key = f"step {sum(1 for _ in ledger.entries())} {os.urandom(4).hex()}"

    def answered(posting: Posting) -> bytes:
        effect(posting)
        return b"done"

    ledger.once(key, b"", answered)


def check_books(ledger: Ledger) -> None:
    """Balances are those of the journal, whose transactions each sum to zero; escrow is what is pending."""
    balances: defaultdict[str, int] = defaultdict(int)
    transactions: defaultdict[int, int] = defaultdict(int)
    for entry in ledger.entries():
        balances[entry.account] += entry.amount
        transactions[entry.transaction] += entry.amount
    assert list(transactions) == list(range(1, len(transactions) + 1))
    assert not any(transactions.values())
    assert {name: balances[name] for name in ledger.balances()} == ledger.balances()
    assert sum(ledger.balances().values()) == 0
    assert all(balance >= 0 for name, balance in ledger.balances().items() if name != "mint")
    assert ledger.balance(ESCROW) == sum(row.amount for row in ledger.escrows() if row.state == EscrowState.PENDING)


class TestTransfer:
    def test_moves_money_and_keeps_a_journal(self, ledger: Ledger) -> None:
        do(ledger, lambda posting: posting.transfer([Transfer("buyer", "seller", 30, "tip")]))
        assert ledger.balances() == {"buyer": 70, "escrow": 0, "mint": -100, "seller": 30}
        assert list(ledger.entries()) == [
            Entry(1, "mint", -100, "deposit"),
            Entry(1, "buyer", 100, "deposit"),
            Entry(2, "buyer", -30, "tip"),
            Entry(2, "seller", 30, "tip"),
        ]

    def test_each_movement_is_a_transaction_of_its_own(self, ledger: Ledger) -> None:
        def effect(posting: Posting) -> None:
            posting.transfer([Transfer("buyer", "seller", 1, ""), Transfer("buyer", "seller", 2, "")])
            posting.hold([Hold("deal", "buyer", 3, "")])
            posting.post([Release("deal", {"seller": 2, "mint": 1})])

        do(ledger, effect)
        assert [entry.transaction for entry in ledger.entries()] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]

    def test_never_leaves_an_account_below_zero(self, ledger: Ledger) -> None:
        with pytest.raises(InsufficientFunds, match="'buyer' holds 100, which is 1 too little"):
            do(ledger, lambda posting: posting.transfer([Transfer("buyer", "seller", 101, "")]))
        check_books(ledger)

    def test_is_checked_as_a_whole(self, ledger: Ledger) -> None:
        there_and_on = [Transfer("seller", "mint", 40, "first out"), Transfer("buyer", "seller", 40, "then in")]
        do(ledger, lambda posting: posting.transfer(there_and_on))
        assert ledger.balances() == {"buyer": 60, "escrow": 0, "mint": -60, "seller": 0}
        with pytest.raises(InsufficientFunds, match="'buyer' holds 60, which is 20 too little"):
            do(ledger, lambda posting: posting.transfer([Transfer("buyer", "seller", 40, "")] * 2))

    @pytest.mark.parametrize("amount", [0, -1, 2**63, 1.0, True, "1", None])
    def test_refuses_amounts_that_are_no_positive_integer(self, ledger: Ledger, amount: Any) -> None:
        with pytest.raises(InvalidAmount, match="a transfer from 'mint' to 'buyer' must be an integer of minor units"):
            do(ledger, lambda posting: posting.transfer([Transfer("mint", "buyer", amount, "")]))

    def test_refuses_balances_that_no_database_can_hold(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidAmount, match="more than the ledger can count"):
            do(ledger, lambda posting: posting.transfer([Transfer("mint", "buyer", 2**63 - 1, "")]))

    @pytest.mark.parametrize("names", [("buyer", "nobody"), ("nobody", "buyer")])
    def test_refuses_unknown_accounts(self, ledger: Ledger, names: tuple[str, str]) -> None:
        with pytest.raises(UnknownAccount, match="there is no account 'nobody'"):
            do(ledger, lambda posting: posting.transfer([Transfer(*names, 1, "")]))

    @pytest.mark.parametrize("names", [("buyer", ESCROW), (ESCROW, "buyer")])
    def test_keeps_off_the_escrow_account(self, ledger: Ledger, names: tuple[str, str]) -> None:
        with pytest.raises(ReservedAccount):
            do(ledger, lambda posting: posting.transfer([Transfer(*names, 1, "")]))


class TestAccounts:
    def test_opening_again_changes_nothing(self, ledger: Ledger) -> None:
        do(ledger, lambda posting: posting.open_accounts(["buyer", "new", "new"]))
        assert ledger.balances() == {"buyer": 100, "escrow": 0, "mint": -100, "new": 0, "seller": 0}

    @pytest.mark.parametrize(("name", "overdraft"), [("buyer", True), ("mint", False)])
    def test_an_overdraft_is_decided_once(self, ledger: Ledger, name: str, overdraft: bool) -> None:
        with pytest.raises(AccountExists, match=f"{name!r} is open already"):
            do(ledger, lambda posting: posting.open_account(name, overdraft))

    def test_the_escrow_account_is_nobodys(self, ledger: Ledger) -> None:
        with pytest.raises(ReservedAccount):
            do(ledger, lambda posting: posting.open_account(ESCROW))

    def test_an_effect_sees_what_it_did(self, ledger: Ledger) -> None:
        seen = []

        def effect(posting: Posting) -> None:
            posting.transfer([Transfer("buyer", "seller", 30, "")])
            seen.append(posting.balance("seller"))

        do(ledger, effect)
        assert seen == [30]

    def test_unknown_ones_have_no_balance(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownAccount):
            ledger.balance("nobody")
        with pytest.raises(UnknownAccount):
            do(ledger, lambda posting: print(posting.balance("nobody")))


class TestEscrow:
    @pytest.fixture(autouse=True)
    def _held(self, ledger: Ledger) -> None:
        do(ledger, lambda posting: posting.hold([Hold("deal", "buyer", 40, "image 1"), Hold("bond", "buyer", 5, "")]))

    def test_sets_money_aside(self, ledger: Ledger) -> None:
        assert ledger.balance("buyer") == 55
        assert ledger.balance(ESCROW) == 45
        assert list(ledger.escrows()) == [
            EscrowRow("deal", "buyer", 40, "image 1", EscrowState.PENDING),
            EscrowRow("bond", "buyer", 5, "", EscrowState.PENDING),
        ]

    def test_posting_pays_out(self, ledger: Ledger) -> None:
        payouts = {"seller": 30, "mint": 10, "buyer": 0}
        do(ledger, lambda posting: posting.post([Release("deal", payouts)]))
        assert ledger.balances() == {"buyer": 55, "escrow": 5, "mint": -90, "seller": 30}
        assert [row.state for row in ledger.escrows()] == [EscrowState.POSTED, EscrowState.PENDING]
        assert [entry.account for entry in ledger.entries()][-3:] == [ESCROW, "seller", "mint"]
        check_books(ledger)

    def test_voiding_gives_back(self, ledger: Ledger) -> None:
        do(ledger, lambda posting: posting.void(["deal"]))
        assert ledger.balance("buyer") == 95
        assert [row.state for row in ledger.escrows()] == [EscrowState.VOIDED, EscrowState.PENDING]
        check_books(ledger)

    @pytest.mark.parametrize("first", ["post", "void"])
    @pytest.mark.parametrize("second", ["post", "void"])
    def test_resolves_only_once(self, ledger: Ledger, first: str, second: str) -> None:
        moves = {
            "post": lambda posting: posting.post([Release("deal", {"seller": 40})]),
            "void": lambda posting: posting.void(["deal"]),
        }
        do(ledger, moves[first])
        before = ledger.balances()
        with pytest.raises(EscrowResolved, match=f"'deal' was {first}ed before"):
            do(ledger, moves[second])
        assert ledger.balances() == before

    def test_resolves_only_once_within_a_call(self, ledger: Ledger) -> None:
        with pytest.raises(EscrowResolved, match="named twice"):
            do(ledger, lambda posting: posting.void(["deal", "deal"]))
        with pytest.raises(EscrowResolved, match="named twice"):
            do(ledger, lambda posting: posting.post([Release("deal", {"seller": 40})] * 2))

    def test_resolves_only_once_within_an_effect(self, ledger: Ledger) -> None:
        def effect(posting: Posting) -> None:
            posting.void(["deal"])
            posting.post([Release("deal", {"seller": 40})])

        with pytest.raises(EscrowResolved):
            do(ledger, effect)
        assert [row.state for row in ledger.escrows()] == [EscrowState.PENDING] * 2

    @pytest.mark.parametrize("payouts", [{}, {"seller": 39}, {"seller": 41}, {"seller": 40, "mint": 1}])
    def test_payouts_sum_to_what_is_held(self, ledger: Ledger, payouts: dict[str, int]) -> None:
        with pytest.raises(InvalidAmount, match=f"sum to {sum(payouts.values())}, but 40 are held"):
            do(ledger, lambda posting: posting.post([Release("deal", payouts)]))

    def test_payouts_are_never_negative(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidAmount, match="the payout of escrow 'deal' to 'buyer' must be"):
            do(ledger, lambda posting: posting.post([Release("deal", {"seller": 41, "buyer": -1})]))

    def test_payouts_go_to_accounts(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownAccount):
            do(ledger, lambda posting: posting.post([Release("deal", {"nobody": 40})]))
        with pytest.raises(ReservedAccount):
            do(ledger, lambda posting: posting.post([Release("deal", {ESCROW: 40})]))

    def test_unknown_ones_do_not_resolve(self, ledger: Ledger) -> None:
        with pytest.raises(UnknownEscrow, match="there is no escrow 'none'"):
            do(ledger, lambda posting: posting.void(["deal", "none"]))
        with pytest.raises(UnknownEscrow):
            do(ledger, lambda posting: posting.post([Release("none", {})]))

    @pytest.mark.parametrize("resolve", [False, True])
    def test_ids_are_used_once(self, ledger: Ledger, resolve: bool) -> None:
        if resolve:
            do(ledger, lambda posting: posting.void(["deal"]))
        with pytest.raises(EscrowExists, match="'deal' was held before"):
            do(ledger, lambda posting: posting.hold([Hold("deal", "buyer", 1, "")]))
        with pytest.raises(EscrowExists):
            do(ledger, lambda posting: posting.hold([Hold("new", "buyer", 1, "")] * 2))

    @pytest.mark.parametrize(
        ("hold", "error"),
        [
            (Hold("new", "buyer", 56, ""), InsufficientFunds),
            (Hold("new", "buyer", 0, ""), InvalidAmount),
            (Hold("new", "nobody", 1, ""), UnknownAccount),
            (Hold("new", ESCROW, 1, ""), ReservedAccount),
        ],
    )
    def test_only_money_that_is_there_is_held(self, ledger: Ledger, hold: Hold, error: type[LedgerError]) -> None:
        before = ledger.balances()
        with pytest.raises(error):
            do(ledger, lambda posting: posting.hold([Hold("fine", "buyer", 1, ""), hold]))
        assert ledger.balances() == before
        assert len(list(ledger.escrows())) == 2

    def test_more_than_one_statement_can_name(self, ledger: Ledger) -> None:
        count = 12_000
        do(ledger, lambda posting: posting.transfer([Transfer("mint", "buyer", count, "")]))
        do(ledger, lambda posting: posting.open_accounts(f"seller {i}" for i in range(count)))
        do(ledger, lambda posting: posting.hold([Hold(f"{i}", "buyer", 1, "") for i in range(count)]))
        do(ledger, lambda posting: posting.post([Release(f"{i}", {f"seller {i}": 1}) for i in range(count - 1)]))
        do(ledger, lambda posting: posting.void([str(count - 1)]))
        assert ledger.balance("buyer") == 56
        check_books(ledger)


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
        with pytest.raises(DatabaseVersion, match="has schema version 7, but this program needs 2"):
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


class Model(RuleBasedStateMachine):
    """The ledger beside three dictionaries."""

    names = ("mint", "buyer", "seller", "cloud")
    accounts = st.sampled_from(names)
    amounts = st.integers(1, 60)
    ids = st.sampled_from([f"deal {i}" for i in range(8)])

    @initialize()
    def open(self) -> None:
        self.ledger = Ledger()
        self.balances = dict.fromkeys((*self.names, ESCROW), 0)
        self.escrows: dict[str, tuple[str, int, EscrowState]] = {}
        self.answered: dict[str, bytes] = {}
        do(self.ledger, lambda posting: posting.open_account("mint", overdraft=True))
        do(self.ledger, lambda posting: posting.open_accounts(self.names[1:]))

    def teardown(self) -> None:
        self.ledger.close()

    def attempt(
        self, effect: Callable[[Posting], None], changes: dict[str, int], error: type[LedgerError] | None
    ) -> bool:
        """Post, and hold the ledger to what the model foresees: these changes, or this error and no change."""
        after = {name: balance + changes.get(name, 0) for name, balance in self.balances.items()}
        if error is None and any(balance < 0 for name, balance in after.items() if name != "mint"):
            error = InsufficientFunds
        key = f"key {len(self.answered)}"

        def answered(posting: Posting) -> bytes:
            effect(posting)
            return key.encode()

        if error is not None:
            with pytest.raises(error):
                self.ledger.once(key, b"request", answered)
            return False
        self.answered[key] = self.ledger.once(key, b"request", answered)
        self.balances = after
        return True

    @rule(moves=st.lists(st.tuples(accounts, accounts, amounts), max_size=4))
    def transfer(self, moves: list[tuple[str, str, int]]) -> None:
        changes: defaultdict[str, int] = defaultdict(int)
        for source, target, amount in moves:
            changes[source] -= amount
            changes[target] += amount
        transfers = [Transfer(*move, "") for move in moves]
        self.attempt(lambda posting: posting.transfer(transfers), changes, None)

    @rule(wanted=st.lists(st.tuples(ids, accounts, amounts), max_size=3))
    def hold(self, wanted: list[tuple[str, str, int]]) -> None:
        changes: defaultdict[str, int] = defaultdict(int)
        for _, payer, amount in wanted:
            changes[payer] -= amount
            changes[ESCROW] += amount
        ids = [escrow_id for escrow_id, _, _ in wanted]
        taken = len(set(ids)) < len(ids) or any(escrow_id in self.escrows for escrow_id in ids)
        holds = [Hold(*want, "") for want in wanted]
        if self.attempt(lambda posting: posting.hold(holds), changes, EscrowExists if taken else None):
            self.escrows |= {escrow_id: (payer, amount, EscrowState.PENDING) for escrow_id, payer, amount in wanted}

    def resolvable(self, ids: list[str]) -> type[LedgerError] | None:
        seen = set()
        for escrow_id in ids:
            if escrow_id not in self.escrows:
                return UnknownEscrow
            if self.escrows[escrow_id][2] != EscrowState.PENDING or escrow_id in seen:
                return EscrowResolved
            seen.add(escrow_id)
        return None

    def resolve(self, ids: list[str], state: EscrowState) -> None:
        self.escrows |= {escrow_id: (*self.escrows[escrow_id][:2], state) for escrow_id in ids}

    @rule(
        ids=st.lists(ids, min_size=1, max_size=3),
        seller=accounts,
        share=st.floats(0, 1),
        lost=st.sampled_from([0, 0, 1]),
    )
    def post(self, ids: list[str], seller: str, share: float, lost: int) -> None:
        error = self.resolvable(ids) or (InvalidAmount if lost else None)
        changes: defaultdict[str, int] = defaultdict(int)
        releases = []
        for escrow_id in ids:
            amount = self.escrows[escrow_id][1] if escrow_id in self.escrows else 1
            paid = round(amount * share)
            payouts = {seller: paid - lost, "cloud": amount - paid} if seller != "cloud" else {seller: amount - lost}
            releases.append(Release(escrow_id, payouts))
            for account, payout in payouts.items():
                changes[account] += payout
            changes[ESCROW] -= amount
        if self.attempt(lambda posting: posting.post(releases), changes, error):
            self.resolve(ids, EscrowState.POSTED)

    @rule(ids=st.lists(ids, min_size=1, max_size=3))
    def void(self, ids: list[str]) -> None:
        error = self.resolvable(ids)
        changes: defaultdict[str, int] = defaultdict(int)
        for escrow_id in ids:
            payer, amount, _ = self.escrows.get(escrow_id, ("mint", 0, None))
            changes[payer] += amount
            changes[ESCROW] -= amount
        if self.attempt(lambda posting: posting.void(ids), changes, error):
            self.resolve(ids, EscrowState.VOIDED)

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.answered)))

        def never(posting: Posting) -> bytes:
            raise AssertionError("a replay ran its effect")

        assert self.ledger.once(key, b"request", never) == self.answered[key]
        with pytest.raises(IdempotencyConflict):
            self.ledger.once(key, b"another request", never)

    @rule(amount=amounts)
    def crash_in_an_effect(self, amount: int) -> None:
        def effect(posting: Posting) -> bytes:
            posting.open_account("stray")
            posting.transfer([Transfer("mint", "stray", amount, "")])
            posting.hold([Hold("stray", "stray", amount, "")])
            raise KeyError("crash")

        with pytest.raises(KeyError):
            self.ledger.once(f"key {len(self.answered)}", b"request", effect)

    @invariant()
    def agrees_with_the_ledger(self) -> None:
        assert self.ledger.balances() == self.balances
        held = {row.escrow_id: (row.payer, row.amount, row.state) for row in self.ledger.escrows()}
        assert held == self.escrows
        check_books(self.ledger)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


# A whole purchase, crashed between any two statements.


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
def listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)


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
