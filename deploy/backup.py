"""Copies of a party's kit and state that can be made while it runs, and started from on another machine."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from deploy.kit import STATE, CloudFile, Kit
from protocol.errors import BadKit, OutputExists
from protocol.settings import Section
from protocol.storage.database import database_url, without_secrets
from protocol.storage.files import disk_failure, make_lasting, private_folder, write_private

LIST = "backup.json"
_VAULT = "vault"
_LEFT = frozenset({"lock", "pool", _VAULT})
"""In the state folder, what is of no use elsewhere, and what is copied in its own way."""


class Listed(Section):
    """What is in a backup.

    Attributes:
        made_at: When its databases were copied, ISO 8601.
        party: The party's URN.
        release: Of Parley.
        files: SHA-256 of each file, in hexadecimal, by its path in the kit; those of the vault are named by theirs.
        missing: What has to be backed up in another way, in sentences.
    """

    made_at: str
    party: str
    release: str
    files: dict[str, str]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """Where a file is, and where in the kit it goes."""

    path: Path
    place: Path


def back_up(kit: Kit, out: Path) -> Listed:
    """Copy a party's kit with its state to a new folder, while it runs or not.

    Databases are copied as they are at one moment. What the cloud remembers of its ledger is copied before the ledger,
    and sealed pictures before and after it, so that nothing is missing that it names.

    Raises:
        OutputExists: When the folder is there.
        BadKit: When something cannot be read or written.
    """
    if out.exists():
        raise OutputExists(f"{out} is already there; name another folder")
    partial = out.parent / f".{out.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        private_folder(partial)
        for source in _plain(kit):
            with suppress(FileNotFoundError):  # of a file that is just being written, the part
                _copy(source, partial)
        _copy_vault(kit, partial)
        made_at = datetime.now(UTC)
        for source in _databases(kit):
            _copy_database(source, partial)
        _copy_vault(kit, partial)
        files = {str(path.relative_to(partial)): _hash(path) for path in _files(partial)}
        listed = Listed(
            made_at=made_at.isoformat(timespec="seconds"),
            party=kit.identity.urn,
            release=version("parley"),
            files=files,
            missing=tuple(_missing(kit)),
        )
        write_private(partial / LIST, (json.dumps(listed.model_dump(), indent=1) + "\n").encode())
        make_lasting(list(_files(partial)))
        partial.rename(out)
    except (OSError, sqlite3.Error) as error:
        raise BadKit(f"{out} cannot be written: {disk_failure(error) or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return listed


def restore(backup: Path, kit: Path) -> Listed:
    """Make a kit, with its state, from a backup.

    Raises:
        OutputExists: When the kit is there.
        BadKit: When the backup is none, or is damaged.
    """
    if kit.exists():
        raise OutputExists(f"{kit} is already there; move it away, or name another folder with --kit")
    listed = read_list(backup)
    partial = kit.parent / f".{kit.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        private_folder(partial)
        for name, expected in listed.files.items():
            _copy(_Source(backup / name, Path(name)), partial)
            if _hash(partial / name) != expected:
                raise BadKit(f"{backup / name} is not as it was written: the backup is damaged")
        make_lasting(list(_files(partial)))
        partial.rename(kit)
    except OSError as error:
        raise BadKit(f"{kit} cannot be written: {disk_failure(error) or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return listed


def read_list(backup: Path) -> Listed:
    """Read what is in a backup, of which no file is outside the kit; raises `BadKit`."""
    try:
        listed = Listed.model_validate_json((backup / LIST).read_bytes())
    except FileNotFoundError:
        raise BadKit(f"{backup} is no backup: it has no {LIST}") from None
    except (OSError, ValidationError) as error:
        raise BadKit(f"{backup / LIST} cannot be read: {str(error).splitlines()[0]}") from None
    for name in listed.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BadKit(f"{backup / LIST} names a file outside the kit: {name}")
        if not (backup / name).is_file():
            raise BadKit(f"{backup / name} is missing: the backup is damaged")
    return listed


def _plain(kit: Kit) -> Iterator[_Source]:
    """Yield the files that are copied as they are."""
    for path in sorted(kit.folder.iterdir()):
        if path.is_file():
            yield _Source(path, Path(path.name))
    for path in _state_files(kit):
        if ".sqlite" not in path.name:
            yield _Source(path, Path(STATE) / path.relative_to(kit.state))


def _databases(kit: Kit) -> Iterator[_Source]:
    for path in _state_files(kit):
        if path.suffix == ".sqlite":
            yield _Source(path, Path(STATE) / path.relative_to(kit.state))


def _state_files(kit: Kit) -> Iterator[Path]:
    for path in sorted(kit.state.iterdir()) if kit.state.is_dir() else ():
        if path.name not in _LEFT:
            yield from _files(path) if path.is_dir() else [path]


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def _copy_vault(kit: Kit, partial: Path) -> None:
    """Copy sealed pictures that are not copied yet; each is named by its own hash."""
    for path in sorted((kit.state / _VAULT).glob("*")):
        source = _Source(path, Path(STATE) / _VAULT / path.name)
        if path.is_file() and not (partial / source.place).exists():
            with suppress(FileNotFoundError):  # its purchase has just ended
                _copy(source, partial)


def _copy(source: _Source, folder: Path) -> None:
    target = folder / source.place
    private_folder(target.parent)
    shutil.copyfile(source.path, target)
    target.chmod(0o600)


def _copy_database(source: _Source, folder: Path) -> None:
    """Copy a database as it is at one moment, while others write to it (SQLite's online backup)."""
    target = folder / source.place
    private_folder(target.parent)
    url = f"{source.path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(url, uri=True)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
    target.chmod(0o600)


def _missing(kit: Kit) -> Iterator[str]:
    if not isinstance(kit.party, CloudFile):
        return
    if kit.party.ledger is not None:
        url = database_url(kit.party.ledger)
        how = "pg_dump" if url.get_backend_name() == "postgresql" else "its own means"
        yield f"the ledger is at {without_secrets(url)}: back it up with {how}, after this"
    if kit.party.vault is not None:
        yield f"the vault is at {kit.party.vault}, and has to be copied before the ledger and again after it"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
