"""The folder that a run writes: whole, or not at all, and by nobody else."""

import errno
import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from protocol.errors import BadInput, OutputExists, UserError
from protocol.storage.files import disk_failure
from simulations.runs.cells import CELLS


def default_folder(name: str, seed: int) -> Path:
    """Name a new folder under ``runs/`` after the scenario, the seed, the time and the process."""
    return Path("runs") / f"{name}-{seed}-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"


WRITTEN = frozenset({"report.json", "report.html", "messages.jsonl", "ledger.sqlite", "bought", CELLS})
"""What a run's folder holds; one that holds more is not replaced."""


@contextmanager
def whole_or_nothing(
    out: Path, *, resume: bool = False, report: str = "report.json", written: Collection[str] = WRITTEN
) -> Iterator[Path]:
    """Give a hidden folder to write, which becomes `out` in the end; if that fails, no folder stays that was made.

    `out` is made at once, empty, so that of several runs that name the same folder one has it, and the others are told
    before they begin. Cells of a run that is interrupted stay in a hidden folder beside it.

    Args:
        resume: Begin with the cells of a run that was interrupted, or that has finished: its folder is replaced, if it
            holds nothing else.
        report: The file that a finished folder has.
        written: What it may hold.

    Raises:
        OutputExists: When the folder is there, or another run has it.
        BadInput: When it cannot be made or written.
    """
    out = out.resolve() if resume and out.name in ("", "..") else out  # a folder that has a name can be put aside
    with _replaced(out, resume, report, written) as before, _claimed(out):
        partial, kept = out.parent / f".{out.name}.partial", out.parent / f".{out.name}.{CELLS}"
        keep = resume
        try:
            _keep(partial / CELLS, kept)  # what a run left that was killed
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            found = next((each for each in (kept, before / CELLS) if each.is_dir()), None)
            if resume and found is not None:
                shutil.copytree(found, partial / CELLS)
            shutil.rmtree(kept, ignore_errors=True)
            yield partial
            _become(partial, out)
        except UserError:
            raise
        except (KeyboardInterrupt, SystemExit) as stop:
            keep = True
            if (partial / CELLS).is_dir():
                stop.add_note(f"what was computed is kept: go on with --out {out} --resume")
            raise
        except Exception as error:
            if (why := disk_failure(error)) is None:
                raise
            raise BadInput(
                f"the output folder {out} cannot be written ({why}); make room there and in the folder for temporary "
                "files, or name another one with --out"
            ) from None
        finally:
            if keep:
                _keep(partial / CELLS, kept)
            shutil.rmtree(partial, ignore_errors=True)


def _keep(cells: Path, kept: Path) -> None:
    """Put whole cells where the next run finds them, beside those that are there."""
    if cells.is_dir():
        kept.mkdir(exist_ok=True)
        for cell in cells.iterdir():
            if not cell.suffix:  # else it is half-written
                cell.replace(kept / cell.name)
        if not any(kept.iterdir()):
            kept.rmdir()


@contextmanager
def _replaced(out: Path, resume: bool, report: str, written: Collection[str]) -> Iterator[Path]:
    """Put the folder of a finished run aside while it is played again; it comes back if that fails."""
    before, moved = out.parent / f".{out.name}.before", False
    if before.is_dir() and not out.exists():  # of a run that was killed
        before.rename(out)
    if resume and (out / report).is_file():
        if others := sorted(path.name for path in out.iterdir() if path.name not in written):
            raise OutputExists(
                f"--resume replaces the output folder {out}, but it holds {others[0]}, which no run wrote; move that "
                "away, or name another folder with --out"
            )
        out.rename(before)
        moved = True
    try:
        yield before
    finally:
        if moved and out.exists():
            shutil.rmtree(before, ignore_errors=True)
        elif moved:
            before.rename(out)


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Make a folder that nobody else has made, and those above it; those that are empty in the end are removed."""
    made = [out, *(parent for parent in out.parents if not parent.exists())]
    try:
        _make(out)
    except FileExistsError:
        raise OutputExists(
            f"the output folder {out} is already there; name another one with --out, or remove it"
        ) from None
    except OSError as error:
        raise BadInput(
            f"the output folder {out} cannot be made: {error.strerror}; name another one with --out"
        ) from None
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # it holds something: this run, or that of somebody else
                folder.rmdir()


def _make(out: Path) -> None:
    for _ in range(100):
        with suppress(FileNotFoundError):  # a run that failed has just removed the folder above
            return out.mkdir(parents=True)
    return out.mkdir(parents=True)


def _become(partial: Path, out: Path) -> None:
    try:
        if sys.platform == "win32":  # where a folder cannot take the place of an empty one
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise OutputExists(
            f"somebody wrote to the output folder {out} while the run was going on; name another one with --out"
        ) from None
