"""The service's database: connections and transactions for all that it keeps beside its repository.

Decisions
1. One SQLite file in WAL mode, so that reading never waits for writing. WAL needs a local file system.
2. A transaction is on the disk when it ends (`synchronous=FULL`), unless the caller can lose it (`durable=False`).
3. Connections wait in a pool, not one for each thread: the threads of a server come and go.
4. Writers of one process wait in line for a lock of that process. SQLite's own waiting sleeps, up to 100 ms at a time.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vecver_service.state import migration, schema, sqlite

Connection = sqlite3.Connection


class Database:
    """The database of a state folder. Opened, and made where there is none, when it is first used.

    `named_keys`: the file of keys that VECVER_KEYS names, which is left alone if it lies in this folder.
    """

    def __init__(self, folder: Path, named_keys: Path | None = None) -> None:
        self.folder, self.path, self._named_keys = folder, folder / schema.FILE_NAME, named_keys
        self._idle: deque[Connection] = deque()
        self._writing, self._preparing = threading.Lock(), threading.Lock()
        self._ready = False
        weakref.finalize(self, _close, self._idle)

    def exists(self) -> bool:
        """Has it been made? Raises OSError."""
        return self._ready or self.path.exists()

    def prepare(self) -> None:
        """Make it, from the files of an older vecver if there are any.

        Raises OSError, ConflictError (an older or newer vecver uses the folder), IntegrityError (damaged).
        """
        if self._ready:
            return
        with self._preparing:
            if not self._ready:
                migration.put_in_place(self.path, self._named_keys)
                self._ready = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries: each sees what was committed before it began. Raises as `prepare`, BackendError."""
        self.prepare()
        connection = self._connection()
        try:
            with sqlite.translated(self.path):
                yield connection
        finally:
            if connection.in_transaction:  # it could not be rolled back
                connection.close()
            else:
                self._idle.append(connection)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction: all that is written in the block, or nothing if it raises. Raises as `reading`.

        Not `durable`: it survives the process, but a power cut may undo it.
        """
        with self._writing, self.reading() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")  # else reading first and writing then fails if another wrote between
            try:
                yield connection
                sqlite.commit(connection)
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections that nobody uses. The next use opens new ones."""
        _close(self._idle)

    def _connection(self) -> Connection:
        with suppress(IndexError):
            return self._idle.pop()
        return sqlite.connect_existing(self.path)


def _close(connections: deque[Connection]) -> None:
    with suppress(IndexError):
        while True:
            connections.pop().close()
