"""What a workflow was told is told again after a crash, and nobody is asked twice."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from protocol.encoding.codec import encode
from protocol.exchange import GRACE, LATE, LOST, SILENT
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.journal import Entry, Interrupted, Journal, JournalMismatch, WorkflowState
from protocol.journaled_exchange import RETURN, JournaledExchange
from protocol.messages.base import Acknowledgement, BlobReference, Hello, Introduction
from protocol.messages.purchase import Delivery, Receipt, SignedReceipt
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault

FIRST, SECOND, THIRD = FIRST_NODE_ID, FIRST_NODE_ID + 1, FIRST_NODE_ID + 2


class Answers(ClientApp):
    """Introduces itself, delivers a blob, and notes what it is asked."""

    def __init__(self, blob: bytes | BlobReference = b"") -> None:
        super().__init__()
        self.blob = blob
        self.asked: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.query("introduce")(self._introduce)
        self.query("deliver")(self._deliver)
        self.query("settle")(self._silence)

    def _introduce(self, message: Message, context: Context) -> Message:
        self.asked.append(message.metadata.group_id)
        self.before()
        return Message(encode(Introduction(role=f"{len(self.asked)}", identity=bytes(32))), reply_to=message)

    def _deliver(self, message: Message, context: Context) -> Message:
        self.asked.append(message.metadata.group_id)
        receipt = SignedReceipt(receipt=Receipt(order=bytes(32), blob=bytes(32), length=1), signature=bytes(64))
        return Message(encode(Delivery(receipt=receipt, blob=self.blob)), reply_to=message)

    def _silence(self, message: Message, context: Context) -> Message:
        raise RuntimeError("no")


class SilentGrid(LocalGrid):
    """Drops the answers of some nodes."""

    silent: frozenset[int] = frozenset()
    absent: frozenset[int] = frozenset()

    def get_node_ids(self) -> list[int]:
        return [node for node in super().get_node_ids() if node not in self.absent]

    def pull_messages(self, message_ids):  # type: ignore[no-untyped-def]
        return [m for m in super().pull_messages(message_ids) if m.metadata.src_node_id not in self.silent]


class JournalContract:
    """What holds for a journal in whatever database."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'cloud.db'}"

    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        return Vault(str(tmp_path / "vault"))

    @pytest.fixture
    def journal(self, url: str, vault: Vault) -> Iterator[Journal]:
        with closing(Ledger(url)) as ledger:
            journal = Journal(ledger.database, vault)
            for number, name in enumerate("pq"):
                journal.begin(name, "purchase", FIRST, 1000.0 + number)
            yield journal

    @pytest.fixture
    def apps(self) -> list[Answers]:
        return [Answers(bytes([65 + node]) * 100) for node in range(3)]

    @pytest.fixture
    def grid(self, apps: list[Answers]) -> SilentGrid:
        return SilentGrid(apps)

    def exchange(self, grid: LocalGrid, journal: Journal, name: str = "p") -> JournaledExchange:
        return JournaledExchange(grid, journal, name)

    def introduced(self, exchange: JournaledExchange, *nodes: int, deadline: float | None = None) -> dict[int, str]:
        replies = exchange.ask("introduce", dict.fromkeys(nodes, Hello()), Introduction, deadline)
        return {node: answer.role for node, answer in replies.answers.items()} | replies.failures

    def test_what_was_answered_is_not_asked_again(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        first = self.introduced(self.exchange(grid, journal), FIRST, SECOND)
        assert self.introduced(self.exchange(grid, journal), FIRST, SECOND) == first == {FIRST: "1", SECOND: "1"}
        assert [len(app.asked) for app in apps] == [1, 1, 0]

    def test_questions_are_numbered_and_each_purchase_has_its_own(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        for name in "pq":
            exchange = self.exchange(grid, journal, name)
            exchange.now()
            for _ in range(2):
                self.introduced(exchange, FIRST)
        assert apps[0].asked == ["p/2", "p/3", "q/2", "q/3"]

    def test_failures_are_remembered_too(self, grid: SilentGrid, journal: Journal, apps: list[Answers]) -> None:
        for _ in range(2):
            replies = self.exchange(grid, journal).ask("settle", {FIRST: Hello()}, Acknowledgement)
            assert "no" in replies.failures[FIRST]

    def test_who_was_not_heard_before_a_crash_is_asked_again(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        grid.silent = frozenset([SECOND])
        stopping = threading.Event()
        exchange = JournaledExchange(grid, journal, "p", stopping)
        timer = threading.Timer(0.05, stopping.set)
        timer.start()
        with pytest.raises(Interrupted):
            self.introduced(exchange, FIRST, SECOND)
        timer.join()
        grid.silent = frozenset()
        assert self.introduced(self.exchange(grid, journal), FIRST, SECOND) == {FIRST: "1", SECOND: "2"}

    def test_silence_is_on_record_once_the_deadline_has_passed(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        grid.silent = frozenset([SECOND])
        expected = {FIRST: "1", SECOND: "no answer"}
        assert self.introduced(self.exchange(grid, journal), FIRST, SECOND, deadline=1000.02) == expected
        grid.silent = frozenset()
        assert self.introduced(self.exchange(grid, journal), FIRST, SECOND, deadline=1000.02) == expected

    def test_each_answer_is_late_for_itself(self, grid: SilentGrid, journal: Journal, apps: list[Answers]) -> None:
        """What came in time counts, however late the cloud asks the others."""
        grid.silent = frozenset([SECOND])
        stopping = threading.Event()
        timer = threading.Timer(0.05, stopping.set)
        timer.start()
        with pytest.raises(Interrupted):
            self.introduced(JournaledExchange(grid, journal, "p", stopping), FIRST, SECOND, deadline=2000)
        timer.join()
        grid.silent = frozenset()
        journal.hear("p", 2000 + GRACE + 1)
        late = self.exchange(grid, journal)
        assert self.introduced(late, FIRST, SECOND, deadline=2000) == {FIRST: "1", SECOND: LATE}

    def test_time_stands_still_while_the_cloud_is_away(self, grid: SilentGrid, journal: Journal) -> None:
        """Seconds count from life to life while the cloud listens; no clock is asked."""
        seconds = iter([50.0, 60.0, 60.0, 9_000.0, 9_000.0])
        first = JournaledExchange(grid, journal, "p", monotonic=lambda: next(seconds))
        assert first.now() == 1010.0
        again = JournaledExchange(grid, journal, "p", monotonic=lambda: 9_000.0)
        assert [again.now(), again.now()] == [1010.0, 1010.0]

    def test_parties_have_time_to_come_back_after_a_restart(self, grid: SilentGrid, journal: Journal) -> None:
        """The deadline passes only when they have had it."""
        self.exchange(grid, journal).now()
        grid.silent = grid.absent = frozenset([FIRST])
        life = [0.0]

        def ticking() -> float:
            life[0] += 1.0
            return life[0]

        exchange = JournaledExchange(grid, journal, "p", monotonic=ticking)
        began = exchange.now()
        assert self.introduced(exchange, FIRST, deadline=began + 10) == {FIRST: SILENT}
        assert RETURN < life[0] < 2 * RETURN

    def test_who_has_left_is_not_waited_for(self, grid: SilentGrid, journal: Journal) -> None:
        """The others are, as long as there is time."""
        grid.silent, grid.absent = frozenset([FIRST, SECOND]), frozenset([SECOND])
        stopping = threading.Event()
        exchange = JournaledExchange(grid, journal, "p", stopping)
        timer = threading.Timer(0.3, stopping.set)
        timer.start()
        with pytest.raises(Interrupted):
            exchange.ask("introduce", dict.fromkeys([FIRST, SECOND], Hello()), Introduction, 2000.0, absence=0.02)
        timer.join()
        assert list(journal.recorded("p")[1].entries) == [SECOND]

    def test_waiting_can_stop_before_the_deadline(self, grid: SilentGrid, journal: Journal) -> None:
        exchange = self.exchange(grid, journal)
        grid.silent = frozenset([FIRST])
        question = {FIRST: Hello()}
        assert exchange.ask("introduce", question, Introduction, 2000.0, until=1000.02).failures == {FIRST: SILENT}
        grid.silent = frozenset()
        assert list(exchange.ask("introduce", question, Introduction, 2000.0).answers) == [FIRST]

    def test_a_blob_that_is_gone_is_no_answer(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers], tmp_path: Path
    ) -> None:
        digest = hashlib.sha256(apps[0].blob).hexdigest()
        entry = Entry(None, b"content", frozenset([digest]))
        written = journal.write("p", 1, "query.deliver", {FIRST: entry}, now=1000.0)
        assert written[FIRST].failure == LOST

    def test_a_reading_may_be_of_nothing(self, grid: SilentGrid, journal: Journal) -> None:
        for _ in range(2):
            assert self.exchange(grid, journal).read("terms", lambda: "") == ""

    def test_readings_stay_as_they_were(self, grid: SilentGrid, journal: Journal) -> None:
        exchange = self.exchange(grid, journal)
        first = (exchange.now(), exchange.read("terms", lambda: "7"), exchange.node_ids())
        assert first[1:] == ("7", [2, 3, 4])
        exchange = self.exchange(LocalGrid([]), journal)
        assert (exchange.now(), exchange.read("terms", lambda: "8"), exchange.node_ids()) == first

    def test_a_workflow_that_has_ended_takes_no_answer(self, grid: SilentGrid, journal: Journal) -> None:
        """As when an operator ends it while it waits."""
        exchange = self.exchange(grid, journal)
        exchange.now()
        journal.end("p", WorkflowState.FAILED, "ended by the operator")
        with pytest.raises(Interrupted):
            self.introduced(exchange, FIRST)

    def test_a_workflow_that_has_gone_further_stays_open(self, grid: SilentGrid, journal: Journal) -> None:
        self.exchange(grid, journal).now()
        journal.reach("p", 9)
        assert not journal.end("p", WorkflowState.FAILED, "too late", through=8)
        assert journal.workflow("p").state is WorkflowState.OPEN
        assert journal.end("p", WorkflowState.FAILED, "in time", through=9)
        assert not journal.end("p", WorkflowState.FAILED, "again", through=9)

    def test_another_workflow_than_the_one_on_record_is_refused(self, grid: SilentGrid, journal: Journal) -> None:
        self.exchange(grid, journal).now()
        with pytest.raises(JournalMismatch, match="entry 1 of p is 'now' in the journal"):
            self.introduced(self.exchange(grid, journal), FIRST)

    def test_a_cloud_that_is_killed_before_its_roll_call_waits_for_who_was_there(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        journal.begin("r", "purchase", FIRST, 1000.0, [SECOND, FIRST])
        grid.absent = frozenset([SECOND])
        assert self.exchange(grid, journal, "r").node_ids() == [FIRST, SECOND]
        journal.end("r", WorkflowState.ENDED)
        assert journal.recorded("r") == {}

    def test_a_purchase_begins_and_ends_once(self, journal: Journal) -> None:
        assert not journal.begin("p", "purchase", THIRD, 5.0)
        journal.reach("p", 7)
        journal.reach("p", 3)
        journal.end("p", WorkflowState.FAILED, "why")
        journal.end("p", WorkflowState.ENDED)
        row = journal.workflow("p")
        assert (row.opener, row.state, row.step, row.note) == (FIRST, WorkflowState.FAILED, 7, "why")
        assert [row.name for row in journal.workflows(WorkflowState.OPEN)] == ["q"]
        with pytest.raises(KeyError, match="no workflow nobody"):
            journal.workflow("nobody")

    def test_sealed_images_are_in_the_vault_and_go_when_the_purchase_ends(
        self, grid: SilentGrid, journal: Journal, vault: Vault, apps: list[Answers], tmp_path: Path
    ) -> None:
        def delivered() -> list[bytes | BlobReference]:
            exchange = self.exchange(grid, journal)
            return [
                answer.blob
                for _, answer in exchange.each("deliver", dict.fromkeys([FIRST, SECOND], Hello()), Delivery)
                if isinstance(answer, Delivery)
            ]

        first = delivered()
        assert [vault.read(each.digest.hex(), 1000) for each in first if isinstance(each, BlobReference)] == [
            app.blob for app in apps[:2]
        ]
        assert delivered() == first
        files = {path: path.read_bytes() for path in (tmp_path / "vault").iterdir()}
        assert len(files) == 2
        for path in files:
            path.unlink()
        assert delivered() == first  # also when the vault has lost what they refer to
        for path, content in files.items():
            path.write_bytes(content)
        assert all(apps[0].blob not in path.read_bytes() for path in tmp_path.glob("cloud.db*"))
        self.exchange(grid, journal).close(vault, [])
        assert self.files(tmp_path) == []

    def test_an_answer_that_refers_to_a_blob_brings_none_where_nothing_streams(
        self, grid: SilentGrid, journal: Journal, apps: list[Answers]
    ) -> None:
        apps[0].blob = BlobReference(digest=bytes(32), length=5)
        exchange = self.exchange(grid, journal)
        failures = exchange.ask("deliver", {FIRST: Hello()}, Delivery).failures
        assert failures == {FIRST: "the answer refers to a blob instead of bringing it"}

    def test_a_blob_belongs_to_one_purchase(self, grid: SilentGrid, journal: Journal, apps: list[Answers]) -> None:
        apps[1].blob = apps[0].blob
        question = Hello()
        mine = self.exchange(grid, journal).ask("deliver", {FIRST: question}, Delivery)
        other = self.exchange(grid, journal, "q").ask("deliver", {SECOND: question}, Delivery)
        assert list(mine.answers) == [FIRST]
        assert other.failures == {SECOND: "it brings a blob that belongs to another workflow"}
        journal.end("p", WorkflowState.ENDED)
        again = self.exchange(grid, journal, "q")
        again.ask("deliver", {SECOND: question}, Delivery)
        assert list(again.ask("deliver", {SECOND: question}, Delivery).answers) == [SECOND]

    def test_tidying_removes_what_no_open_purchase_needs(
        self, grid: SilentGrid, journal: Journal, vault: Vault, tmp_path: Path
    ) -> None:
        self.exchange(grid, journal).ask("deliver", {FIRST: Hello()}, Delivery)
        vault.put([b"orphan"], 10)
        (tmp_path / "vault" / "arriving-1").write_bytes(b"half")
        assert journal.tidy(before=0) == 0
        assert journal.tidy(before=float("inf")) == 2
        assert len(self.files(tmp_path)) == 1

    def files(self, tmp_path: Path) -> list[str]:
        return sorted(path.name for path in (tmp_path / "vault").iterdir())


class TestJournal(JournalContract):
    def test_a_record_that_is_no_message_is_a_failure(self, journal: Journal) -> None:
        app = ClientApp()

        @app.query("introduce")
        def nonsense(message: Message, context: Context) -> Message:
            return Message(RecordDict({"x": ConfigRecord({"y": 1})}), reply_to=message)

        assert "no message of this protocol" in self.introduced(self.exchange(SilentGrid([app]), journal), FIRST)[FIRST]
