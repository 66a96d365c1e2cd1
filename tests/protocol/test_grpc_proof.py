"""A party knows which certificate its cloud has, and has nothing to do with one that was revoked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict
from test_grids import echo_app
from wiring import AUTHORITY, BUYER, CLOUD, SECURITY, SELLERS, Wires, ask, echo, secure

from protocol.crypto.certificates import CertificateError, Credentials, Identity, Revocations, mint_authority
from protocol.grids.grpc import AttachRefused, Call, GrpcGrid, call
from protocol.grids.grpc.proof import Metadata, challenging, check_proof, new_challenge, prove

SELLER, NODE = SELLERS[0], 3
REVOKED = frozenset({CLOUD.credentials.identity.serial})
WHY = r"the cloud at .* is not to be believed: the certificate of urn:parley:cloud:cloud was revoked"


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


@pytest.fixture
def grid(wires: Wires) -> GrpcGrid:
    def answer(asker: Identity, content: RecordDict) -> RecordDict:
        return RecordDict({"asker": ConfigRecord({"name": asker.name})})

    return wires.cloud([BUYER, *SELLERS[:2]], calls={"hello": Call(frozenset({"buyer"}), answer)})


def test_a_party_stays_away_from_a_cloud_that_was_revoked(wires: Wires, grid: GrpcGrid) -> None:
    future = wires.attach(grid.address, SELLER, echo_app(), security=replace(SECURITY[SELLER], revoked=REVOKED))
    with pytest.raises(AttachRefused, match=WHY):
        future.result(60)
    with pytest.raises(AttachRefused, match=WHY):
        call(grid.address, replace(SECURITY[BUYER], revoked=REVOKED), "hello", RecordDict())
    assert call(grid.address, SECURITY[BUYER], "hello", RecordDict())["asker"] == ConfigRecord({"name": "ann"})


def test_a_party_leaves_when_its_cloud_is_revoked(wires: Wires, grid: GrpcGrid, tmp_path: Path) -> None:
    revoked = Revocations(tmp_path / "revoked.txt")
    revoked.add({})
    future = wires.attach(grid.address, SELLER, echo_app(), security=replace(SECURITY[SELLER], revoked=revoked))
    assert grid.wait_attached([NODE], 20) == set()
    assert echo(grid, NODE)
    revoked.add(dict.fromkeys(REVOKED, "cloud"))
    ask(grid, NODE, timeout=1)
    with pytest.raises(AttachRefused, match=WHY):
        future.result(60)


def proof(signer: Credentials = CLOUD.credentials, challenge: bytes = bytes(32), urn: str = SELLER) -> Metadata:
    return prove(signer, [challenging(challenge)], urn)


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (proof(challenge=b"1" * 32), "the signature is not by the holder"),
        (proof(urn=SELLERS[1]), "the signature is not by the holder"),  # of another party's call, passed on
        (proof(secure(SELLERS[1]).credentials), "its certificate is of urn:parley:seller:seller1"),
        (proof(secure("urn:parley:cloud:cloud", mint_authority()).credentials), "was not signed by this certificate"),
        (proof(challenge=b"short"), "it shows no certificate"),
        ((), "it shows no certificate"),
        ([each for each in proof() if "certificate" in each[0]], "the signature is not by the holder"),
        ([("parley-certificate-bin", b"no certificate"), ("parley-proof-bin", b"")], "certificate"),
    ],
)
def test_who_is_no_cloud_proves_nothing(shown: Metadata, why: str) -> None:
    with pytest.raises(CertificateError, match=why):
        check_proof(shown, bytes(32), SELLER, AUTHORITY.certificate, frozenset())


def test_each_challenge_is_new_and_one_proof_serves_one_party() -> None:
    assert len({new_challenge() for _ in range(100)}) == 100
    found = check_proof(proof(), bytes(32), SELLER, AUTHORITY.certificate, frozenset())
    assert found == CLOUD.credentials.identity
