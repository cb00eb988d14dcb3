"""Writes with an Idempotency-Key: a repeated write returns the first response and changes nothing.

A row of `answers` is inserted before the write and gets its status and body after it. The process holds a lock of the
same name (kind `in-flight`) while it writes.

Decisions
1. Only what succeeded is kept. A house error changed nothing, so the same request may be tried again. But a write that
   happened and could not be recorded in the audit log, or of which the database cannot say whether it did, or which
   failed in a way that we did not foresee, is not repeated.
2. A process that is killed leaves a row without a status. Whether the write happened is unknown then, and a second
   rollback would go back twice: a repeated request is refused.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from vecver.errors import ConflictError, InvalidInputError, VecverError
from vecver_service.state.audit import AUDIT_FAILED
from vecver_service.state.database import Database
from vecver_service.state.postgres import UNCLEAR

Answer = tuple[int, Any]  # status, body
KEPT_SECONDS = 24 * 3600
_SWEEP_SECONDS = 3600
_KIND = "in-flight"  # of locks
_PERHAPS_DONE = (AUDIT_FAILED, UNCLEAR)  # codes of errors after which the write may have happened


class Once:
    """The answers of the last day, by caller and Idempotency-Key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept = 0.0

    def do(self, who: str, key: str | None, asked: str, write: Callable[[], Answer]) -> Answer:
        """`write()`, or what it returned before under this `key` of the caller `who`.

        `asked` identifies the request: method, path, body. Raises ConflictError (it is in progress, or its outcome is
        unknown), InvalidInputError (the key was used for another request, or cannot be used), and what `write` raises.
        """
        if key is None:
            return write()
        if not 1 <= len(key) <= 255 or not key.isprintable():
            raise InvalidInputError(
                "the Idempotency-Key cannot be used",
                code="invalid_key",
                hint="1 to 255 printable characters, a UUID say",
            )
        self._sweep()
        id = hashlib.sha256(f"{who}\n{key}".encode()).hexdigest()
        request = hashlib.sha256(asked.encode()).hexdigest()
        lock = self._database.lock(_KIND, id)
        if not lock.acquire():
            raise ConflictError(
                "a request with this Idempotency-Key is being done", code="in_progress", hint="wait, then ask again"
            )
        try:
            return self._first_answer(id, request) or self._done(id, write)
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Delete what is older than a day, at most once an hour."""
        now = time.time()
        if now - self._swept < _SWEEP_SECONDS:
            return
        self._swept = now
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM answers WHERE time < ?", (now - KEPT_SECONDS,))
        self._database.engine.forget_locks(_KIND, KEPT_SECONDS)

    def _first_answer(self, id: str, request: str) -> Answer | None:
        """The answer that was given first. None: this request is the first, and its row is on the disk now."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT request, status, body FROM answers WHERE id = ?", (id,)).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO answers (id, request, time) VALUES (?, ?, ?)", (id, request, time.time())
                )
                return None
        return _answer(row, request)

    def _done(self, id: str, write: Callable[[], Answer]) -> Answer:
        try:
            status, body = write()
        except VecverError as error:
            if error.code not in _PERHAPS_DONE:
                self._forget(id)
            raise
        with self._database.transaction() as connection:
            row = (status, json.dumps(body), time.time(), id)
            connection.execute("UPDATE answers SET status = ?, body = ?, time = ? WHERE id = ?", row)
        return status, body

    def _forget(self, id: str) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM answers WHERE id = ?", (id,))


def _answer(row: tuple[str | None, int | None, str | None], request: str) -> Answer:
    """Raises InvalidInputError, ConflictError."""
    first_request, status, body = row
    if first_request not in (None, request):
        raise InvalidInputError(
            "this Idempotency-Key was used for another request", code="key_reused", hint="take a new key"
        )
    if status is None or body is None:
        raise ConflictError(
            "the service failed or stopped while it did this: whether it happened is not known",
            code="outcome_unknown",
            hint="look at what was to be changed; if it was not, ask again with a new Idempotency-Key",
        )
    return status, json.loads(body)
