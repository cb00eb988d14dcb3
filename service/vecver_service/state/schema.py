"""The tables of the service's database, their version, and making a new database file.

Decisions
1. `PRAGMA user_version` is the version of the tables. A file of a newer version is refused and stays as it is.
2. A new file is filled under a temporary name, synced and renamed: no process ever sees a half-filled one.
3. Records of jobs, answers and audit entries are JSON text: SQL needs only the columns that it selects by.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vecver.disk import sync
from vecver.errors import ConflictError
from vecver_service.state import sqlite
from vecver_service.state.key_file import Key
from vecver_service.state.sql import Connection

FILE_NAME = "service.sqlite"
VERSION = 1
_APPLICATION = int.from_bytes(b"vecv", "big")
_TABLES = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,               -- JSON: a list
    digest TEXT NOT NULL,               -- sha256 of the token, hex
    created TEXT NOT NULL
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,                -- begins with the time: ids are the order in which jobs were queued
    dataset TEXT NOT NULL,
    state TEXT NOT NULL,                -- that of the record; "damaged" if the record cannot be read
    taken INTEGER NOT NULL DEFAULT 0,   -- not 0: a worker took it; the number is that worker's
    cancelled INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL                -- JSON: a Job
) WITHOUT ROWID;
CREATE INDEX open_jobs ON jobs (id) WHERE state IN ('queued', 'running');
CREATE TABLE answers (
    id TEXT PRIMARY KEY,                -- sha256 of the caller and the Idempotency-Key
    request TEXT,                       -- sha256 of the request; NULL: the record of an older vecver was unreadable
    status INTEGER,                     -- NULL: in progress, or its process ended before it had an answer
    body TEXT,                          -- JSON
    time REAL NOT NULL                  -- seconds since 1970
) WITHOUT ROWID;
CREATE INDEX answer_times ON answers (time);
CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL);  -- JSON
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""


def check_version(path: Path) -> None:
    """Raises ConflictError for a database of a newer vecver, IntegrityError for a file that is no database of ours."""
    application, version = sqlite.identity(path)
    if application != _APPLICATION:
        raise sqlite.damaged(path, "it is not a database that vecver made")
    if version > VERSION:
        raise ConflictError(
            f"{path} was written by a newer vecver: its tables are of version {version}, this one reads {VERSION}",
            code="state_newer",
            hint="install that version again, or name another folder with VECVER_STATE; nothing was changed",
        )


def insert_key(connection: Connection, key: Key) -> None:
    """Insert a key. From the first one on callers need a key."""
    row = (key.id, key.name, json.dumps(key.scopes), key.digest, key.created)
    connection.execute("INSERT INTO keys (id, name, scopes, digest, created) VALUES (?, ?, ?, ?, ?)", row)
    note_key_made(connection)


def note_key_made(connection: Connection) -> None:
    """Let callers need a key from now on."""
    connection.execute("INSERT INTO facts VALUES ('key made', 'yes') ON CONFLICT DO NOTHING")


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make a database that holds what `fill` inserts; it appears whole, or not at all. Raises OSError, VecverError."""
    part = path.with_name(path.name + ".part")
    _remove(part)  # what a process that was killed left
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # it will hold digests of keys
        _fill(part, fill)
        sync(part)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            _remove(part)
        raise
    sync(path.parent)


def _fill(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    connection = sqlite.connect(path)
    try:
        with sqlite.translated(path):
            connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced before it gets its name
            connection.executescript(_TABLES)
            connection.execute("BEGIN")
            fill(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")  # is written to the file
    finally:
        connection.close()


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
