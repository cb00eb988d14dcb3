"""The database of several machines: a PostgreSQL, with its advisory locks in place of the kernel's.

Decisions
1. Writers take one advisory lock for the length of their transaction. So transactions come one after the other, as in
   SQLite, and what one has read stays true until it ends, without a second form of each statement.
2. A process holds its locks by one connection, which a thread looks at each second. The server releases them when the
   process or its machine ends. After the server was restarted the same locks are taken again, unless others were
   faster: `Jobs` keeps what a process then still writes of a job from counting.
3. The same look brings the number that changes with the keys, so that a request needs no query to know its caller.
   While the database is away the keys that were read last hold: searches go on.
4. If the connection ends during COMMIT, PostgreSQL is asked afterwards what became of the transaction.
5. While the look finds nobody, what needs the database fails at once. If each request waited for a connection in vain,
   a few would hold all threads, and searches would wait for them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import cast
from weakref import ref

from vecver.errors import BackendError, ConflictError, VecverError
from vecver_service.state.postgres import SCHEMA, PostgresConnection, unclear, unreachable
from vecver_service.state.postgres_address import Address
from vecver_service.state.sql import Connection

VERSION = 1  # of the tables
_log = logging.getLogger("vecver.service")
LOOK_SECONDS = 1.0
_TRUSTED_SECONDS = 1.0  # an idle connection is asked for a sign of life after this time
_SETTLING_SECONDS = 15.0  # longer than `idle_in_transaction_session_timeout`, after which the server gives up
_KEYS_VERSION = "keys version"  # name of a fact
_TABLES = f"""
CREATE TABLE facts (name TEXT COLLATE "C" PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE keys (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    digest TEXT NOT NULL,
    created TEXT NOT NULL,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY
);
CREATE TABLE jobs (
    id TEXT COLLATE "C" PRIMARY KEY,
    dataset TEXT NOT NULL,
    state TEXT NOT NULL,
    taken BIGINT NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL
);
CREATE INDEX open_jobs ON jobs (id) WHERE state IN ('queued', 'running');
CREATE TABLE answers (
    id TEXT COLLATE "C" PRIMARY KEY,
    request TEXT,
    status INTEGER,
    body TEXT,
    time DOUBLE PRECISION NOT NULL
);
CREATE INDEX answer_times ON answers (time);
CREATE TABLE audit (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry TEXT NOT NULL);
INSERT INTO facts VALUES ('version', '{VERSION}');
"""  # the columns are those of `schema.py`


class PostgresEngine:
    """The database at an address. `folder`: for files of this process, such as uploads that arrive."""

    shared = True

    def __init__(self, address: Address, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._keeper = _Keeper(partial(PostgresConnection, address))

    def exists(self) -> bool:
        return True  # no older form lies elsewhere: `prepare` makes the tables

    def prepare(self) -> None:
        """Make the tables if there are none.

        Raises BackendError (the user may not, for example), ConflictError (a newer vecver made them).
        """
        with closing(self.connect()) as connection:
            connection.execute("BEGIN")
            connection.execute(f"SELECT pg_advisory_xact_lock({_key('tables')})")
            (table,) = connection.execute(f"SELECT to_regclass('{SCHEMA}.facts')::text").fetchone()
            if table is None:
                (schema,) = connection.execute(f"SELECT to_regnamespace('{SCHEMA}')::text").fetchone()
                if schema is None:  # IF NOT EXISTS asks for the right to make one even where there is one
                    connection.execute(f"CREATE SCHEMA {SCHEMA}")
                connection.execute(_TABLES)
            row = connection.execute(f"SELECT value FROM {SCHEMA}.facts WHERE name = 'version'").fetchone()
            connection.execute("COMMIT")
        if row is None or int(row[0]) > VERSION:
            raise ConflictError(
                f"the tables in {self.address} were made by a newer vecver: this one reads version {VERSION}",
                code="state_newer",
                hint="install that version again, or name another database with VECVER_DATABASE; nothing was changed",
            )

    def connect(self) -> PostgresConnection:
        if not self._keeper.reachable:
            raise unreachable(self.address, "it did not a moment ago")
        return PostgresConnection(self.address)

    def usable(self, connection: Connection, idle_s: float) -> bool:
        if not self._keeper.reachable:
            return False
        if idle_s < _TRUSTED_SECONDS:
            return True
        try:
            connection.execute("SELECT 1")
        except VecverError:
            return False
        return True

    def clean(self, connection: Connection) -> bool:
        ours = cast(PostgresConnection, connection)
        return not ours.broken and not ours.in_transaction

    def errors(self) -> AbstractContextManager[None]:
        return nullcontext()  # connections translate their own

    def begin(self, connection: Connection, *, durable: bool) -> None:
        ours = cast(PostgresConnection, connection)
        weak = "" if durable else "SET LOCAL synchronous_commit TO off;"
        ours.in_transaction, ours.failed = True, False
        try:
            rows = ours.execute(
                f"BEGIN; {weak} SELECT pg_advisory_xact_lock({_key('writing')}); SELECT pg_current_xact_id()::text"
            ).fetchall()
        except BaseException:
            self.roll_back(connection)
            raise
        ours.transaction_id = rows[-1][0]  # pg8000 gives the rows of all statements

    def commit(self, connection: Connection) -> None:
        ours = cast(PostgresConnection, connection)
        assert not ours.failed, "PostgreSQL would answer COMMIT by rolling back, without an error"
        try:
            ours.execute("COMMIT")
        except BackendError as error:
            if not ours.broken:
                raise
            self._settle(ours.transaction_id, error)
        ours.in_transaction = False

    def _settle(self, transaction: str, error: BackendError) -> None:
        """Ask what became of a transaction. Raises `error` if it was not committed, BackendError if nobody knows."""
        until = time.monotonic() + _SETTLING_SECONDS
        while time.monotonic() < until:
            status = self._status_of(transaction)
            if status == "committed":
                return
            if status == "aborted":
                raise error
            time.sleep(0.2)
        raise unclear(self.address) from error

    def _status_of(self, transaction: str) -> str | None:
        """What became of a transaction; None where the database does not answer."""
        with suppress(BackendError), closing(PostgresConnection(self.address)) as other:
            return other.execute("SELECT pg_xact_status(CAST(? AS xid8))", (transaction,)).fetchone()[0]
        return None

    def roll_back(self, connection: Connection) -> None:
        ours = cast(PostgresConnection, connection)
        if not ours.in_transaction or ours.broken:
            return
        with suppress(VecverError):
            ours.execute("ROLLBACK")
            ours.in_transaction = False

    def lock(self, kind: str, name: str) -> _AdvisoryLock:
        return _AdvisoryLock(self._keeper, f"{kind}/{name}")

    def forget_locks(self, kind: str, seconds: float) -> None:
        pass  # a lock that nobody holds leaves nothing

    @contextmanager
    def changing_keys(self, transaction: AbstractContextManager[Connection]) -> Iterator[Connection]:
        with transaction as connection:
            connection.execute(
                "INSERT INTO facts AS now VALUES (?, '1') ON CONFLICT (name) DO UPDATE"
                " SET value = CAST(CAST(now.value AS BIGINT) + 1 AS TEXT)",
                (_KEYS_VERSION,),
            )
            yield connection

    def keys_version(self) -> object | None:
        self._keeper.start()
        return self._keeper.keys_version

    def reachable(self) -> bool:
        """Did it answer when it was looked at last?"""
        return self._keeper.reachable

    def close(self) -> None:
        self._keeper.close()


class _Keeper:
    """The connection by which this process holds locks, and the thread that looks at it each second.

    `keys_version` and `reachable` are what it saw last.
    """

    def __init__(self, connect: Callable[[], PostgresConnection]) -> None:
        self.keys_version: object | None = None
        self.reachable = True
        self._connect = connect
        self._connection: PostgresConnection | None = None
        self._held: set[str] = set()
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._ended: threading.Event | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._ended is not None:
            return
        with self._starting:
            if self._ended is None:
                self._ended = threading.Event()
                threading.Thread(target=_look_on, args=(ref(self), self._ended), name="database", daemon=True).start()

    def take(self, name: str) -> bool:
        """Take a lock; False if another connection or another thread of this process has it. Raises BackendError."""
        self.start()
        with self._lock:
            if name in self._held or not _taken(self._connected(), name):
                return False
            self._held.add(name)
            return True

    def give_back(self, name: str) -> None:
        """Release a lock; one that was lost stays so."""
        with self._lock:
            self._held.discard(name)
            if self._connection and not self._connection.broken:
                with suppress(VecverError):
                    self._connection.execute(f"SELECT pg_advisory_unlock({_key(name)})")

    def look(self) -> None:
        """See whether the database answers, and whether keys changed. Locks that a restart released are taken again."""
        try:
            with self._lock:
                row = self._connected().execute("SELECT value FROM facts WHERE name = ?", (_KEYS_VERSION,)).fetchone()
        except VecverError as error:
            if self.reachable:
                _log.error("the database is away: writes are refused until it is back", extra={"why": error.message})
            self.reachable = False
            return
        if not self.reachable:
            _log.warning("the database is back")
        self.keys_version, self.reachable = (row[0] if row else "none"), True

    def close(self) -> None:
        """End the thread and the connection, and so release every lock. The next use begins anew."""
        with self._starting:
            if self._ended:
                self._ended.set()
            self._ended = None
        with self._lock:
            self._held.clear()
            if self._connection:
                self._connection.close()
            self._connection, self.reachable = None, True

    def _connected(self) -> PostgresConnection:
        """The connection, with the locks that this process holds. Raises BackendError."""
        if self._connection is None or self._connection.broken:
            connection = self._connect()
            self._held = {name for name in self._held if _taken(connection, name)}
            self._connection = connection
        return self._connection


class _AdvisoryLock:
    """A lock of the server, held by the connection of a keeper."""

    def __init__(self, keeper: _Keeper, name: str) -> None:
        self._keeper, self._name = keeper, name

    def acquire(self) -> bool:
        return self._keeper.take(self._name)

    def release(self) -> None:
        self._keeper.give_back(self._name)


def _look_on(keeper: ref[_Keeper], ended: threading.Event) -> None:
    """Look each second, until the keeper is closed or nobody uses it any more."""
    while (this := keeper()) is not None and not ended.is_set():
        try:
            this.look()
        except Exception:  # this thread must live: without it no change of keys is seen
            _log.exception("the database could not be looked at")
        del this
        ended.wait(LOOK_SECONDS)


def _taken(connection: PostgresConnection, name: str) -> bool:
    (taken,) = connection.execute(f"SELECT pg_try_advisory_lock({_key(name)})").fetchone()
    return bool(taken)


def _key(name: str) -> int:
    """The number of a lock: 64 bits of a digest."""
    return int.from_bytes(sha256(f"vecver {name}".encode()).digest()[:8], "big", signed=True)
