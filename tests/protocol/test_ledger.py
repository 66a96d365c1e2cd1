"""Accounts, transfers and escrow."""

from collections.abc import Iterator
from typing import Any

import pytest
from books import check_books, do, funded

from protocol.storage.ledger import (
    ESCROW,
    AccountExists,
    Entry,
    EscrowExists,
    EscrowResolved,
    EscrowRow,
    EscrowState,
    Hold,
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


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with funded() as opened:
        yield opened


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

    def test_what_a_workflow_holds_can_be_voided_by_its_name(self, ledger: Ledger) -> None:
        holds = [Hold(f"{scope}{i}", "buyer", 10, "", scope) for i in range(2) for scope in ("one", "other")]
        do(ledger, lambda posting: posting.hold(holds))
        do(ledger, lambda posting: posting.void(["one0"]))
        found: list[list[str]] = []

        def void_all(posting: Posting) -> None:
            found.append(posting.pending("other"))
            posting.void(found[0])
            found.append(posting.pending("other"))

        do(ledger, void_all)
        assert found == [["other0", "other1"], []]
        assert [row.scope for row in ledger.escrows() if row.state == EscrowState.PENDING] == ["", "", "one"]
        assert [row.escrow_id for row in ledger.escrows("other")] == ["other0", "other1"]

    def test_more_than_one_statement_can_name(self, ledger: Ledger) -> None:
        count = 12_000
        do(ledger, lambda posting: posting.transfer([Transfer("mint", "buyer", count, "")]))
        do(ledger, lambda posting: posting.open_accounts(f"seller {i}" for i in range(count)))
        do(ledger, lambda posting: posting.hold([Hold(f"{i}", "buyer", 1, "") for i in range(count)]))
        do(ledger, lambda posting: posting.post([Release(f"{i}", {f"seller {i}": 1}) for i in range(count - 1)]))
        do(ledger, lambda posting: posting.void([str(count - 1)]))
        assert ledger.balance("buyer") == 56
        check_books(ledger)
