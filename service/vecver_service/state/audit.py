"""The audit log: an entry for every write and every refused one: who, what, from, to, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from vecver.errors import BackendError, VecverError
from vecver_service.state.database import Database
from vecver_service.state.keys import Caller

Json = dict[str, Any]
AUDIT_FAILED = "audit_failed"


class Audit:
    """Entries are only added. An entry is on the disk before its request is answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def entry(self, caller: Caller, request: str, action: str, dataset: str, **details: Any) -> Iterator[Json]:
        """Record what runs inside; it may add to the entry (`from`, `to`). What fails is recorded with its code."""
        entry: Json = {"action": action, "dataset": dataset, **details}
        try:
            yield entry
        except BaseException as error:
            code = error.code if isinstance(error, VecverError) else "internal"
            self.append(caller, request, {**entry, "outcome": code})
            raise
        self.append(caller, request, {**entry, "outcome": "done"})

    def newest(self, limit: int) -> list[Json]:
        """The last entries, newest first. A line that an older vecver could not finish is shown as it is."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT entry FROM audit ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
        return [_parsed(text) for (text,) in rows]

    def append(self, caller: Caller, request: str, entry: Json) -> None:
        """Record one entry. Raises BackendError (it cannot be written)."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        text = json.dumps({"time": time, "by": caller.name, "key": caller.id, "request": request, **entry}, default=str)
        try:
            with self._database.transaction() as connection:
                connection.execute("INSERT INTO audit (entry) VALUES (?)", (text,))
        except (OSError, VecverError) as error:
            raise BackendError(
                "the audit log cannot be written",
                code=AUDIT_FAILED,
                hint="free space in the state folder; look at what was asked before repeating it",
            ) from error


def _parsed(text: str) -> Json:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"outcome": "unreadable", "line": text}
