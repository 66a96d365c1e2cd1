"""The vault: sealed images, stored by the hash of their bytes until disputes are over."""

import os
import re
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
                    removed += 1
        return removed

    def put(self, chunks: Iterable[bytes], limit: int, expected: str | None = None) -> Stored:
        """Store a blob as it arrives; storing it again changes nothing.

        Raises:
            BlobTooLarge: When it goes over `limit` bytes. Then, as after any other error, nothing of it is left.
            BlobDamaged: When its digest is not the `expected` one, where one is given.
        """
        arriving = f"{self._root}/{_ARRIVING}{uuid4().hex}"
        state, length = sha256(), 0
        try:
            with self._files.open(arriving, "wb") as file:
                for chunk in chunks:
                    length += len(chunk)
                    if length > limit:
                        raise BlobTooLarge(f"a blob of at most {limit} bytes was expected, but more arrived")
                    state.update(chunk)
                    file.write(chunk)
                self._sync(file)
            stored = Stored(state.hexdigest(), length)
            if expected not in (None, stored.digest):
                raise BlobDamaged(f"what arrived is not the blob {expected}")
            self._files.mv(arriving, self._path(stored.digest))
        except BaseException:
            with suppress(FileNotFoundError):
                self._files.rm_file(arriving)
            raise
        self._sync_folder()
        return stored

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
