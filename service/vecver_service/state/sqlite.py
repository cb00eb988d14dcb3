"""Opens SQLite files, and turns SQLite's errors into errors of the operating system or of the house.

Decisions
1. What the disk did (full, read-only, failed) is raised as OSError, as if Python had written the file itself: callers
   handle one kind of disk error, wherever it comes from.
2. Nothing here opens the database file with `open()`: closing any handle on it would drop this process's POSIX locks,
   and another process could then overwrite what is being written. Even the version is read through SQLite.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vecver.errors import BackendError, IntegrityError, VecverError, say

WAIT_SECONDS = 10.0  # for a lock that another process holds; our own transactions take milliseconds
_DISK_ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: a table is missing


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """A connection in autocommit mode that any thread may use, one at a time. `mode`: "rw", "rwc" (create) or "ro".

    Raises OSError, BackendError, IntegrityError.
    """
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # reads the file, recovers its log
        except BaseException:
            connection.close()
            raise
    return connection


def connect_existing(path: Path) -> sqlite3.Connection:
    """A connection to a database that is there, also on a disk that is read-only. Raises as `connect`.

    It reads the log (-wal) beside the file: after a checkpoint that was cut off, the file alone is half old, half new.
    """
    log = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK):
        return connect(path)
    if not log.exists():
        return _connect_frozen(path)
    try:
        return connect(path)  # works while a service has the database open
    except OSError as error:
        reason = f"its log {log.name} must be read first, by a user who may write in the folder ({error})"
        raise OSError(error.errno, reason, str(path)) from error


def _connect_frozen(path: Path) -> sqlite3.Connection:
    """A connection that reads the file alone: no log and no locks, so nobody may be writing."""
    return connect(path, "ro&immutable=1")


def identity(path: Path) -> tuple[int, int]:
    """(application id, user version) of a database file, none of whose rows change. Raises as `connect`."""
    with closing(connect_existing(path)) as connection, translated(path):
        return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))


def commit(connection: sqlite3.Connection) -> None:
    """End a transaction. With `synchronous=FULL` it is on the disk when this returns."""
    connection.execute("COMMIT")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises OSError, BackendError or IntegrityError for what SQLite raises inside the block."""
    try:
        yield
    except sqlite3.Error as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind in _DISK_ERRORS:
            raise OSError(_errno(kind, path), f"{os.strerror(_errno(kind, path))} ({error})", str(path)) from error
        if kind in _BUSY:
            raise _busy(path) from error
        if kind in _DAMAGED:
            raise damaged(path, str(error)) from error
        raise


def _errno(kind: int, path: Path) -> int:
    """The operating system's number for an error of SQLite, which says "I/O error" for some full disks."""
    if kind == sqlite3.SQLITE_IOERR and _is_full(path.parent):
        return errno.ENOSPC
    return _DISK_ERRORS[kind]


def _is_full(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False


def damaged(path: Path, reason: str) -> VecverError:
    """The error for a database file that cannot be read."""
    return IntegrityError(
        f"the service's database {path} is damaged: {reason}",
        code="state_damaged",
        hint=say(
            "stop the service, copy the file, then restore it from a backup or run `sqlite3 FILE .recover` on the copy",
            http="its operator must stop the service and restore the file from a backup",
        ),
    )


def _busy(path: Path) -> VecverError:
    return BackendError(
        f"another process has locked the service's database {path} for more than {WAIT_SECONDS:g} s",
        code="state_busy",
        hint="end the shell or backup program that has the file open, then repeat the request",
        retryable=True,
    )
