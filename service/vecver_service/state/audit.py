"""The audit log: an entry for every write and every refused one: who, what, from, to, and what came of it.

Decisions
1. A job's entry is written in the transaction that queues the job. When it was written after that, a worker could end
   the job first, and the log said "ended" before "queued".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from vecver.errors import BackendError, VecverError
from vecver_service.state.database import Connection, Database
from vecver_service.state.keys import Caller

Json = dict[str, Any]
AUDIT_FAILED = "audit_failed"


class Entry(dict[str, Any]):
    """The fields of an entry that is being made."""

    def __init__(self, fields: Json, insert: Callable[[Connection, Json], None]) -> None:
        super().__init__(fields)
        self._insert = insert
        self.written = False

    def write_done(self, connection: Connection) -> None:
        """Record in this transaction that it is done. Raises BackendError (it cannot be written)."""
        try:
            self._insert(connection, {**self, "outcome": "done"})
        except (VecverError, sqlite3.Error) as error:
            raise _failed() from error
        self.written = True


class Audit:
    """Entries are only added. An entry is on the disk before its request is answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def entry(self, caller: Caller, request: str, action: str, dataset: str, **details: Any) -> Iterator[Entry]:
        """Record what runs inside; it may add to the entry (`from`, `to`), or write it. Failures are recorded too.

        Raises BackendError before anything runs where a shared database does not answer.
        """
        self._database.check()  # a write that could not be recorded must not happen
        entry = Entry({"action": action, "dataset": dataset, **details}, partial(_insert, caller, request))
        try:
            yield entry
        except BaseException as error:
            code = error.code if isinstance(error, VecverError) else "internal"
            self.append(caller, request, {**entry, "outcome": code})
            raise
        if not entry.written:
            self.append(caller, request, {**entry, "outcome": "done"})

    def newest(self, limit: int) -> list[Json]:
        """The last entries, newest first. A line that an older vecver could not finish is shown as it is."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT entry FROM audit ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
        return [_parsed(text) for (text,) in rows]

    def append(self, caller: Caller, request: str, entry: Json) -> None:
        """Record one entry. Raises BackendError (it cannot be written)."""
        try:
            with self._database.transaction() as connection:
                _insert(caller, request, connection, entry)
        except (OSError, VecverError, sqlite3.Error) as error:
            raise _failed() from error


def _insert(caller: Caller, request: str, connection: Connection, entry: Json) -> None:
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    text = json.dumps({"time": time, "by": caller.name, "key": caller.id, "request": request, **entry}, default=str)
    connection.execute("INSERT INTO audit (entry) VALUES (?)", (text,))


def _failed() -> BackendError:
    return BackendError(
        "the audit log cannot be written",
        code=AUDIT_FAILED,
        hint="see that its disk has room and its database answers; look at what was asked before repeating it",
    )


def _parsed(text: str) -> Json:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"outcome": "unreadable", "line": text}
