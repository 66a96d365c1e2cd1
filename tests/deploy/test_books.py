"""A cloud starts on its own books, whole and in order, or says in one sentence why not."""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from postgresql import new_schema, server

from deploy.books import ledger_of, open_books
from deploy.cloud import vault_of
from deploy.kit import Address, Kit, read_kit
from deploy.provisioning import provision
from protocol.errors import BadKit
from protocol.grids.grpc import EnrolledRoster
from protocol.journal import Journal, WorkflowState
from protocol.storage.files import private_folder
from protocol.storage.ledger import Hold, Ledger, Posting, Transfer
from protocol.storage.vault import Vault
from simulations.cli import main

BUYER, SELLER = "urn:parley:buyer:ann", "urn:parley:seller:bob"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    provision(tmp_path / "kit", Address("localhost"), {"seller": 1})
    return elsewhere(read_kit(tmp_path / "kit" / "cloud", ["cloud"]), "state")


def elsewhere(kit: Kit, state: str) -> Kit:
    """The same kit with another state folder."""
    folder = kit.folder.parent / state
    private_folder(folder)
    return Kit(kit.folder, folder, kit.party, kit.credentials, kit.ca)


@contextmanager
def started(kit: Kit, url: str | None = None, adopt: bool = False) -> Iterator[Ledger]:
    """A cloud's ledger, from start to stop."""
    with ExitStack() as stack:
        yield open_books(kit, ledger_of(kit, url), vault_of(kit), stack, adopt=adopt)


def refusal(kit: Kit, url: str | None = None) -> str:
    with pytest.raises(BadKit) as error, started(kit, url):
        pass
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def journal_of(ledger: Ledger) -> Journal:
    return Journal(ledger.database, Vault("memory://books"))


def buy(ledger: Ledger, name: str = "2-aa", end: bool = True) -> None:
    """A purchase, up to its escrow or to its end."""

    def effect(posting: Posting) -> bytes:
        posting.open_account("mint", overdraft=True)
        for account in posting.open_accounts([BUYER, SELLER]):
            posting.transfer([Transfer("mint", account, 100, "deposit")])
        posting.hold([Hold(f"escrow/{name}", BUYER, 30, "an image", name)])
        return b""

    journal_of(ledger).begin(name, "purchase", 2, 1000.0)
    ledger.once(f"{name}/escrow", b"", effect)
    if end:
        journal_of(ledger).end(name, WorkflowState.FAILED)


def path_of(kit: Kit) -> Path:
    return kit.state / "cloud.sqlite"


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def test_a_cloud_goes_on_with_its_books(kit: Kit) -> None:
    with started(kit) as ledger:
        buy(ledger, end=False)
        name = ledger.id()
    with started(kit) as ledger:
        assert ledger.id() == name
        assert ledger.balance(BUYER) == 70


class TestBooksThatAreNotThere:
    def test_a_ledger_that_is_missing(self, kit: Kit) -> None:
        with started(kit):
            pass
        path_of(kit).unlink()
        sentence = refusal(kit)
        assert "this cloud has had a ledger, and there is none at sqlite:///" in sentence
        assert "restore it from a backup" in sentence
        assert not path_of(kit).exists()
        with started(kit, adopt=True):
            pass
        with started(kit):
            pass

    def test_a_secret_without_a_ledger(self, kit: Kit) -> None:
        kit.secret()
        assert "this cloud has had a ledger" in refusal(kit)

    def test_an_empty_database_in_its_place(self, kit: Kit) -> None:
        with started(kit):
            pass
        sqlite3.connect(kit.state / "other.sqlite").close()
        assert "there is none at" in refusal(kit, f"sqlite:///{kit.state / 'other.sqlite'}")

    def test_the_ledger_of_another_cloud(self, kit: Kit) -> None:
        with started(kit) as ledger:
            mine = ledger.id()
        url = f"sqlite:///{kit.state / 'other.sqlite'}"
        Ledger(url).close()
        assert f"and this cloud's is {mine}: restore it from a backup, or name the right" in refusal(kit, url)

    def test_an_older_copy(self, kit: Kit) -> None:
        with started(kit) as ledger:
            buy(ledger)
        shutil.copy(path_of(kit), kit.state / "backup")
        with started(kit) as ledger:
            buy(ledger, "2-bb")
        shutil.copy(kit.state / "backup", path_of(kit))
        assert "is an older copy: it lacks what this cloud wrote last" in refusal(kit)
        with started(kit, adopt=True):
            pass
        with started(kit) as ledger:
            assert ledger.balance(BUYER) == 100


class TestBooksThatAreNotInOrder:
    @pytest.mark.parametrize(
        ("statement", "sentence"),
        [
            (
                f"UPDATE accounts SET balance = balance + 5 WHERE name = '{BUYER}'",
                "holds 105, and its lines",
            ),
            ("UPDATE entries SET amount = 3 WHERE id = 2", "line 2 does not follow from the one before"),
            ("DELETE FROM escrows", "holds escrow escrow/2-aa, which is not on record"),
        ],
    )
    def test_what_was_forged(self, kit: Kit, statement: str, sentence: str) -> None:
        with started(kit) as ledger:
            buy(ledger)
        change(path_of(kit), statement)
        said = refusal(kit)
        assert sentence in said
        assert "`parley audit ledger` shows everything" in said
        with pytest.raises(BadKit, match="not in order"), started(kit, adopt=True):
            pass

    def test_a_file_that_is_cut(self, kit: Kit) -> None:
        with started(kit) as ledger:
            buy(ledger)
        whole = path_of(kit).read_bytes()
        path_of(kit).write_bytes(whole[: len(whole) // 2])
        assert "is damaged and has to be restored from a backup" in refusal(kit)
        path_of(kit).write_bytes(b"not a database" * 1000)
        assert "from a backup: (sqlite3.DatabaseError) file is not a database" in refusal(kit)

    def test_money_that_nobody_will_release(self, kit: Kit) -> None:
        with started(kit) as ledger:
            buy(ledger, end=False)
        change(path_of(kit), "UPDATE workflows SET state = 'failed'")
        assert "1 escrows belong to no open purchase, escrow/2-aa the first" in refusal(kit)
        with started(kit, adopt=True) as ledger:
            assert ledger.balance(BUYER) == 100
        with started(kit):
            pass


class TestAnotherStateFolder:
    def test_a_secret_that_was_lost_while_purchases_are_open(self, kit: Kit) -> None:
        with started(kit) as ledger:
            buy(ledger, end=False)
        secret = kit.secret()
        (kit.state / "secret").unlink()
        assert "1 purchases are open in the ledger under another secret than" in refusal(kit)
        assert not (kit.state / "secret").exists()
        (kit.state / "secret").write_bytes(secret)
        with started(kit):
            pass

    def test_taking_over_ends_what_is_open_and_gives_back_what_is_held(self, kit: Kit) -> None:
        with started(kit) as ledger:
            buy(ledger, end=False)
        (kit.state / "secret").write_bytes(bytes(32))
        refusal(kit)
        with started(kit, adopt=True) as ledger:
            (row,) = journal_of(ledger).workflows()
            assert (row.state, row.note) == (WorkflowState.FAILED, "its cloud was replaced")
            assert ledger.balances() == {BUYER: 100, SELLER: 100, "escrow": 0, "mint": -200}
        with started(kit):
            pass

    def test_where_nothing_is_amiss_nothing_is_taken_over(self, kit: Kit) -> None:
        """``--adopt`` may stay in a service's command."""
        for _ in range(2):
            with started(kit, adopt=True) as ledger:
                if not journal_of(ledger).workflows():
                    buy(ledger, end=False)
                assert [row.state for row in journal_of(ledger).workflows()] == [WorkflowState.OPEN]

    def test_books_without_a_state_folder_know_who_is_who(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        """Nobody gets another one's account, whoever attaches first."""
        url = f"sqlite:///{kit.folder.parent / 'kept.sqlite'}"
        with started(kit, url) as ledger:
            roster = EnrolledRoster(ledger.database)
            assert [roster.node_id(urn) for urn in (BUYER, SELLER)] == [2, 3]
            buy(ledger)
        with started(elsewhere(kit, "new"), url) as ledger:
            assert "another state folder's" in caplog.text
            roster = EnrolledRoster(ledger.database)
            assert roster.node_id("urn:parley:seller:eve") == 4
            assert (roster.account("seller", 3), roster.account("seller", 4)) == (SELLER, "urn:parley:seller:eve")
        caplog.clear()
        with started(elsewhere(kit, "new"), url):
            assert "another state folder's" not in caplog.text

    def test_a_memory_that_is_damaged(self, kit: Kit) -> None:
        with started(kit):
            pass
        (kit.state / "ledger.json").write_text("{}")
        assert "ledger.json is damaged" in refusal(kit)

    def test_a_second_cloud_on_the_same_ledger(self, kit: Kit) -> None:
        url = f"sqlite:///{kit.folder.parent / 'kept.sqlite'}"
        with started(kit, url):
            assert "the ledger is held by the cloud on" in refusal(elsewhere(kit, "other"), url)
        with started(elsewhere(kit, "other"), url):
            pass

    def test_a_cloud_that_was_killed_starts_again_at_once(self, kit: Kit) -> None:
        """Its lease is still there."""
        with started(kit), started(kit) as ledger:
            buy(ledger)


def test_books_on_postgresql(kit: Kit, tmp_path: Path) -> None:
    """They outlive the cloud's machine; an empty database in their place is none."""
    with server() as running:
        kept, empty = new_schema(running, "kept"), new_schema(running, "empty")
        with started(kit, kept) as ledger:
            name = ledger.id()
            buy(ledger, end=False)
            assert "the ledger is held by the cloud on" in refusal(elsewhere(kit, "other"), kept)
        assert "there is none at postgresql+psycopg://" in refusal(kit, empty)
        assert "purchases are open in the ledger under another secret" in refusal(elsewhere(kit, "new"), kept)
        with started(elsewhere(kit, "new"), kept, adopt=True) as ledger:
            assert ledger.id() == name
            assert ledger.balance(BUYER) == 100
        with Ledger(kept).database.transaction() as connection:
            connection.exec_driver_sql("UPDATE entries SET amount = amount + 1 WHERE id = 2")
        assert "line 2 does not follow" in refusal(kit, kept)


class TestTheCommand:
    @pytest.fixture
    def run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str]]:
        def run(*words: object) -> tuple[int, str]:
            monkeypatch.setattr(sys, "argv", ["parley", "audit", "ledger", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
            said = capsys.readouterr()
            return int(ended.value.code or 0), said.out + said.err

        return run

    def test_it_counts_what_is_in_order(self, kit: Kit, run: Callable[..., tuple[int, str]]) -> None:
        with started(kit) as ledger:
            buy(ledger, end=False)
            code, said = run("--kit", kit.folder, "--state", kit.state)
            assert (code, "3 transactions, 4 accounts, 1 escrows, of which 1 are pending with 0.30" in said) == (
                0,
                True,
            )
        assert run("--ledger", f"sqlite:///{path_of(kit)}")[0] == 0

    def test_it_shows_every_finding(self, kit: Kit, run: Callable[..., tuple[int, str]]) -> None:
        with started(kit) as ledger:
            buy(ledger)
        change(path_of(kit), f"UPDATE accounts SET balance = 7 WHERE name = '{BUYER}'")
        change(path_of(kit), "UPDATE entries SET memo = '' WHERE id = 1")
        code, said = run("--kit", kit.folder, "--state", kit.state)
        assert code == 11
        for part in ("holds 7, and its lines sum to 100", "line 1 does not follow", "not in order: 3 findings"):
            assert part in " ".join(said.split())

    def test_there_is_nothing_to_audit(self, kit: Kit, run: Callable[..., tuple[int, str]]) -> None:
        assert run("--kit", kit.folder, "--state", kit.state)[0] == 9
        assert run()[0] == 2
