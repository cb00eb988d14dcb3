"""The database of one machine: a SQLite file in the state folder, with locks of the kernel beside it.

    service.sqlite         the tables
    locks/ in-flight/      a file for each lock; the kernel releases it when its process ends
    keys.json              says where the keys are; its time of modification says when they changed

Decisions
1. One SQLite file in WAL mode, so that reading never waits for writing. WAL needs a local file system.
2. A transaction is on the disk when it ends (`synchronous=FULL`), unless the caller can lose it (`durable=False`).
3. Every request needs its key, and looks at one file's modification time (`keys.json`, which each change of keys sets)
   instead of asking the database: a query on the event loop's thread cost 15% of the requests per second at 8 callers.
4. Keys are read again after a second in any case: a process may be killed after a change, before it sets that time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout

from vecver_service.state import migration, older_files, schema, sqlite
from vecver_service.state.sql import Connection


class SqliteEngine:
    """The database of a state folder.

    `named_keys`: the file of keys that VECVER_KEYS names, which is left alone if it lies in this folder.
    """

    shared = False

    def __init__(self, folder: Path, named_keys: Path | None = None) -> None:
        self.folder, self.path, self._named_keys = folder, folder / schema.FILE_NAME, named_keys
        self._keys_changed = folder / older_files.KEYS

    def exists(self) -> bool:
        return self.path.exists()

    def prepare(self) -> None:
        """Make it, from the files of an older vecver if there are any.

        Raises OSError, ConflictError (an older or newer vecver uses the folder), IntegrityError (damaged).
        """
        migration.put_in_place(self.path, self._named_keys)

    def connect(self) -> Connection:
        return sqlite.connect_existing(self.path)

    def usable(self, connection: Connection, idle_s: float) -> bool:
        return True

    def clean(self, connection: Connection) -> bool:
        return not cast(sqlite3.Connection, connection).in_transaction

    def errors(self) -> AbstractContextManager[None]:
        return sqlite.translated(self.path)

    def begin(self, connection: Connection, *, durable: bool) -> None:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")  # else reading first and writing then fails if another wrote between

    def commit(self, connection: Connection) -> None:
        sqlite.commit(cast(sqlite3.Connection, connection))

    def roll_back(self, connection: Connection) -> None:
        with suppress(sqlite3.Error):  # SQLite may have rolled back already
            connection.execute("ROLLBACK")

    def lock(self, kind: str, name: str) -> _KernelLock:
        folder = self.folder / kind
        folder.mkdir(exist_ok=True)
        return _KernelLock(folder / name)

    def forget_locks(self, kind: str, seconds: float) -> None:
        for lock in (self.folder / kind).glob("*"):
            with suppress(OSError):
                if lock.stat().st_mtime < time.time() - seconds:
                    lock.unlink()

    @contextmanager
    def changing_keys(self, transaction: AbstractContextManager[Connection]) -> Iterator[Connection]:
        with FileLock(self.folder / "keys.lock"):  # no two changes set the same time
            with transaction as connection:
                yield connection
            with suppress(OSError):  # the change is made; it is seen in a second at the latest
                newer = max(time.time_ns(), self._keys_changed.stat().st_mtime_ns + 1)
                os.utime(self._keys_changed, ns=(newer, newer))

    def keys_version(self) -> object | None:
        try:
            return self._keys_changed.stat().st_mtime_ns, int(time.monotonic())
        except OSError:
            return None

    def reachable(self) -> bool:
        return True

    def close(self) -> None:
        pass


class _KernelLock:
    """A file that the kernel locks for this process."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, timeout=0)

    def acquire(self) -> bool:
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        self._lock.release()
