"""Reads and writes lock files, and says where the repository beside one is."""

from __future__ import annotations

import os
from pathlib import Path

from vecver.disk import sync, sync_folder
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.model import Lock
from vecver.store import writing

LOCK_FILE = "vecver.lock"
REPOSITORY = ".vecver"


def read_lock(file: Path) -> Lock:
    """The lock in a file. Raises NotFoundError (there is none), IntegrityError (it is no lock file)."""
    try:
        text = file.read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(
            f"there is no lock file {file}",
            code="lock_not_found",
            hint=say(
                'repo.lock("DATASET@REVISION") writes one',
                cli="`vecver lock DATASET@REVISION` writes one; --file names another",
            ),
            file=str(file),
        ) from error
    except UnicodeDecodeError:
        text = ""
    return Lock.from_text(text, str(file))


def write_lock(file: Path, lock: Lock) -> None:
    """Write a lock file in one step. Raises BackendError, InvalidInputError (there is no such folder)."""
    if not file.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder {file.parent}", code="no_folder", hint="make it first", path=str(file)
        )
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    with writing(str(file), file):
        try:
            part.write_text(lock.to_text(), "utf-8")
            sync(part)
            os.replace(part, file)
            sync_folder(file.parent)
        finally:
            part.unlink(missing_ok=True)


def kept_address(url: str, file: Path) -> str:
    """An address as a lock file keeps it: a folder below that of the file by its relative path."""
    folder = file.parent.resolve()
    if "://" not in url and Path(url).resolve().is_relative_to(folder):
        return f"./{Path(url).resolve().relative_to(folder).as_posix()}"
    return url


def address_in(lock: Lock, file: Path) -> str:
    """The address of a lock file's remote."""
    return lock.remote if "://" in lock.remote else os.path.abspath(file.parent / lock.remote)


def repository_near(file: Path) -> Path:
    """`.vecver` beside a lock file or in a folder above it; beside it if there is none."""
    here = file.resolve().parent
    folders = (folder / REPOSITORY for folder in (here, *here.parents))
    return next((folder for folder in folders if (folder / "vecver.json").is_file()), here / REPOSITORY)
