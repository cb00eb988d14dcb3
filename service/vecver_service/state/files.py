"""Files of the state folder: written whole or not at all, and still there after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import vecver
from vecver import disk
from vecver.disk import sync
from vecver.errors import BackendError, ConflictError, InvalidInputError

_OWNER = "repository"  # name of the file that says whose state it is


def save(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace a file in one step; it is on the disk when this returns. Raises OSError: the file is as it was."""
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the name
        os.replace(part, path)
    except OSError:
        with suppress(OSError):  # half of it, on a full disk
            part.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Raises BackendError, which names `path`, for an OSError inside the block."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise BackendError(
            f"{path} cannot be reached: {error.strerror or error}",
            code="state_full" if full else "state_failed",
            hint="free space there, and repeat the command"
            if full
            else "check its rights, or name another folder with VECVER_STATE",
            retryable=full,
        ) from error


def sync_tree(folder: Path) -> None:
    """Put all that lies in a folder on the disk, bytes and names."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place) / name)
        sync(Path(place))


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, durably. Raises OSError, also where a folder cannot be synced."""
    disk.make_folder(folder, mode, sync)


@contextmanager
def making(state: Path) -> Iterator[None]:
    """Makes the state folder. Raises InvalidInputError for an OSError, inside the block too."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise InvalidInputError(
            f"the state folder {state} cannot be used: {error.strerror or error}",
            code="invalid_settings",
            hint="name one that this user may write with VECVER_STATE",
        ) from error


def own_folder(state: Path, repository: vecver.Repository) -> None:
    """Make the state folder, and reserve it for this repository: another's jobs would run in this one.

    Raises ConflictError (it is another's), InvalidInputError (it cannot be made or written).
    """
    with making(state), suppress(FileExistsError), (state / _OWNER).open("x", encoding="utf-8") as file:
        file.write(repository.id)
    with making(state):
        id = (state / _OWNER).read_text("utf-8")
    if id not in ("", repository.id):  # empty: another process is writing it now, or was killed before it had
        raise ConflictError(
            f"{state} holds the jobs of another repository, {id[:12]}",
            code="state_taken",
            hint="give each service a folder of its own with VECVER_STATE",
        )
