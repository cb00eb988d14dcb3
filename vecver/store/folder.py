"""Writes a folder of files that becomes visible in one step, and verifies one by the digests of its files.

Decisions
1. An empty folder at the target is replaced; anything else is refused. A link is refused because the files would land
   where it points, and the working directory because a shell would stay in the replaced folder.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vecver.disk import sync_folder
from vecver.errors import IntegrityError, InvalidInputError
from vecver.store.api import reading, writing
from vecver.store.local import ABANDONED_SECONDS

_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A private folder to fill; it is `target`, whole and durable, once the block ends without an error.

    After any failure `target` is as it was and nothing else is left; a killed process leaves a hidden
    `.NAME.….part` beside it, which the next attempt removes when nothing was written there for a day.
    Raises InvalidInputError (something is in the way, or no folder to make it in), BackendError (disk).
    """
    with writing(str(target)):
        _refuse_occupied(target)
        _sweep(target)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        part.mkdir()
        try:
            yield part
            for file in part.iterdir():
                _sync(file)
            sync_folder(part)
            _publish(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def measured(file: Path) -> dict[str, Any]:
    """A file's sha256 and length in bytes."""
    with reading(str(file)), open(file, "rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": os.fstat(stream.fileno()).st_size}


def verify_folder(folder: Path, files: Mapping[str, Any], *, beside: str) -> None:
    """Raises IntegrityError, naming the file, unless `folder` holds exactly `files`, as `measured`, and `beside`."""
    with reading(str(folder)):
        present = {path.name for path in folder.iterdir()}
    for name in sorted({*files, beside} ^ present):
        raise _damaged(folder, name, "is missing" if name in files else "does not belong to it")
    for name in sorted(files):
        if not (folder / name).is_file() or measured(folder / name) != files[name]:
            raise _damaged(folder, name, "does not match its digest")


def _damaged(folder: Path, name: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"{folder}: {name} {what}",
        code="folder_damaged",
        hint="move the file away" if "belong" in what else "take another copy of the folder, or make it anew",
        name=name,
    )


def _refuse_occupied(target: Path) -> None:
    """Raises InvalidInputError unless `target` can become a new folder."""
    if not target.parent.is_dir():
        raise InvalidInputError(
            f"there is no folder {target.parent}", code="no_folder", hint="make it first", path=str(target)
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise _occupied(target, "is no folder")
    if target.is_dir() and next(target.iterdir(), None):
        raise _occupied(target, "is not empty")
    if target.is_dir() and target.samefile(Path.cwd()):
        raise _occupied(target, "is the folder you are in")


def _occupied(target: Path, what: str) -> InvalidInputError:
    return InvalidInputError(f"{target} {what}", code="not_empty", hint="name a new folder", path=str(target))


def _publish(part: Path, target: Path) -> None:
    try:
        os.replace(part, target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            raise _occupied(target, "was taken meanwhile") from error
        raise
    sync_folder(target.parent)


def _sync(file: Path) -> None:
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())


def _sweep(target: Path) -> None:
    """Remove the parts that killed processes left, once nothing was written there for a day."""
    limit = time.time() - ABANDONED_SECONDS
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????.part"):
        with contextlib.suppress(OSError):  # another process removes it at this moment
            if max(path.stat().st_mtime for path in (left, *left.iterdir())) < limit:
                shutil.rmtree(left, ignore_errors=True)
