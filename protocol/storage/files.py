"""Private files, written atomically, and disks that cannot be written."""

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_AT_ONCE = 16
"""Files that are synchronised together, which takes little longer than for one."""


_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
)
_SAID = (
    "No space left on device",
    "Disk quota exceeded",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "No usable temporary directory",
    "requested and",  # NumPy
)
"""How libraries say so that have errors of their own."""


def disk_failure(error: BaseException) -> str | None:
    """Return what a disk or a folder does not allow, if that is why something failed; None if it is not.

    Examples:
        >>> disk_failure(OSError(errno.ENOSPC, "No space left on device", "report.json"))
        'report.json: No space left on device'
        >>> disk_failure(ValueError("no number")) is None
        True
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _DISK:
            name = "" if seen.filename is None else f"{os.fsdecode(seen.filename)}: "
            return f"{name}{seen.strerror}"
        if said := next((said for said in _SAID if said in str(seen)), None):
            return said
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def make_lasting(files: Iterable[Path]) -> None:
    """Wait until files are on the disk, with their names in their folders, and the names of these."""
    lasting = list(files)
    folders = {folder for path in lasting for folder in (path.parent, path.parent.parent)}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda path: _sync(path, os.O_RDWR), lasting))  # Windows wants files that may be written
        if hasattr(os, "O_DIRECTORY"):  # systems that cannot open a folder do that by themselves
            list(threads.map(lambda path: _sync(path, os.O_RDONLY), folders))


def _sync(path: Path, access: int) -> None:
    descriptor = os.open(path, access)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter; one that is there is closed to others."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 atomically: a reader, or a crash, finds the old content or the new."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def write_once(path: Path, content: bytes) -> bytes:
    """Write a private file unless it is there, and return what it holds; of two writers at once the first one wins."""
    if not path.exists():
        partial = path.with_name(f".{path.name}.{uuid4().hex}")
        write_private(partial, content)
        try:
            with suppress(FileExistsError):
                os.link(partial, path)
        finally:
            partial.unlink()
    return path.read_bytes()
