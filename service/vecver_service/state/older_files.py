"""Reads into the service's database what older vecvers kept in files: keys, the audit log, jobs, first answers.

`read` may run again over the same files, or over files that an older vecver has changed since: it adds what is new.

Decisions
1. The table `facts` has what was read: the ids of all keys that were ever in `keys.json`, and how many bytes of
   `audit.jsonl` with their digest. A log that begins with these bytes is read from there on, any other from its start.
2. A revocation wins on either side: a key that was read before and is missing in the file is removed from the
   database, and one that was read before and is missing in the database is not added again.
3. A job that has ended in the database stays as it is, and so does an answer that has a status; else the file has the
   newer state, because the service does not run while the files of an older vecver lie in the folder unread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecver_service.state import schema
from vecver_service.state.key_file import KeyFile

KEYS, AUDIT, ONCE, JOBS = "keys.json", "audit.jsonl", "once", "jobs"
WAITING, TAKEN, GIVEN_UP = "waiting", "taken", "given-up"
_KEYS_READ, _AUDIT_READ = "keys read", "audit read"  # names of facts
_CHUNK = 1 << 20  # bytes hashed at once
_DIGEST = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger("vecver.service")


def read(folder: Path, connection: sqlite3.Connection, *, keys: bool) -> None:
    """Add to the tables what the files hold; `keys`: also those in `keys.json`. Raises OSError, IntegrityError."""
    if keys:
        _read_keys(KeyFile(folder / KEYS), connection)
    read_audit(folder / AUDIT, connection)
    read_answers(folder / ONCE, connection)
    _read_jobs(folder, connection)


def versions(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """File -> (inode, modification time, size) of all that `read` reads."""
    paths = [folder / KEYS, folder / AUDIT, *job_files(folder)]
    paths += [path.with_name("cancel") for path in job_files(folder)]
    paths += [folder / name / id for name in (ONCE, WAITING, TAKEN, GIVEN_UP) for id in names(folder / name)]
    result = {}
    for path in paths:
        with suppress(FileNotFoundError):
            info = path.stat()
            result[path] = (info.st_ino, info.st_mtime_ns, info.st_size)
    return result


# -- keys ---------------------------------------------------------------------------------------


def _read_keys(file: KeyFile, connection: sqlite3.Connection) -> None:
    if not file.exist() or file.moved_to() is not None:
        return
    keys, before = {key.id: key for key in file.all()}, _keys_read(connection)
    stored = {id for (id,) in connection.execute("SELECT id FROM keys")}
    schema.note_key_made(connection)
    for key in keys.values():  # oldest first
        if key.id not in stored | before:
            schema.insert_key(connection, key)
    for id in sorted((stored & before) - keys.keys()):
        connection.execute("DELETE FROM keys WHERE id = ?", (id,))
        _log.warning("the key %s was revoked by an older vecver, and so is revoked", id)
    _note(connection, _KEYS_READ, sorted(before | keys.keys()))


def _keys_read(connection: sqlite3.Connection) -> set[str]:
    return set(_fact(connection, _KEYS_READ) or [])


# -- the audit log ------------------------------------------------------------------------------


def read_audit(path: Path, connection: sqlite3.Connection) -> None:
    """Add every line that was not read before, also one that broke off."""
    size, digest = _fact(connection, _AUDIT_READ) or (0, "")
    with suppress(FileNotFoundError), path.open("rb") as file:
        running = hashlib.sha256()
        for length in (min(_CHUNK, size - start) for start in range(0, size, _CHUNK)):
            running.update(file.read(length))
        if running.hexdigest() != digest:
            running = hashlib.sha256()
            file.seek(0)
        connection.executemany("INSERT INTO audit (entry) VALUES (?)", ((line,) for line in _lines(file, running)))
        _note(connection, _AUDIT_READ, [file.tell(), running.hexdigest()])


def _lines(file: Any, running: Any) -> Iterator[str]:
    """The lines from here to the end but empty ones; `running` takes the digest of all bytes read."""
    while line := file.readline():
        running.update(line)
        if text := line.rstrip(b"\n").decode("utf-8", "replace"):
            yield text


def _fact(connection: sqlite3.Connection, name: str) -> Any:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else None


def _note(connection: sqlite3.Connection, name: str, value: Any) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))


# -- first answers and jobs ---------------------------------------------------------------------


def read_answers(folder: Path, connection: sqlite3.Connection) -> None:
    """Add each answer that the table lacks, or has without a status."""
    for path in (folder / name for name in names(folder) if _DIGEST.fullmatch(name)):
        record = _json(path) or {}
        body = json.dumps(record["body"]) if "body" in record else None
        row = (path.name, record.get("asked"), record.get("status"), body, path.stat().st_mtime)
        connection.execute(_ADD_ANSWER, row)


_ADD_ANSWER = """
INSERT INTO answers (id, request, status, body, time) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET request = excluded.request, status = excluded.status, body = excluded.body,
    time = excluded.time WHERE status IS NULL AND excluded.status IS NOT NULL
"""
_ADD_JOB = """
INSERT INTO jobs (id, dataset, state, taken, cancelled, record) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, taken = max(taken, excluded.taken),
    cancelled = max(cancelled, excluded.cancelled), record = excluded.record
    WHERE state IN ('queued', 'running') AND excluded.state != 'damaged'
"""


def _read_jobs(folder: Path, connection: sqlite3.Connection) -> None:
    for path in job_files(folder):
        id, record = path.parent.name, record_of(path)
        given_up = folder / GIVEN_UP / id
        if record.get("state") == "queued" and given_up.exists():
            moment = datetime.fromtimestamp(given_up.stat().st_mtime, UTC)
            record |= {"state": "cancelled", "finished": moment.isoformat(timespec="milliseconds")}
        text = json.dumps(record) if record else path.read_text("utf-8", "replace")
        taken, cancelled = (folder / TAKEN / id).exists(), path.with_name("cancel").exists()
        row = (id, record.get("dataset", ""), record.get("state", "damaged"), taken, cancelled, text)
        connection.execute(_ADD_JOB, row)


def job_files(folder: Path) -> list[Path]:
    """The record of each job, oldest first."""
    paths = (folder / JOBS / name / "job.json" for name in sorted(names(folder / JOBS)))
    return [path for path in paths if path.exists()]


def record_of(path: Path) -> dict[str, Any]:
    """A job's record; empty if it is damaged."""
    record = _json(path) or {}
    sound = all(isinstance(record.get(name), str) for name in ("dataset", "state"))
    return record if sound else {}


def is_open(record: dict[str, Any]) -> bool:
    """Has the job of this record not ended?"""
    return record.get("state") in ("queued", "running")


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object in a file; None if it holds anything else."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def names(folder: Path) -> list[str]:
    """What lies in a folder; nothing if there is none."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
