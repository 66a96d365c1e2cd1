"""The vault: sealed images, stored by the hash of their bytes until disputes are over."""

import os
import re
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from protocol.errors import ProtocolError

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ARRIVING = "arriving-"


class BlobTooLarge(ProtocolError):
    """A blob is longer than its reader or writer allows."""


class BlobMissing(ProtocolError):
    """The vault holds no such blob."""


class BlobDamaged(ProtocolError):
    """A blob is not what was stored."""


@dataclass(frozen=True)
class Stored:
    """A stored blob: its SHA-256 in hexadecimal, and its length in bytes."""

    digest: str
    length: int


class Vault:
    """Blobs by their SHA-256, streamed both ways and never held whole.

    A blob appears under its digest only when it is whole: it is written under a temporary name, then
    moved. In a local folder it has also reached the disk when `put` returns.

    Args:
        url: A folder, or any URL that fsspec knows: ``file:///var/vault``, ``memory://vault``, ``s3://bucket/vault``.
        lasting: Whether to wait, in a local folder, until a blob has reached the disk. A run that starts over
            after a power cut need not.

    Examples:
        >>> vault = Vault("memory://example")
        >>> stored = vault.put([b"sealed ", b"image"], limit=100)
        >>> b"".join(vault.get(stored.digest))
        b'sealed image'
    """

    def __init__(self, url: str | Path, lasting: bool = True) -> None:
        self._lasting = lasting
        self._files: Any
        self._root: str
        self._files, self._root = (LocalFileSystem(), str(url)) if isinstance(url, Path) else url_to_fs(url)
        self._files.makedirs(self._root, exist_ok=True)
        self._lock = threading.Lock()
        self._lengths = {
            found["name"].rpartition("/")[2]: int(found["size"] or 0)
            for found in self._files.ls(self._root, detail=True)
        }

        self._held = sum(self._lengths.values())

    @property
    def held(self) -> int:
        """How many bytes are here, not counting what is arriving."""
        return self._held

    def sweep(self, keep: Collection[str], before: float) -> int:
        """Remove what is not needed any more; call it when nothing older than `before` is being put.

        Args:
            keep: Blobs that stay.
            before: Unix seconds: other blobs, and leftovers of interrupted puts, are removed if they are older.

        Returns:
            How many files were removed.
        """
        self._files.invalidate_cache()
        removed = 0
        for path in self._files.ls(self._root, detail=False):
            name = path.rpartition("/")[2]
            left_behind = name.startswith(_ARRIVING) or (_DIGEST.fullmatch(name) and name not in keep)
            with suppress(FileNotFoundError):
                if left_behind and self._files.modified(path).timestamp() < before:
                    self._files.rm_file(path)
                    self._forget(name)
                    removed += 1
        return removed

    def put(self, chunks: Iterable[bytes], limit: int, expected: str | None = None) -> Stored:
        """Store a blob as it arrives; storing it again changes nothing.

        Raises:
            BlobTooLarge: When it goes over `limit` bytes. Then, as after any other error, nothing of it is left.
            BlobDamaged: When its digest is not the `expected` one, where one is given.
        """
        arrival = self.arrive(limit)
        try:
            for chunk in chunks:
                arrival.write(chunk)
            return arrival.finish(expected)
        except BaseException:
            arrival.abandon()
            raise

    def arrive(self, limit: int) -> "Arrival":
        """Begin to store a blob of at most `limit` bytes."""
        path = f"{self._root}/{_ARRIVING}{uuid4().hex}"
        return Arrival(self, path, self._files.open(path, "wb"), limit)

    def _take(self, path: str, stored: Stored) -> None:
        """Give what has arrived its name."""
        self._files.mv(path, self._path(stored.digest))
        with self._lock:
            self._held += stored.length - self._lengths.get(stored.digest, 0)
            self._lengths[stored.digest] = stored.length
        self._sync_folder()

    def _forget(self, name: str) -> None:
        with self._lock:
            self._held -= self._lengths.pop(name, 0)

    def get(self, digest: str) -> Iterator[bytes]:
        """Read a blob in chunks, checking its hash at the end: what was yielded is valid only if no error follows.

        Raises:
            BlobMissing: At the first chunk, when the vault does not hold it.
            BlobDamaged: After the last chunk, when its bytes do not have this hash.
        """
        state = sha256()
        try:
            file = self._files.open(self._path(digest), "rb")
        except FileNotFoundError:
            raise BlobMissing(f"the vault holds no blob {digest}") from None
        with file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
                yield chunk
        if state.hexdigest() != digest:
            raise BlobDamaged(f"blob {digest} was damaged in the vault")

    def read(self, digest: str, limit: int) -> bytes:
        """Read a whole blob of at most `limit` bytes.

        Raises:
            BlobMissing, BlobDamaged: See `get`.
            BlobTooLarge: When it is longer than `limit`.
        """
        path = self._path(digest)
        try:
            length = self._files.size(path)
            if length > limit:
                raise BlobTooLarge(f"blob {digest} is longer than the {limit} bytes expected")
            with self._files.open(path, "rb") as file:
                whole: bytes = file.read(length + 1)
        except FileNotFoundError:
            raise BlobMissing(f"the vault holds no blob {digest}") from None
        if sha256(whole).hexdigest() != digest:
            raise BlobDamaged(f"blob {digest} was damaged in the vault")
        return whole

    def delete(self, digest: str) -> None:
        """Remove a blob, if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(digest))
        self._forget(digest)

    def __contains__(self, digest: str) -> bool:
        return bool(self._files.exists(self._path(digest)))

    def _path(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"a blob's name is 64 hexadecimal digits in lower case, not {digest[:80]!r}")
        return f"{self._root}/{digest}"

    def _sync(self, file: Any) -> None:
        if self._lasting and isinstance(self._files, LocalFileSystem):
            file.flush()
            os.fsync(file.fileno())

    def _sync_folder(self) -> None:
        """Make the new name last; systems that cannot open a folder do that by themselves."""
        if self._lasting and isinstance(self._files, LocalFileSystem) and hasattr(os, "O_DIRECTORY"):
            folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class Arrival:
    """A blob that is being stored; it is there when it is finished, and leaves nothing when it is abandoned.

    Threads may call it one after the other; what comes after its end is ignored.
    """

    def __init__(self, vault: Vault, path: str, file: Any, limit: int) -> None:
        self._vault = vault
        self._path = path
        self._file = file
        self._limit = limit
        self._state, self._length = sha256(), 0
        self._lock = threading.Lock()
        self._over = False

    def write(self, chunk: bytes) -> None:
        """Store the next bytes.

        Raises:
            BlobTooLarge: When they go over the limit.
        """
        with self._lock:
            if self._over:
                return
            self._length += len(chunk)
            if self._length > self._limit:
                raise BlobTooLarge(f"a blob of at most {self._limit} bytes was expected, but more arrived")
            self._state.update(chunk)
            self._file.write(chunk)

    def finish(self, expected: str | None = None) -> Stored:
        """Store the blob under its digest.

        Raises:
            BlobDamaged: When its digest is not the `expected` one, where one is given.
        """
        with self._lock:
            if self._over:
                raise BlobDamaged("the blob was abandoned before it was whole")
            self._vault._sync(self._file)
            self._file.close()
            stored = Stored(self._state.hexdigest(), self._length)
            if expected not in (None, stored.digest):
                raise BlobDamaged(f"what arrived is not the blob {expected}")
            self._vault._take(self._path, stored)
            self._over = True
            return stored

    def abandon(self) -> None:
        """Remove what has arrived, unless it is stored by now."""
        with self._lock:
            if self._over:
                return
            self._over = True
            with suppress(Exception):  # a full disk, which the first error has named
                self._file.close()
            with suppress(FileNotFoundError):
                self._vault._files.rm_file(self._path)
