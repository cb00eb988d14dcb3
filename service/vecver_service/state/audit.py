"""The audit log: one line of JSON for every write and every refused one: who, what, from, to, and what came of it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecver.errors import BackendError, VecverError
from vecver_service.state import files
from vecver_service.state.keys import Caller

Json = dict[str, Any]
AUDIT_FAILED = "audit_failed"
_TAIL = 1 << 16  # bytes read at once, from the end


class Audit:
    """An append-only file. A line is on the disk before its request is answered."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def entry(self, caller: Caller, request: str, action: str, dataset: str, **what: Any) -> Iterator[Json]:
        """Record what runs inside; it may add to the entry (`from`, `to`). What fails is recorded with its code."""
        told: Json = {"action": action, "dataset": dataset, **what}
        try:
            yield told
        except BaseException as error:
            code = error.code if isinstance(error, VecverError) else "internal"
            self.append(caller, request, {**told, "outcome": code})
            raise
        self.append(caller, request, {**told, "outcome": "done"})

    def newest(self, limit: int) -> list[Json]:
        """The last entries, newest first. A line that broke off, on a full disk, is told as what is left of it."""
        found: list[bytes] = []
        try:
            with self._path.open("rb") as file:
                end, rest = file.seek(0, os.SEEK_END), b""
                while end > 0 and len(found) < limit:
                    start = max(0, end - _TAIL)
                    file.seek(start)
                    lines = (file.read(end - start) + rest).split(b"\n")
                    rest, end = (lines[0], start) if start else (b"", 0)
                    found += [line for line in reversed(lines[1 if start else 0 :]) if line]
        except FileNotFoundError:
            return []
        return [_parsed(line) for line in found[:limit]]

    def append(self, caller: Caller, request: str, entry: Json) -> None:
        """Record one entry. Raises BackendError."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        line = json.dumps({"time": time, "by": caller.name, "key": caller.id, "request": request, **entry}, default=str)
        try:
            new = not self._path.exists()
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                body = _end(handle) + line.encode() + b"\n"
                if os.write(handle, body) < len(body):  # one write: lines of other processes do not come between
                    raise OSError(errno.ENOSPC, "only a part was written")
                os.fsync(handle)
            finally:
                os.close(handle)
            if new:
                files.sync_folder(self._path.parent)
        except OSError as error:
            raise BackendError(
                "the audit log cannot be written",
                code=AUDIT_FAILED,
                hint="free space in the state folder; look at what was asked before repeating it",
            ) from error


def _end(handle: int) -> bytes:
    """The line end that a line which broke off lacks."""
    size = os.fstat(handle).st_size
    return b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""


def _parsed(line: bytes) -> Json:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"outcome": "unreadable", "line": line.decode("utf-8", "replace")}
