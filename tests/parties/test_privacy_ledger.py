"""The privacy ledger: no order of questions exceeds a budget, what was spent stays spent, and copies are found out."""

import math
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant

from parties.policy.ledger import EVERYBODY, Kind, Ledger, Release
from parties.policy.settings import Budgets
from parties.store import PARTY, PartyStore
from protocol.encoding.records import pack
from protocol.errors import PolicyRefusal
from protocol.storage.database import Database
from strategies.privacy.composition import Loss, dp_sgd, gaussian, pure

BUDGETS = Budgets(image=2.0, person=3.0, life=4.0)


def release(number: int, loss: Loss | None, kind: Kind = "image", subject: bytes = b"picture") -> Release:
    return Release(kind, subject, number.to_bytes(32, "big"), f"question {number}", loss)


def spent(ledger: Ledger, kind: Kind = "image") -> float:
    losses = [loss.epsilon(BUDGETS.delta) for (of, _), loss in ledger.losses().items() if of == kind]
    return max(losses, default=0.0)


LOSSES = st.one_of(
    st.floats(1e-3, 3.0).map(pure),
    st.tuples(st.floats(0.8, 50.0), st.floats(0.01, 1.0), st.integers(1, 20)).map(lambda told: dp_sgd(*told)),
    st.floats(1.0, 50.0).map(gaussian),
    st.floats(0.0, 1e-6).map(lambda delta: pure(0.01, delta)),
)
QUESTIONS = st.tuples(
    st.integers(0, 20), st.sampled_from(["image", "person", "life"]), st.sampled_from([EVERYBODY, b"a", b"b"])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(QUESTIONS, LOSSES), max_size=25))
def test_no_order_of_questions_exceeds_a_budget(asked: list[tuple[tuple[int, Kind, bytes], Loss]]) -> None:
    ledger = Ledger()
    for (number, kind, whom), loss in asked:
        subject = EVERYBODY if kind == "life" else whom
        before = ledger.head()
        try:
            ledger.spend([release(number, loss, kind, subject)], BUDGETS)
        except PolicyRefusal:
            assert ledger.head() == before
        for of, budget in (("image", 2.0), ("person", 3.0), ("life", 4.0)):
            assert spent(ledger, of) <= budget * (1 + 1e-6)  # type: ignore[arg-type]


def test_the_same_question_costs_nothing_again_and_any_other_costs_anew() -> None:
    ledger = Ledger()
    for _ in range(400):
        ledger.spend([release(1, pure(1.0))], BUDGETS)
    assert spent(ledger) == 1.0
    ledger.spend([release(2, pure(1.0))], BUDGETS)
    with pytest.raises(PolicyRefusal, match=r"question 3 would bring the epsilon of an image from 2 to 2\.1"):
        ledger.spend([release(3, pure(0.1))], BUDGETS)
    ledger.spend([release(3, pure(0.1), subject=b"another")], BUDGETS)
    with pytest.raises(PolicyRefusal):
        ledger.spend([release(4, pure(0.1), subject=EVERYBODY)], BUDGETS)


def test_what_nothing_is_promised_of_is_written_down_and_not_counted() -> None:
    ledger = Ledger()
    ledger.spend([release(1, None)], BUDGETS)
    assert len(ledger.entries()) == 1
    assert spent(ledger) == 0.0


def test_one_refusal_keeps_all_of_an_answer_back() -> None:
    ledger = Ledger()
    with pytest.raises(PolicyRefusal):
        ledger.spend([release(1, pure(1.0)), release(1, pure(5.0), "person")], BUDGETS)
    assert ledger.entries() == []


@pytest.mark.parametrize(
    ("sigma", "rate", "steps"), [(1.0, 1.0, 1), (5.0, 1.0, 50), (1.1, 0.01, 1000), (2.0, 0.1, 100), (0.8, 0.5, 20)]
)
def test_composition_is_never_below_opacus_and_close(sigma: float, rate: float, steps: int) -> None:
    judge = RDPAccountant()
    judge.history = [(sigma, rate, steps)]
    theirs = judge.get_epsilon(1e-6)
    ours = sum([dp_sgd(sigma, rate, 1)] * steps, Loss.none()).epsilon(1e-6)
    assert theirs <= ours <= 1.35 * theirs


def test_mixed_losses_compose_as_opacus_composes_them() -> None:
    judge = RDPAccountant()
    judge.history = [(3.0, 1.0, 4), (2.0, 0.2, 30)]
    ours = (dp_sgd(3.0, 1.0, 4) + dp_sgd(2.0, 0.2, 30)).epsilon(1e-6)
    assert judge.get_epsilon(1e-6) <= ours <= 1.35 * judge.get_epsilon(1e-6)


def test_a_delta_is_added_apart() -> None:
    assert pure(1.0, 1e-7).epsilon(1e-6) == 1.0
    assert pure(0.0, 0.5).epsilon(1e-6) == math.inf
    assert (pure(1.0, 6e-7) + pure(1.0, 6e-7)).epsilon(1e-6) == math.inf


def test_a_restart_keeps_what_was_spent(tmp_path: Path) -> None:
    for number in (1, 2):
        with closing(PartyStore(tmp_path / "party.sqlite")) as store:
            Ledger(store.database).spend([release(number, pure(1.0))], BUDGETS)
    with closing(PartyStore(tmp_path / "party.sqlite")) as store:
        ledger = Ledger(store.database)
        ledger.spend([release(1, pure(1.0))], BUDGETS)
        with pytest.raises(PolicyRefusal):
            ledger.spend([release(3, pure(1.0))], BUDGETS)


def test_two_processes_spend_one_budget(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    with closing(Database(path, PARTY)) as one, closing(Database(path, PARTY)) as other:
        Ledger(one).spend([release(1, pure(1.0))], BUDGETS)
        ledger = Ledger(other)
        ledger.spend([release(2, pure(1.0))], BUDGETS)
        with pytest.raises(PolicyRefusal):
            Ledger(one).spend([release(3, pure(1.0))], BUDGETS)


@pytest.mark.parametrize(
    "change", ["UPDATE spent SET delta = 1e-9 WHERE number = 1", "DELETE FROM spent WHERE number = 1"]
)
def test_a_changed_entry_is_found(tmp_path: Path, change: str) -> None:
    path = tmp_path / "privacy.sqlite"
    with closing(Database(path, PARTY)) as database:
        for number in (1, 2):
            Ledger(database).spend([release(number, pure(1.0))], BUDGETS)
    with closing(sqlite3.connect(path)) as forger:
        forger.execute(change)
        forger.commit()
    with (
        closing(Database(path, PARTY)) as database,
        pytest.raises(PolicyRefusal, match="privacy ledger is not as it was written"),
    ):
        Ledger(database).check([release(3, pure(0.1))], BUDGETS)


def test_an_older_copy_spends_nothing_until_it_is_adopted() -> None:
    latest, older = Ledger(), Ledger()
    for ledger in (latest, older):
        ledger.spend([release(1, pure(0.5))], BUDGETS)
    latest.spend([release(2, pure(0.5))], BUDGETS)
    older.saw(*latest.head())
    with pytest.raises(PolicyRefusal, match=r"has 1 entries, and the cloud was told of another one with 2: .*--adopt"):
        older.spend([release(3, pure(0.5))], BUDGETS)
    older.spend([release(1, pure(0.5))], BUDGETS)  # this was answered, and is the same
    older.adopt()
    older.spend([release(3, pure(0.5))], BUDGETS)
    assert [entry.number for entry in older.entries()] == [1, 3, 4]
    latest.saw(*latest.head())
    latest.spend([release(4, pure(0.5))], BUDGETS)


def test_a_copy_that_went_on_by_itself_is_found_too() -> None:
    """It has as many entries as the cloud was told of, and more, but others."""
    latest, other = Ledger(), Ledger()
    latest.spend([release(1, pure(0.5))], BUDGETS)
    for number in (2, 3):
        other.spend([release(number, pure(0.5))], BUDGETS)
    other.saw(*latest.head())
    assert other.behind() is not None
    with pytest.raises(PolicyRefusal):
        other.check([release(4, pure(0.1))], BUDGETS)


def test_a_ledger_in_memory_travels_until_it_is_written_to() -> None:
    ledger = pickle.loads(pickle.dumps(Ledger()))
    ledger.spend([release(1, pure(1.0))], BUDGETS)
    with pytest.raises(TypeError, match="stays where it is"):
        pickle.dumps(ledger)


def test_entries_of_thousands_are_read_once() -> None:
    ledger = Ledger()
    ledger.spend([release(number, pure(1e-6)) for number in range(2000)], BUDGETS)
    assert np.isclose(spent(ledger), 2000e-6, rtol=0.01)


def test_a_store_of_an_earlier_version_gets_a_ledger_and_keeps_what_it_remembers(tmp_path: Path) -> None:
    path = tmp_path / "party.sqlite"
    PartyStore(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "DROP TABLE spent; DROP TABLE shown; DROP TABLE facts; DROP TABLE conversations; DROP TABLE records;"
            "CREATE TABLE states (conversation TEXT NOT NULL, content BLOB NOT NULL, touched_at DOUBLE NOT NULL,"
            " PRIMARY KEY (conversation)); UPDATE party_version SET version = 1;"
        )
        old = RecordDict({"rules": ConfigRecord({"side": 32}), "module": ConfigRecord({"weights": b"1"})})
        database.execute("INSERT INTO states VALUES ('pool', ?, 1e12)", [pack(old)])
        database.commit()
    with closing(PartyStore(path)) as store:
        Ledger(store.database).spend([release(1, pure(1.0))], BUDGETS)
        assert PARTY.version == 4
        assert dict(store.state("pool")) == dict(old)
