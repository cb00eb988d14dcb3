"""The service's database: connections and transactions for all that it keeps beside its repository.

`Database(folder)` is a SQLite file of one machine; an `Engine` in place of the folder may be another kind.

Decisions
1. Connections wait in a pool, not one for each thread: the threads of a server come and go.
2. Writers of one process wait in line for a lock of that process. SQLite's own waiting sleeps, up to 100 ms at a time,
   and in PostgreSQL each that waits would hold a connection.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from vecver_service.state.sql import Connection, Engine, Lock
from vecver_service.state.sqlite_engine import SqliteEngine

__all__ = ["Connection", "Database"]


class Database:
    """The database of a service. Opened, and made where there is none, when it is first used.

    `named_keys`: the file of keys that VECVER_KEYS names, which is left alone if it lies in this folder.
    """

    def __init__(self, where: Path | Engine, named_keys: Path | None = None) -> None:
        self.engine: Engine = SqliteEngine(where, named_keys) if isinstance(where, Path) else where
        self.folder = self.engine.folder
        self._idle: deque[tuple[Connection, float]] = deque()  # with the time when it was used last
        self._writing, self._preparing = threading.Lock(), threading.Lock()
        self._ready = False
        weakref.finalize(self, _close, self._idle)

    def exists(self) -> bool:
        """Has it been made? Raises OSError."""
        return self._ready or self.engine.exists()

    def prepare(self) -> None:
        """Make it if there is none. Raises OSError, BackendError, ConflictError and IntegrityError: see the engines."""
        if self._ready:
            return
        with self._preparing:
            if not self._ready:
                self.engine.prepare()
                self._ready = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries: each sees what was committed before it began. Raises as `prepare`."""
        self.prepare()
        connection = self._connection()
        try:
            with self.engine.errors():
                yield connection
        finally:
            if self.engine.clean(connection):
                self._idle.append((connection, time.monotonic()))
            else:  # it could not be rolled back, or has lost its server
                with suppress(Exception):
                    connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction: all that is written in the block, or nothing if it raises. Raises as `reading`.

        Not `durable`: it survives the process, but a power cut may undo it.
        """
        with self._writing, self.reading() as connection:
            self.engine.begin(connection, durable=durable)
            try:
                yield connection
                self.engine.commit(connection)
            except BaseException:
                self.engine.roll_back(connection)
                raise

    def check(self) -> None:
        """Raises as `reading` where a shared database does not answer: to be called before what must be recorded."""
        if self.engine.shared:
            with self.reading() as connection:
                connection.execute("SELECT 1").fetchone()

    def reachable(self) -> bool:
        """Did a shared database answer when it was looked at last?"""
        return self.engine.reachable()

    def lock(self, kind: str, name: str) -> Lock:
        """A lock of all processes of the service; `kind` and `name` are good names of files."""
        self.prepare()
        return self.engine.lock(kind, name)

    def changing_keys(self) -> AbstractContextManager[Connection]:
        """A transaction, after which running services read the keys again, also where it changed nothing."""
        self.prepare()
        return self.engine.changing_keys(self.transaction())

    def close(self) -> None:
        """Close the connections that nobody uses. The next use opens new ones."""
        _close(self._idle)
        self.engine.close()

    def _connection(self) -> Connection:
        while True:
            try:
                connection, used = self._idle.pop()
            except IndexError:
                return self.engine.connect()
            if self.engine.usable(connection, time.monotonic() - used):
                return connection
            with suppress(Exception):
                connection.close()


def _close(connections: deque[tuple[Connection, float]]) -> None:
    with suppress(IndexError):
        while True:
            connection, _ = connections.pop()
            with suppress(Exception):
                connection.close()
