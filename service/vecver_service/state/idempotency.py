"""A write that brings an Idempotency-Key happens once: asked again, it is answered with what it was answered first.

    once/<digest>        JSON: what was asked, and the answer; without an answer while it is being done
    once/<digest>.lock   held by whoever does it

Decisions
- 2026-11-21 only what succeeded is kept: a house error changed nothing, so the same request may be tried again. But
  where it happened and the audit log could not take it, or the error was not foreseen, it is not done again.
- 2026-11-21 a process that ends in the middle leaves a record without an answer. Whether the write happened is not
  known then, and a rollback done twice goes back twice: so it is refused, not done again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vecver.errors import ConflictError, InvalidInputError, VecverError
from vecver_service.state import files
from vecver_service.state.audit import AUDIT_FAILED

Answer = tuple[int, Any]  # status, body
KEPT_SECONDS = 24 * 3600
_SWEPT_SECONDS = 3600


class Once:
    """The answers of the last day, by the key of their request."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = 0.0

    def do(self, who: str, key: str | None, asked: str, write: Callable[[], Answer]) -> Answer:
        """`write()`, or what it gave before under this `key` of `who`. `asked` says what is wanted: method, path, body.

        Raises ConflictError (it is being done now, or how it ended is unknown), InvalidInputError (other use of the
        key), and what `write` raises.
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
        path = self._folder / hashlib.sha256(f"{who}\n{key}".encode()).hexdigest()
        fingerprint = hashlib.sha256(asked.encode()).hexdigest()
        files.make_folder(self._folder)
        try:
            with FileLock(f"{path}.lock", timeout=0):
                return self._known(path, fingerprint) or self._done(path, fingerprint, write)
        except Timeout as error:
            raise ConflictError(
                "a request with this Idempotency-Key is being done", code="in_progress", hint="wait, then ask again"
            ) from error

    def _sweep(self) -> None:
        """Forget what is older than a day; looked for once an hour."""
        now = time.time()
        if now - self._swept < _SWEPT_SECONDS:
            return
        self._swept = now
        for path in self._folder.glob("*"):
            with suppress(OSError):
                if path.stat().st_mtime < now - KEPT_SECONDS:
                    path.unlink()

    def _known(self, path: Path, fingerprint: str) -> Answer | None:
        if not path.exists():
            return None
        record = json.loads(path.read_text("utf-8"))
        if record["asked"] != fingerprint:
            raise InvalidInputError(
                "this Idempotency-Key was used for another request", code="key_reused", hint="take a new key"
            )
        if "body" not in record:
            raise ConflictError(
                "the service failed or stopped while it did this: whether it happened is not known",
                code="outcome_unknown",
                hint="look at what was to be changed; if it was not, ask again with a new Idempotency-Key",
            )
        return record["status"], record["body"]

    def _done(self, path: Path, fingerprint: str, write: Callable[[], Answer]) -> Answer:
        files.save(path, json.dumps({"asked": fingerprint}))
        try:
            status, body = write()
        except VecverError as error:
            if error.code != AUDIT_FAILED:
                path.unlink(missing_ok=True)
            raise
        files.save(path, json.dumps({"asked": fingerprint, "status": status, "body": body}))
        return status, body
