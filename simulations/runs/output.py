"""The folder that a run writes: whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from protocol.errors import BadInput, OutputExists, UserError
from protocol.storage.files import disk_failure


def default_folder(name: str, seed: int) -> Path:
    """Name a new folder under ``runs/`` after the scenario, the seed and the time."""
    return Path("runs") / f"{name}-{seed}-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """Give a hidden folder to write, which becomes `out` in the end; if that fails, no folder stays that was made."""
    if out.exists():
        raise OutputExists(f"the output folder {out} is already there; name another one with --out, or remove it")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    made = [parent for parent in partial.parents if not parent.exists()]
    try:
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise BadInput(
                f"the output folder {out} cannot be made: {error.strerror}; name another one with --out"
            ) from None
        yield partial
        if out.exists():
            raise OutputExists(f"the output folder {out} appeared while the run was going on; name another one")
        partial.rename(out)
    except UserError:
        raise
    except Exception as error:
        if (why := disk_failure(error)) is None:
            raise
        raise BadInput(
            f"the output folder {out} cannot be written ({why}); make room there and in the folder for temporary files,"
            " or name another one with --out"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # it holds something: this run, or that of somebody else
                parent.rmdir()
