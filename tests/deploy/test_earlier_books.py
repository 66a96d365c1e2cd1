"""Books of an earlier version are taken over whole, or not at all."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_books import BUYER, SELLER, change, elsewhere, path_of, refusal, started

from deploy.books import audit_ledger
from deploy.kit import Address, Kit, read_kit
from deploy.provisioning import provision
from protocol.grids.grpc import EnrolledRoster


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    provision(tmp_path / "kit", Address("localhost"), {"seller": 1})
    return elsewhere(read_kit(tmp_path / "kit" / "cloud", ["cloud"]), "state")


VERSION_3 = """
CREATE TABLE ledger_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE accounts (
    name TEXT NOT NULL, overdraft BOOLEAN NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (name),
    CONSTRAINT never_below_zero CHECK (overdraft OR balance >= 0));
CREATE TABLE escrows (
    id INTEGER NOT NULL, escrow_id TEXT NOT NULL, payer TEXT NOT NULL, amount BIGINT NOT NULL,
    purpose TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (id), CONSTRAINT something_is_held CHECK (amount > 0),
    CONSTRAINT known_state CHECK (state IN ('pending', 'posted', 'voided')), UNIQUE (escrow_id),
    FOREIGN KEY(payer) REFERENCES accounts (name));
CREATE TABLE entries (
    id INTEGER NOT NULL, "transaction" BIGINT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL,
    memo TEXT NOT NULL, PRIMARY KEY (id), FOREIGN KEY(account) REFERENCES accounts (name));
CREATE TABLE replies (key TEXT NOT NULL, request BLOB NOT NULL, response BLOB NOT NULL, PRIMARY KEY (key));
CREATE TABLE workflows (name TEXT NOT NULL, workflow TEXT NOT NULL, opener BIGINT NOT NULL,
    state TEXT NOT NULL, step INTEGER NOT NULL, begun_at DOUBLE NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (name), CONSTRAINT known_workflow_state CHECK (state IN ('open', 'ended', 'failed')));
CREATE TABLE journal (workflow TEXT NOT NULL, number INTEGER NOT NULL, node BIGINT NOT NULL,
    kind TEXT NOT NULL, failure TEXT, content BLOB,
    PRIMARY KEY (workflow, number, node), FOREIGN KEY(workflow) REFERENCES workflows (name));
CREATE TABLE blobs (digest TEXT NOT NULL, workflow TEXT NOT NULL, PRIMARY KEY (digest),
    FOREIGN KEY(workflow) REFERENCES workflows (name));
INSERT INTO ledger_version VALUES (3);
INSERT INTO accounts VALUES ('escrow', 0, 0), ('mint', 1, -200), ('buyer-2', 0, 90), ('seller-3', 0, 110);
INSERT INTO entries VALUES
    (1, 1, 'mint', -100, 'deposit'), (2, 1, 'buyer-2', 100, 'deposit'),
    (3, 2, 'mint', -100, 'deposit'), (4, 2, 'seller-3', 100, 'deposit'),
    (5, 3, 'buyer-2', -10, 'hold e'), (6, 3, 'escrow', 10, 'hold e'),
    (7, 4, 'escrow', -10, 'post e'), (8, 4, 'seller-3', 10, 'post e');
INSERT INTO escrows VALUES (1, 'e', 'buyer-2', 10, 'an image', 'posted');
INSERT INTO workflows VALUES ('2-aa', 'purchase', 2, 'ended', 12, 1.0, '');
"""
"""What the version before wrote, with its roster in a file beside it."""


class TestBooksOfAnEarlierVersion:
    @pytest.fixture
    def old(self, kit: Kit) -> Kit:
        kit.secret()
        with closing(sqlite3.connect(path_of(kit))) as database:
            database.executescript(VERSION_3)
        return kit

    def roster(self, kit: Kit, content: Any) -> None:
        (kit.state / "roster.json").write_text(content if isinstance(content, str) else json.dumps(content))

    def test_its_parties_are_enrolled_and_keep_their_accounts(self, old: Kit) -> None:
        self.roster(old, [BUYER, SELLER])
        with started(old) as ledger:
            assert ledger.balances() == {"escrow": 0, "mint": -200, BUYER: 90, SELLER: 110}
            assert {entry.account for entry in ledger.entries()} == {"escrow", "mint", BUYER, SELLER}
            assert [escrow.payer for escrow in ledger.escrows()] == [BUYER]
            assert EnrolledRoster(ledger.database).members() == {2: BUYER, 3: SELLER}
        assert audit_ledger(path_of(old), old.state).sentences() == []

    def test_the_file_is_taken_over_once(self, old: Kit) -> None:
        self.roster(old, [BUYER, SELLER])
        with started(old):
            pass
        self.roster(old, [SELLER, BUYER])
        with started(old) as ledger:
            assert EnrolledRoster(ledger.database).members() == {2: BUYER, 3: SELLER}

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (None, "does not say whose"),
            ([BUYER], "does not say whose seller-3 is"),
            ([SELLER, BUYER], "does not say whose"),
            ('["urn:parley:buyer:ann"', "roster.json is damaged"),
            ([BUYER, BUYER], "roster.json is damaged"),
            (["ann", "bob"], "roster.json is damaged"),
            ({"a": 1}, "roster.json is damaged"),
        ],
    )
    def test_a_file_that_is_lost_or_cut_gives_no_account_away(self, old: Kit, content: Any, sentence: str) -> None:
        if content is not None:
            self.roster(old, content)
        assert sentence in refusal(old)
        self.roster(old, [BUYER, SELLER])
        with started(old) as ledger:
            assert ledger.balance(SELLER) == 110

    def test_accounts_of_nobody_can_be_left(self, old: Kit) -> None:
        self.roster(old, [BUYER])
        with started(old, adopt=True) as ledger:
            assert ledger.balances() == {"escrow": 0, "mint": -200, BUYER: 90, "seller-3": 110}

    def test_its_open_purchases_are_finished_first(self, old: Kit) -> None:
        self.roster(old, [BUYER, SELLER])
        change(path_of(old), "UPDATE workflows SET state = 'open'")
        before = path_of(old).read_bytes()
        assert "1 purchases of an earlier version are open: finish them with that version" in refusal(old)
        assert path_of(old).read_bytes() == before
