"""The ledger beside a model of it, by random calls."""

from collections import defaultdict
from collections.abc import Callable

import pytest
from books import check_books, do
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.storage.ledger import (
    ESCROW,
    EscrowExists,
    EscrowResolved,
    EscrowState,
    Hold,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidAmount,
    Ledger,
    LedgerError,
    Posting,
    Release,
    Transfer,
    UnknownEscrow,
)


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
