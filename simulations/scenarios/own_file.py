"""Python files of the user's own, from which adversaries and mechanisms are imported."""

import traceback
from os import PathLike
from pathlib import Path
from types import ModuleType

from protocol.compute.user_modules import import_file, package_of
from protocol.errors import BadInput
from protocol.storage.user_files import user_path


def python_file(given: str | PathLike[str], declares: str) -> Path:
    """Return the path of a Python file that a user has named.

    Args:
        declares: What it is to declare, such as ``adversaries``.

    Raises:
        BadInput: When it is not there, or is no Python file, or has a name that Python cannot import.
    """
    path = user_path(given)
    if not (path.is_file() and path.suffix == ".py"):
        raise BadInput(f"{path} is not a Python file; give one that declares {declares}")
    if "." in path.stem:
        raise BadInput(
            f"{path}: Python imports no file with a dot in its name; call it {path.stem.replace('.', '_')}.py"
        )
    return path


def imported(path: Path) -> ModuleType:
    """Import a user's file: its code runs, and it may import modules of its folder.

    Raises:
        BadInput: With the line at fault, when it cannot be imported.
    """
    try:
        return import_file(path)
    except (Exception, SystemExit) as error:
        said = str(error).replace(f"{package_of(path)}.", "")
        raise BadInput(f"{path}{_line(error, path)}: {type(error).__name__}: {said}") from error


def _line(error: BaseException, path: Path) -> str:
    """Return the line of the file that an error comes from."""
    if isinstance(error, SyntaxError) and error.filename == str(path.resolve()):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    return f", line {lines[-1]}" if lines else ""
