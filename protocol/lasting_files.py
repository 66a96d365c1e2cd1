"""Files that outlive a loss of power."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_AT_ONCE = 16
"""Files that are waited for together: a disk takes little longer over them than over one."""


def make_lasting(files: Iterable[Path]) -> None:
    """Wait until files are on the disk, with their names in their folders, and the names of these."""
    lasting = list(files)
    folders = {folder for path in lasting for folder in (path.parent, path.parent.parent)}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(_sync, lasting))
        if hasattr(os, "O_DIRECTORY"):  # systems that cannot open a folder do that by themselves
            list(threads.map(_sync, folders))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
