"""Files of the state folder: written whole or not at all, and still there after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import vecver
from vecver.errors import BackendError, ConflictError, InvalidInputError


def save(path: Path, text: str, *, mode: int = 0o666, durable: bool = True) -> None:
    """Replace a file in one step. Not `durable`: a power cut may bring back the one before it, never half of one."""
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
    if durable:
        sync_folder(path.parent)


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Within the block, Raises BackendError (the operating system refuses a file of the state folder), naming it."""
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


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make all that lies in a folder durable, its bytes and its names."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync_folder(Path(place) / name)  # a file is synced in the same way
        sync_folder(Path(place))


def make_folder(folder: Path) -> None:
    """A folder that a power cut does not take away, with what is synced in it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def own_state(state: Path, repository: vecver.Repository) -> None:
    """Make the state folder, and let it be this repository's: another's jobs would be done in this one.

    Raises ConflictError (it is another's), InvalidInputError (it cannot be made or written).
    """
    owner = state / "repository"
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError), owner.open("x", encoding="utf-8") as file:
            file.write(repository.id)
        found = owner.read_text("utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"the state folder {state} cannot be used: {error.strerror or error}",
            code="invalid_settings",
            hint="name one that this user may write with VECVER_STATE",
        ) from error
    if found not in ("", repository.id):  # empty: it is being written, or was not, by a process that ended
        raise ConflictError(
            f"{state} holds the jobs of another repository, {found[:12]}",
            code="state_taken",
            hint="give each service a folder of its own with VECVER_STATE",
        )
