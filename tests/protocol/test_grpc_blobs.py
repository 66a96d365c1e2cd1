"""Blobs go beside a question and its answer: whole, once, within their bounds, and gone with it."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import grpc
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from grpc import StatusCode
from test_grpc_lives import Link, Slow
from wiring import BUYER, SECURITY, SELLERS, Wires, ask, refused

from protocol.encoding.codec import decode, encode
from protocol.grids.grpc import GrpcGrid, Pace, blobs
from protocol.grids.grpc.blobs import Storage
from protocol.grids.grpc.quotas import Quotas
from protocol.grids.grpc.transport import GET, PUT, introduction
from protocol.messages.base import BlobReference
from protocol.messages.purchase import Delivery, Receipt, SignedReceipt
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire

SELLER = SELLERS[0]


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


def delivery(blob: bytes) -> Delivery:
    receipt = Receipt(order=bytes(32), blob=sha256(blob).digest(), length=len(blob))
    return Delivery(receipt=SignedReceipt(receipt=receipt, signature=bytes(64)), blob=blob)


SEALED = np.random.default_rng(1).bytes(3_000_000)


def dealer(said: list[Delivery], answer: bytes) -> ClientApp:
    """Keeps the delivery it is asked with and answers with another."""
    app = ClientApp()

    @app.query("echo")
    def deal(message: Message, context: Context) -> Message:
        said.append(decode(message.content, Delivery))
        return Message(encode(delivery(answer)), reply_to=message)

    return app


class TestBlobs:
    @pytest.fixture
    def grid(self, wires: Wires) -> GrpcGrid:
        grid = wires.cloud([SELLER, BUYER], pace=Pace(patience=0.3))
        self.said: list[Delivery] = []
        wires.attach(grid.address, SELLER, dealer(self.said, SEALED))
        wires.attach(grid.address, BUYER, dealer(self.said, b"small"))
        assert grid.wait_attached([2, 3], 20) == set()
        return grid

    def test_a_sealed_image_goes_by_way_of_the_vault_and_stays_there(self, wires: Wires, grid: GrpcGrid) -> None:
        (reply,) = ask(grid, 2, encode(delivery(b"a question")), timeout=20)
        got = decode(reply.content, Delivery)
        assert got.blob == BlobReference(digest=sha256(SEALED).digest(), length=len(SEALED))
        assert [path.name for path in wires.folder.iterdir()] == [sha256(SEALED).hexdigest()]
        (reply,) = ask(grid, 3, encode(got), timeout=20)
        assert self.said[-1].blob == SEALED
        assert decode(reply.content, Delivery).blob == b"small"
        assert wires.vault.read(sha256(SEALED).hexdigest(), len(SEALED)) == SEALED

    def test_a_large_blob_that_was_sent_as_bytes_is_in_the_vault_only_meanwhile(
        self, wires: Wires, grid: GrpcGrid
    ) -> None:
        messages = [grid.create_message(encode(delivery(SEALED)), "query.echo", 3, "g") for _ in range(2)]
        assert len(list(grid.send_and_receive(messages, timeout=20))) == 2
        assert [said.blob for said in self.said] == [SEALED] * 2
        assert list(wires.folder.iterdir()) == []

    def test_a_reference_to_a_small_blob_becomes_its_bytes(self, wires: Wires, grid: GrpcGrid) -> None:
        stored = wires.vault.put([b"tiny"], 10)
        small = delivery(b"tiny").model_copy(
            update={"blob": BlobReference(digest=bytes.fromhex(stored.digest), length=4)}
        )
        ask(grid, 3, encode(small), timeout=20)
        assert self.said[-1].blob == b"tiny"
        assert stored.digest in wires.vault

    def test_large_content_passes_both_ways_and_leaves_nothing(self, wires: Wires) -> None:
        grid, app = wires.cloud(SELLERS[:3]), ClientApp()

        @app.query("echo")
        def double(message: Message, context: Context) -> Message:
            (weights,) = message.content["arrays"].to_numpy_ndarrays()  # type: ignore[union-attr]
            return Message(RecordDict({"arrays": ArrayRecord([2 * weights])}), reply_to=message)

        for urn in SELLERS[:3]:
            wires.attach(grid.address, urn, app)
        assert grid.wait_attached([2, 3, 4], 20) == set()
        content = RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(300_000.0))})})
        messages = [grid.create_message(content, "query.echo", node_id, "g") for node_id in (2, 3, 4)]
        replies = list(grid.send_and_receive(messages, timeout=20))
        assert [r.content["arrays"].to_numpy_ndarrays()[0][-1] for r in replies] == [599_998.0] * 3  # type: ignore[union-attr]
        assert list(wires.folder.iterdir()) == []

    def test_what_is_large_in_all_frames_together_is_fetched_by_each(
        self, wires: Wires, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grid, app, stored, put = wires.cloud(SELLERS), ClientApp(), [], Storage.put

        @app.query("echo")
        def echo(message: Message, context: Context) -> Message:
            return Message(message.content, reply_to=message)

        def watched(storage: Storage, blob: BlobReference, pieces: list[bytes]) -> None:
            stored.append(blob)
            put(storage, blob, pieces)

        monkeypatch.setattr(Storage, "put", watched)
        monkeypatch.setattr(blobs, "MAX_FRAMES", 10_000)
        for urn in SELLERS:
            wires.attach(grid.address, urn, app)
        assert grid.wait_attached(range(2, 7), 20) == set()
        content = RecordDict({"fields": ConfigRecord({"samples": bytes(3_000)})})
        for asked, copies in ((2, 0), (5, 1)):
            messages = [grid.create_message(content, "query.echo", node_id, "g") for node_id in range(2, 2 + asked)]
            assert [reply.content for reply in grid.send_and_receive(messages, timeout=20)] == [content] * asked
            assert len(stored) == copies
        assert list(wires.folder.iterdir()) == []

    def test_a_link_that_breaks_under_a_blob_costs_no_second_work_and_leaves_no_piece(self, wires: Wires) -> None:
        grid, app = wires.cloud([SELLER], pace=Pace(patience=5.0)), ClientApp()
        calls, blob = [], SEALED * 20

        @app.query("echo")
        def deal(message: Message, context: Context) -> Message:
            calls.append(message)
            return Message(encode(delivery(blob)), reply_to=message)

        link = Link(wires, grid.port)
        wires.attach(link.address, SELLER, app)
        assert grid.wait_attached([2], 20) == set()
        (message_id,) = grid.push_messages([grid.create_message(RecordDict(), "query.echo", 2, "g")])
        while not any(path.stat().st_size > 2_000_000 for path in wires.folder.iterdir()):
            pass
        link.cut()
        link.whole = True
        while not (replies := list(grid.pull_messages([message_id]))):
            pass
        assert len(decode(replies[0].content, Delivery).blob) == len(blob)
        assert len(calls) == 1
        while [path.name for path in wires.folder.iterdir()] != [sha256(blob).hexdigest()]:
            pass

    def test_blobs_belong_to_open_questions(self, grid: GrpcGrid) -> None:
        blob = wire.BlobOfQuestion(question="none", blob=wire.Blob(sha256=bytes(32), length=3))
        frames = {PUT: wire.Upload(announced=blob), GET: blob}
        for method, frame in frames.items():
            status, text = refused(grid, method, [frame.SerializeToString()], SECURITY[SELLER])
            assert status is StatusCode.FAILED_PRECONDITION
            assert "no open question" in text

    @pytest.mark.parametrize("frames", [[], [wire.Upload(data=b"abc")], [wire.Upload()]])
    def test_blobs_are_announced_before_their_bytes(self, grid: GrpcGrid, frames: list[wire.Upload]) -> None:
        credentials = SECURITY[SELLER].credentials
        tls = grpc.ssl_channel_credentials(SECURITY[SELLER].authority, credentials.key, credentials.certificate)
        sent = iter([frame.SerializeToString() for frame in frames])
        with grpc.secure_channel(grid.address, tls) as cloud, pytest.raises(grpc.RpcError) as refusal:
            cloud.stream_unary(PUT)(sent, metadata=introduction(SECURITY[SELLER]), timeout=20)
        assert refusal.value.code() is StatusCode.INVALID_ARGUMENT
        assert "announced before its bytes" in refusal.value.details()

    def test_blobs_that_are_not_what_was_announced_leave_nothing(self, wires: Wires) -> None:
        grid, slow = wires.cloud(SELLERS[:2], pace=Pace(patience=0.3)), Slow()
        wires.attach(grid.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        (question,) = grid.push_messages([grid.create_message(RecordDict(), "query.echo", 2, "g")])
        assert slow.at_work.acquire(timeout=20)

        def put(length: int, *pieces: bytes, whose: str = SELLER) -> StatusCode:
            announced = wire.BlobOfQuestion(question=question, blob=wire.Blob(sha256=bytes(32), length=length))
            frames = [wire.Upload(announced=announced), *(wire.Upload(data=piece) for piece in pieces)]
            status, _ = refused(grid, PUT, [frame.SerializeToString() for frame in frames], SECURITY[whose])
            return status

        assert put(3, b"abcd") is StatusCode.OUT_OF_RANGE
        assert put(3, b"a") is StatusCode.DEADLINE_EXCEEDED  # and then nothing: a slow loris
        assert put(3) is StatusCode.DEADLINE_EXCEEDED
        assert put(0) is StatusCode.INVALID_ARGUMENT
        assert put(10**12) is StatusCode.INVALID_ARGUMENT
        assert put(3, b"abc", whose=SELLERS[1]) is StatusCode.FAILED_PRECONDITION
        lent = wire.BlobOfQuestion(question=question, blob=wire.Blob(sha256=bytes(32), length=3)).SerializeToString()
        assert refused(grid, GET, [lent], SECURITY[SELLER])[0] is StatusCode.NOT_FOUND
        assert list(wires.folder.iterdir()) == []
        slow.go_on.release()


class TestStorage:
    """Which blobs are deleted, and when."""

    def test_a_blob_that_a_workflow_keeps_stays_when_a_message_brings_it_again(self, tmp_path: Path) -> None:
        storage = Storage(Vault(tmp_path / "vault"), Quotas())
        blob = BlobReference(digest=sha256(b"kept").digest(), length=4)
        storage.put(blob, [b"kept"])
        storage.keep(blob.digest)
        storage.put(blob, [b"kept"])
        storage.let_go([blob.digest])
        assert storage.read(blob) == b"kept"

    def test_a_blob_goes_with_the_last_message_that_has_it(self, tmp_path: Path) -> None:
        vault = Vault(tmp_path / "vault")
        storage, blob = Storage(vault, Quotas()), BlobReference(digest=sha256(b"passing").digest(), length=7)
        for _ in range(2):
            storage.put(blob, [b"passing"])
        storage.hold([blob.digest])
        for left in (True, True, False):
            storage.let_go([blob.digest])
            assert (blob.digest.hex() in vault) == left
        storage.hold([blob.digest])
        assert blob.digest.hex() not in vault
