"""Paths and texts as users give them, on the systems that they have."""

import codecs
import os
import unicodedata
from contextlib import suppress
from pathlib import Path

from protocol.errors import BadInput


def user_path(given: str | os.PathLike[str]) -> Path:
    """Return a path that a user has named: ``~`` is the home folder, and é may be composed or decomposed.

    macOS has decomposed letters in the names of files, keyboards and spreadsheets write composed ones. Where no file
    has the very name, one whose letters are the same is meant. Environment variables are not expanded.

    Raises:
        BadInput: For an empty text, which would be the current folder.

    Examples:
        >>> user_path("~/photos") == Path.home() / "photos"
        True
    """
    if not os.fspath(given):
        raise BadInput("a path is empty; give the current folder as .")
    path = Path(given)
    with suppress(RuntimeError):  # no such user: then it is a name like any other
        path = path.expanduser()
    return _as_on_disk(path)


def composed(name: str) -> str:
    r"""Return a name with composed letters, for comparing names; bytes that are no UTF-8 are written out.

    Examples:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text for any terminal and any file; what would do something there is a question mark.

    Examples:
        >>> printable("a\n.png")
        'a?.png'
    """
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else "?"
        for letter in composed(os.fspath(path))
    )


def user_text(path: Path) -> str:
    """Read a text file that a person has written, with any editor: UTF-8, or UTF-16 with its mark.

    Raises:
        BadInput: With one sentence and the line, when it is in another encoding, or cannot be read.
    """
    if path.exists() and not path.is_file():  # to read a pipe is to wait for its other end
        raise BadInput(f"{printable(path)} is not a regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{printable(path)} cannot be read: {error.strerror}") from None
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        around = content[: error.end].rpartition(b"\n")[2] + content[error.end :].partition(b"\n")[0]
        shown = printable(around.decode("utf-8", "replace").strip())[:80]
        raise BadInput(
            f"{printable(path)}, line {line}: {shown} is not in UTF-8, and which letters are meant cannot be told; "
            "save the file in UTF-8 (in Excel: CSV UTF-8)"
        ) from None


def _as_on_disk(path: Path) -> Path:
    if os.path.lexists(path) or path == path.parent:
        return path
    parent = _as_on_disk(path.parent)
    with suppress(OSError):
        same = [entry for entry in parent.iterdir() if composed(entry.name) == composed(path.name)]
        if len(same) == 1:
            return same[0]
    return parent / path.name
