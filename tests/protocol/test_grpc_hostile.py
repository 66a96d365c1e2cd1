"""What comes along a wire is refused with a typed status and logged once, and the cloud goes on."""

import asyncio
import logging
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from grpc import StatusCode, aio
from test_grids import echo_app
from wiring import AUTHORITY, BUYER, CLOUD, SECURITY, SELLERS, Wires, ask, echo, refused, secure

from protocol.crypto import certificates
from protocol.crypto.certificates import CertificateError, Identity, Revocations, mint_authority
from protocol.encoding.records import pack
from protocol.errors import ProtocolError
from protocol.grids.grpc import (
    Allowance,
    AttachRefused,
    Backoff,
    BadAddress,
    Call,
    CloudUnreachable,
    GrpcGrid,
    Insecure,
    InsecureAddress,
    Pace,
    Quotas,
    Roster,
    Secure,
    attach,
    call,
    streams,
    transport,
)
from protocol.grids.grpc.admission import Admission, Peer, Refused
from protocol.grids.grpc.transport import ATTACH, CALL, GET, MAX_FRAME, PROTOCOL_VERSION, PUT, channel, introduction
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire

SELLER = SELLERS[0]
NODE = 3


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


@pytest.fixture
def grid(wires: Wires, caplog: pytest.LogCaptureFixture) -> Iterator[GrpcGrid]:
    """A cloud with an honest seller, which after the test still answers."""

    def answer(asker: Identity, content: RecordDict) -> RecordDict:
        if "fields" not in content:
            raise ProtocolError("a purchase needs fields")
        return RecordDict({"asker": ConfigRecord({"name": asker.name})})

    calls = {"purchase": Call(frozenset({"buyer"}), answer)}
    grid = wires.cloud([BUYER, *SELLERS[:2]], calls=calls, pace=Pace(patience=0.3), absence=0.5)
    wires.attach(grid.address, SELLER, echo_app())
    assert grid.wait_attached([NODE], 20) == set()
    caplog.set_level(logging.WARNING, "protocol.grids.grpc.service")
    yield grid
    assert echo(grid, NODE)


@pytest.fixture
def unhurried(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> Iterator[GrpcGrid]:
    """A cloud that nobody has to wait for."""
    monkeypatch.setattr(streams, "PATIENCE", 0.01)
    any_rate = Allowance(each=32, waiting=32, rate=1e9, burst=1, all=32)
    quotas = Quotas(any_rate, any_rate, any_rate, refused=10**9)
    grid = wires.cloud([BUYER, *SELLERS[:2]], pace=Pace(patience=0.3), quotas=quotas)
    wires.attach(grid.address, SELLER, echo_app())
    assert grid.wait_attached([NODE], 20) == set()
    yield grid
    assert echo(grid, NODE)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "protocol.grids.grpc.service"]


def refused_once(caplog: pytest.LogCaptureFixture, code: StatusCode) -> bool:
    said = warnings(caplog)
    return len(said) == 1 and f": {code.name}: " in said[0]


class TestWhoMayCall:
    def test_a_certificate_of_another_authority_gets_no_connection(self, wires: Wires, grid: GrpcGrid) -> None:
        theirs = secure(SELLER, mint_authority())
        status, _ = refused(grid, ATTACH, [], Secure(theirs.credentials, AUTHORITY.certificate))
        assert status is StatusCode.UNAVAILABLE

    def test_a_cloud_of_another_authority_is_not_believed(self, wires: Wires, grid: GrpcGrid) -> None:
        future = wires.attach(
            grid.address, SELLER, echo_app(), security=secure(SELLER, mint_authority()), backoff=Backoff(patience=0)
        )
        with pytest.raises(
            CloudUnreachable, match=r"gave up on the cloud at 127.0.0.1.*no certificate of this party's authority"
        ):
            future.result(20)

    def test_a_party_is_told_that_its_certificate_is_not_of_this_authority(self, grid: GrpcGrid) -> None:
        theirs = secure(SELLER, mint_authority())
        with pytest.raises(CertificateError, match="not signed by this"):
            attach(grid.address, Secure(theirs.credentials, AUTHORITY.certificate), echo_app())

    def test_an_expired_certificate_gets_no_connection_and_its_owner_is_told(
        self, wires: Wires, grid: GrpcGrid
    ) -> None:
        expired = secure(SELLER, now=datetime.now(UTC) - timedelta(days=9), lifetime=timedelta(days=1))
        status, _ = refused(grid, ATTACH, [], expired)
        assert status is StatusCode.UNAVAILABLE
        with pytest.raises(CertificateError, match="expired on"):
            attach(grid.address, expired, echo_app())

    def test_a_certificate_that_expires_under_an_open_stream_ends_it(self) -> None:
        expired = secure(SELLER, now=datetime.now(UTC) - timedelta(days=9), lifetime=timedelta(days=1))
        peer = Peer(Identity("seller", "x", 1), expired.credentials.certificate)
        with pytest.raises(Refused, match="expired") as refused:
            Admission(CLOUD).check(peer)
        assert refused.value.code is StatusCode.UNAUTHENTICATED

    def test_a_revoked_party_is_put_out_and_stays_out(
        self, wires: Wires, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        revoked = Revocations(tmp_path / "revoked.txt")
        revoked.add({})
        grid = wires.cloud([BUYER, *SELLERS[:2]], revoked=revoked, absence=0.2)
        futures = [wires.attach(grid.address, urn, echo_app()) for urn in (SELLER, SELLERS[1])]
        assert grid.wait_attached([NODE, NODE + 1], 20) == set()
        caplog.set_level(logging.WARNING, "protocol.grids.grpc.service")
        revoked.add({SECURITY[SELLER].credentials.identity.serial: SELLER})
        assert ask(grid, NODE, timeout=20) == []
        with pytest.raises(AttachRefused, match=r"UNAUTHENTICATED.*was revoked"):
            futures[0].result(20)
        assert refused_once(caplog, StatusCode.UNAUTHENTICATED)
        status, _ = refused(grid, PUT, [], SECURITY[SELLER])
        assert status is StatusCode.UNAUTHENTICATED
        assert echo(grid, NODE + 1)

    def test_without_a_list_of_the_revoked_nobody_gets_in(self, wires: Wires, tmp_path: Path) -> None:
        grid = wires.cloud([SELLER], revoked=Revocations(tmp_path / "none.txt"))
        status, text = refused(grid, ATTACH, [], SECURITY[SELLER])
        assert status is StatusCode.UNAUTHENTICATED
        assert "cannot be read" in text

    @pytest.mark.parametrize("urn", ["urn:parley:operator:op", "urn:parley:seller:eve"])
    def test_the_wrong_role_and_strangers_are_not_let_in(
        self, wires: Wires, grid: GrpcGrid, caplog: pytest.LogCaptureFixture, urn: str
    ) -> None:
        status, _ = refused(grid, ATTACH, [], secure(urn))
        assert status is StatusCode.PERMISSION_DENIED
        assert refused_once(caplog, StatusCode.PERMISSION_DENIED)

    def test_a_certificate_of_a_role_that_this_cloud_does_not_know_is_refused(
        self, grid: GrpcGrid, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "ROLES", (*certificates.ROLES, "witness"))
            witness = secure("urn:parley:witness:ann")
        status, text = refused(grid, ATTACH, [], witness, introduction(SECURITY[SELLER]))
        assert status is StatusCode.UNAUTHENTICATED
        assert "does not name one party" in text
        assert refused_once(caplog, StatusCode.UNAUTHENTICATED)

    def test_a_seller_may_not_call_the_buyers_method(self, grid: GrpcGrid, caplog: pytest.LogCaptureFixture) -> None:
        content = RecordDict({"fields": ConfigRecord({"budget": 3})})
        with pytest.raises(AttachRefused, match="PERMISSION_DENIED: a seller may not call purchase"):
            call(grid.address, SECURITY[SELLER], "purchase", content)
        assert refused_once(caplog, StatusCode.PERMISSION_DENIED)
        assert call(grid.address, SECURITY[BUYER], "purchase", content)["asker"]["name"] == "ann"

    def test_a_call_that_the_cloud_does_not_like_says_why(self, grid: GrpcGrid) -> None:
        with pytest.raises(AttachRefused, match="NOT_FOUND"):
            call(grid.address, SECURITY[BUYER], "nothing", RecordDict())
        with pytest.raises(AttachRefused, match="FAILED_PRECONDITION: a purchase needs fields"):
            call(grid.address, SECURITY[BUYER], "purchase", RecordDict())

    @pytest.mark.parametrize("version", ["1", "", "999999999999999999999999"])
    def test_another_version_is_refused(
        self, wires: Wires, grid: GrpcGrid, caplog: pytest.LogCaptureFixture, version: str
    ) -> None:
        for method in (ATTACH, PUT, GET, CALL):
            metadata = [("parley-version", version)]
            status, text = refused(grid, method, [b""], SECURITY[SELLER], metadata)
            assert status is StatusCode.FAILED_PRECONDITION
            assert f"speaks version {PROTOCOL_VERSION}" in text
        assert refused_once(caplog, StatusCode.FAILED_PRECONDITION)

    def test_who_one_says_one_is_does_not_count_beside_the_certificate(self, wires: Wires, grid: GrpcGrid) -> None:
        metadata = [("parley-version", str(PROTOCOL_VERSION)), ("parley-party", BUYER)]
        request = wire.Request(method="purchase", content=pack(RecordDict())).SerializeToString()
        status, _ = refused(grid, CALL, [request], SECURITY[SELLER], metadata)
        assert status is StatusCode.PERMISSION_DENIED

    @pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "example.org:1", "10.0.0.1:0"])
    def test_insecure_stays_on_the_machine(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(InsecureAddress, match="parley provision"):
            GrpcGrid(address, Insecure(), Roster(), Vault(str(tmp_path)))
        with pytest.raises(InsecureAddress, match="call only at"):
            attach(address, Insecure(SELLER), echo_app())

    def test_an_address_that_is_taken_is_an_error(self, wires: Wires, grid: GrpcGrid) -> None:
        with pytest.raises(BadAddress, match="cannot listen at"):
            wires.cloud([], address=grid.address)

    def test_a_cloud_that_cannot_listen_leaves_no_thread(self, wires: Wires, grid: GrpcGrid) -> None:
        before = set(threading.enumerate())
        with pytest.raises(BadAddress):
            wires.cloud([], address=grid.address)
        assert set(threading.enumerate()) <= before

    def test_insecure_works_on_the_machine(self, wires: Wires, tmp_path: Path) -> None:
        with GrpcGrid("127.0.0.1:0", Insecure(), Roster([SELLER]), Vault(str(tmp_path))) as grid:
            future = wires.attach(grid.address, SELLER, echo_app(), security=Insecure(SELLER))
            assert grid.wait_attached([2], 20) == set()
            assert echo(grid, 2)
            future.cancel()


class TestWhatIsSaid:
    @pytest.mark.parametrize("method", [ATTACH, PUT, GET, CALL])
    def test_garbage_is_invalid(
        self, wires: Wires, grid: GrpcGrid, caplog: pytest.LogCaptureFixture, method: str
    ) -> None:
        status, _ = refused(grid, method, [b"\xff" * 99], SECURITY[SELLERS[1]])
        assert status is StatusCode.INVALID_ARGUMENT
        assert refused_once(caplog, StatusCode.INVALID_ARGUMENT)

    @pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\x00\x00\x00\x02no"])
    def test_a_call_whose_content_is_no_records_is_invalid(
        self, grid: GrpcGrid, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        request = wire.Request(method="purchase", content=content).SerializeToString()
        status, _ = refused(grid, CALL, [request], SECURITY[BUYER])
        assert status is StatusCode.INVALID_ARGUMENT
        assert refused_once(caplog, StatusCode.INVALID_ARGUMENT)

    @pytest.mark.parametrize("method", [ATTACH, PUT, GET, CALL])
    def test_a_frame_over_the_limit_is_too_much(self, grid: GrpcGrid, method: str) -> None:
        status, _ = refused(grid, method, [bytes(MAX_FRAME + 1)], SECURITY[SELLERS[1]])
        assert status is StatusCode.RESOURCE_EXHAUSTED

    def test_answers_that_say_nothing_or_too_much_are_invalid(self, wires: Wires, grid: GrpcGrid) -> None:
        for body in (
            {},
            {"content": bytes(200_000)},
            {"stored": wire.Blob(sha256=bytes(32), length=9)},
            {"stored": wire.Blob()},
        ):
            assert wires.run(answering(grid, body)) == (StatusCode.INVALID_ARGUMENT, [])

    def test_an_answer_that_is_no_records_is_an_error_of_that_party(self, wires: Wires, grid: GrpcGrid) -> None:
        status, (reply,) = wires.run(answering(grid, {"content": b"\x00\x00\x00\x02no"}))
        assert status is StatusCode.OK
        assert "no readable structure" in str(reply.error.reason)

    def test_nobody_answers_for_another(self, wires: Wires, grid: GrpcGrid) -> None:
        heard: list[str] = []

        async def eavesdrop() -> None:
            async with channel(grid.address, SECURITY[SELLERS[1]]) as cloud:
                stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[SELLERS[1]]))
                await stream.read()
                content = pack(RecordDict({"fields": ConfigRecord({"forged": True})}))
                for number in range(1, 50):
                    name = f"{grid._session}-{number}"
                    await stream.write(wire.Answer(question=name, content=content).SerializeToString())
                heard.append("sent")

        wires.run(eavesdrop())
        (reply,) = ask(grid, NODE, timeout=20)
        assert "forged" not in reply.content["fields"]
        assert heard == ["sent"]

    def test_bytes_that_are_no_tls_get_nowhere(self, grid: GrpcGrid) -> None:
        noise = random.Random(1)
        for size in (1, 9, 500, 70_000):
            with socket.create_connection(("127.0.0.1", grid.port), timeout=20) as raw:
                raw.sendall(noise.randbytes(size))
        assert echo(grid, NODE)

    def test_connections_that_say_nothing_hold_nobody_up(self, grid: GrpcGrid) -> None:
        idle = [socket.create_connection(("127.0.0.1", grid.port), timeout=20) for _ in range(200)]
        assert echo(grid, NODE)
        for connection in idle:
            connection.close()

    def test_who_does_not_shake_hands_in_time_is_cut_off(self, wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "_CLOUD", [("grpc.server_handshake_timeout_ms", 200), *transport._CLOUD])
        grid = wires.cloud([SELLER])
        with socket.create_connection(("127.0.0.1", grid.port), timeout=20) as idle:
            assert idle.recv(100) == b""

    def test_pings_do_not_end_a_connection(self, grid: GrpcGrid, tmp_path: Path) -> None:
        """An honest party sends them in bursts: gRPC measures by them how fast a large blob comes in."""
        kinds = []
        with http2(grid, SECURITY[SELLER], tmp_path) as connection, connection.makefile("rb") as answers:
            for sent in range(4, 24, 4):
                connection.sendall(4 * http2_frame(PING, bytes(8)))
                while kinds.count(PING) < sent:
                    header = answers.read(9)
                    assert len(header) == 9, f"after {kinds} the cloud hung up"
                    answers.read(int.from_bytes(header[:3]))
                    kinds.append(header[3])
        assert GOAWAY not in kinds

    @pytest.mark.parametrize("frames", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
    def test_fuzzed_frames(
        self, wires: Wires, unhurried: GrpcGrid, caplog: pytest.LogCaptureFixture, frames: int
    ) -> None:
        grid = unhurried
        caplog.set_level(logging.ERROR, "protocol.grids.grpc.service")
        statuses = wires.run(fuzz(grid, frames))
        allowed = {
            StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND,
            StatusCode.PERMISSION_DENIED, StatusCode.RESOURCE_EXHAUSTED, StatusCode.ABORTED, StatusCode.OK,
            StatusCode.ALREADY_EXISTS,  # of a second stream, while the first one is alive
            StatusCode.DEADLINE_EXCEEDED,  # of a blob, where the machine stands still for as long as the pace allows
        }  # fmt: skip
        assert set(statuses) <= allowed
        assert statuses.count(StatusCode.OK) < frames / 5
        assert warnings(caplog) == []


SETTINGS, PING, GOAWAY = 4, 6, 7
"""Kinds of HTTP/2 frames (RFC 9113)."""


def http2_frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, 0, 0, 0, 0, 0]) + payload


@contextmanager
def http2(grid: GrpcGrid, security: Secure, folder: Path) -> Iterator[ssl.SSLSocket]:
    """A party's bare connection."""
    for name in ("certificate", "key"):
        (folder / name).write_bytes(getattr(security.credentials, name))
    tls = ssl.create_default_context(cadata=security.authority.decode())
    tls.load_cert_chain(folder / "certificate", folder / "key")
    tls.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", grid.port), timeout=20) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(SETTINGS))
        yield connection


async def answering(grid: GrpcGrid, body: dict[str, Any]) -> tuple[StatusCode, list[Message]]:
    """Answer a question to the second seller with this body; returns how the stream ended and what the cloud got."""
    async with channel(grid.address, SECURITY[SELLERS[1]]) as cloud:
        stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[SELLERS[1]]))
        await stream.read()
        asking = asyncio.get_running_loop().run_in_executor(None, lambda: ask(grid, NODE + 1, timeout=5))
        question = wire.FromCloud.FromString(await stream.read()).question
        await stream.write(wire.Answer(question=question.id, **body).SerializeToString())
        replies = await asking
        await stream.done_writing()
        return await stream.code(), replies


async def fuzz(grid: GrpcGrid, count: int) -> list[StatusCode]:
    """Send frames that began as good ones, each damaged somewhere, to every method."""
    noise = random.Random(5)
    content = pack(RecordDict({"fields": ConfigRecord({"price": 7, "key": b"k" * 9, "names": ["a", "b"]})}))
    blob = wire.Blob(sha256=bytes(32), length=100)
    good = {
        ATTACH: [wire.Answer(question="q", content=content), wire.Answer(question="q", stored=blob)],
        PUT: [wire.Upload(announced=wire.BlobOfQuestion(question="q", blob=blob)), wire.Upload(data=content)],
        GET: [wire.BlobOfQuestion(question="q", blob=blob)],
        CALL: [wire.Request(method="purchase", content=content), wire.Request(method="nothing")],
    }
    security = SECURITY[BUYER]
    statuses: list[StatusCode] = []

    async def one(cloud: aio.Channel, method: str, frame: bytes) -> None:
        stream = cloud.unary_stream(method)(frame, metadata=introduction(security))
        try:
            while await stream.read() is not aio.EOF:
                pass
        except aio.AioRpcError:
            pass
        statuses.append(await stream.code())

    async def some(frames: list[tuple[str, bytes]]) -> None:
        async with channel(grid.address, security) as cloud:
            for method, frame in frames:
                await one(cloud, method, frame)

    def damaged(method: str) -> bytes:
        frame = bytearray(noise.choice(good[method]).SerializeToString())
        for _ in range(noise.randint(1, 4)):
            match noise.randrange(4):
                case 0:
                    frame[noise.randrange(len(frame))] ^= 1 << noise.randrange(8)
                case 1:
                    del frame[noise.randrange(len(frame)) :]
                    frame += b"\x00"
                case 2:
                    at = noise.randrange(len(frame))
                    frame[at:at] = noise.randbytes(noise.randint(1, 30))
                case 3:
                    frame[:] = noise.randbytes(noise.randint(1, 200))
        return bytes(frame)

    methods = [noise.choice([ATTACH, PUT, GET, CALL, CALL]) for _ in range(count)]
    frames = [(method, damaged(method)) for method in methods]
    await asyncio.gather(*(some(frames[start::8]) for start in range(8)))
    return statuses
