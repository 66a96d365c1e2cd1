import os
import random
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ProtocolError
from protocol.storage.vault import BlobDamaged, BlobMissing, BlobTooLarge, Stored, Vault

BLOB = random.Random(0).randbytes(3 << 20)
DIGEST = sha256(BLOB).hexdigest()


def in_chunks(data: bytes, size: int = 100_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Contract:
    """What holds for a vault wherever it is."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def vault(self, url: str) -> Vault:
        return Vault(url)

    def files(self, url: str) -> list[str]:
        system, root = fsspec.core.url_to_fs(url)
        return sorted(str(path).rsplit("/", 1)[1] for path in system.ls(root, detail=False))

    def damage(self, url: str, digest: str, data: bytes) -> None:
        system, root = fsspec.core.url_to_fs(url)
        with system.open(f"{root}/{digest}", "wb") as file:
            file.write(data)

    def test_gives_back_what_was_put(self, vault: Vault) -> None:
        assert vault.put(in_chunks(BLOB), limit=len(BLOB)) == Stored(DIGEST, len(BLOB))
        assert b"".join(vault.get(DIGEST)) == BLOB
        assert vault.read(DIGEST, limit=len(BLOB)) == BLOB
        assert DIGEST in vault

    def test_reads_in_chunks(self, vault: Vault) -> None:
        vault.put([BLOB], limit=len(BLOB))
        assert max(len(chunk) for chunk in vault.get(DIGEST)) <= 1 << 20

    def test_keeps_an_empty_blob(self, vault: Vault) -> None:
        stored = vault.put([], limit=0)
        assert stored == Stored(sha256().hexdigest(), 0)
        assert vault.read(stored.digest, limit=0) == b""

    def test_keeps_what_it_held_when_opened_again(self, vault: Vault, url: str) -> None:
        vault.put([BLOB], limit=len(BLOB))
        assert Vault(url).read(DIGEST, limit=len(BLOB)) == BLOB

    def test_putting_again_changes_nothing(self, vault: Vault, url: str) -> None:
        assert vault.put([BLOB], limit=len(BLOB)) == vault.put(in_chunks(BLOB), limit=len(BLOB))
        assert self.files(url) == [DIGEST]

    def test_putting_again_heals(self, vault: Vault, url: str) -> None:
        vault.put([BLOB], limit=len(BLOB))
        self.damage(url, DIGEST, b"damaged")
        vault.put([BLOB], limit=len(BLOB))
        assert vault.read(DIGEST, limit=len(BLOB)) == BLOB

    def test_leaves_nothing_of_a_blob_that_is_too_large(self, vault: Vault, url: str) -> None:
        taken = []

        def endless() -> Iterator[bytes]:
            while True:
                taken.append(1)
                yield bytes(1000)

        with pytest.raises(BlobTooLarge, match="at most 10500 bytes"):
            vault.put(endless(), limit=10_500)
        assert len(taken) == 11
        assert self.files(url) == []

    def test_leaves_nothing_of_a_blob_that_breaks_off(self, vault: Vault, url: str) -> None:
        def broken() -> Iterator[bytes]:
            yield b"half"
            raise ConnectionResetError("the peer went away")

        with pytest.raises(ConnectionResetError):
            vault.put(broken(), limit=100)
        assert self.files(url) == []

    def test_nothing_shows_before_it_is_whole(self, vault: Vault) -> None:
        def watched() -> Iterator[bytes]:
            yield BLOB[:-1]
            assert DIGEST not in vault
            yield BLOB[-1:]

        vault.put(watched(), limit=len(BLOB))
        assert DIGEST in vault

    @pytest.mark.parametrize("harm", [BLOB[:-1], BLOB + b"\0", b"", BLOB[:500] + b"\0" + BLOB[501:]])
    def test_notices_damage(self, vault: Vault, url: str, harm: bytes) -> None:
        vault.put([BLOB[:500] + b"\1" + BLOB[501:]], limit=len(BLOB))
        digest = self.files(url)[0]
        self.damage(url, digest, harm)
        received: list[bytes] = []
        with pytest.raises(BlobDamaged, match=f"blob {digest} was damaged"):
            received.extend(vault.get(digest))
        assert b"".join(received) == harm
        with pytest.raises(BlobDamaged):
            vault.read(digest, limit=len(BLOB) + 1)

    def test_reads_no_more_than_allowed(self, vault: Vault) -> None:
        vault.put([BLOB], limit=len(BLOB))
        with pytest.raises(BlobTooLarge, match=f"longer than the {len(BLOB) - 1} bytes"):
            vault.read(DIGEST, limit=len(BLOB) - 1)

    def test_another_blob_than_was_announced_is_refused_and_leaves_nothing(self, vault: Vault, url: str) -> None:
        arrival = vault.arrive(limit=len(BLOB))
        for chunk in in_chunks(BLOB):
            arrival.write(chunk)
        other = sha256(b"other").hexdigest()
        with pytest.raises(BlobDamaged, match=f"what arrived is not the blob {other}"):
            arrival.finish(other)
        arrival.abandon()
        assert other not in vault
        assert DIGEST not in vault
        assert self.files(url) == []

    def test_says_what_is_missing(self, vault: Vault) -> None:
        assert DIGEST not in vault
        with pytest.raises(BlobMissing, match=f"no blob {DIGEST}"):
            vault.read(DIGEST, limit=1)
        with pytest.raises(BlobMissing):
            next(vault.get(DIGEST))

    def test_forgets_what_is_deleted(self, vault: Vault, url: str) -> None:
        vault.put([BLOB], limit=len(BLOB))
        vault.delete(DIGEST)
        assert DIGEST not in vault
        assert self.files(url) == []
        vault.delete(DIGEST)

    def test_sweeping_leaves_what_is_kept_and_what_is_young(self, vault: Vault, url: str) -> None:
        kept, old = (vault.put([data], limit=10).digest for data in (b"kept", b"old"))
        system, root = fsspec.core.url_to_fs(url)
        with system.open(f"{root}/arriving-1", "wb") as file:
            file.write(b"half")
        assert vault.sweep({kept}, before=time.time() - 60) == 0
        assert len(self.files(url)) == 3
        assert vault.sweep({kept}, before=time.time() + 60) == 2
        assert self.files(url) == [kept]
        assert old not in vault

    @pytest.mark.parametrize(
        "name",
        ["", "../secret", "/etc/passwd", DIGEST.upper(), DIGEST[:-1], DIGEST + "0", DIGEST + "\n", f"../{DIGEST}"],
    )
    def test_names_are_never_paths(self, vault: Vault, name: str) -> None:
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            next(vault.get(name))
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            vault.read(name, limit=1)
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            vault.delete(name)
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            assert name in vault


class TestMemory(Contract):
    @pytest.fixture
    def url(self) -> str:
        return f"memory://vault-{uuid4().hex}"


class TestFolder(Contract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "state" / "vault")

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells which file is synced by Linux's /proc")
    def test_has_reached_the_disk_before_it_shows(
        self, vault: Vault, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[tuple[str, bool]] = []
        fsync = os.fsync

        def watch(descriptor: int) -> None:
            synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name[:8], DIGEST in vault))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", watch)
        vault.put([BLOB], limit=len(BLOB))
        assert synced == [("arriving", False), ("vault", True)]


class TestFileUrl(Contract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return (tmp_path / "vault").as_uri()


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_the_digest_does_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    vault = Vault("memory://chunks")
    assert vault.put(chunks, limit=len(whole)) == Stored(sha256(whole).hexdigest(), len(whole))
    assert vault.read(sha256(whole).hexdigest(), limit=len(whole)) == whole


@pytest.mark.parametrize("error", [BlobDamaged, BlobMissing, BlobTooLarge])
def test_errors_are_protocol_errors(error: type[Any]) -> None:
    assert issubclass(error, ProtocolError)
