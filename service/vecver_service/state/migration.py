"""Makes the service's database in a state folder, from the files in which older vecvers kept the same.

    keys.json  audit.jsonl  once/  jobs/ID/{job.json,cancel}  waiting/  taken/  given-up/       form 1, all of it files
    service.sqlite  jobs/ID/input/  locks/  in-flight/                                          form 2

    1. take `service.lock`, and the locks of form 1: another vecver that moves or uses the folder keeps us out
    2. read the files into `service.sqlite.part`, sync it, rename it to `service.sqlite`: from here on it is form 2
    3. move the files to `before-sqlite/`, where they stay, and let `keys.json` say where the keys are

A process that is killed before 2 is done has changed nothing; after it the next one does 3 again, which moves what is
left. Uploads of unfinished jobs stay in place.

Decisions
1. Step 3 reads nothing: what it finds was read in step 2. An older vecver that writes files again later cannot bring
   back what was changed since; its files go to `before-sqlite/` too, under names of their own.
2. An older vecver that is at work (it holds a lock) stops the move: its changes would be lost. One that is idle holds
   no lock. From step 3 on it refuses all requests, because `keys.json` has no keys that it can read; with --no-auth,
   which reads no keys, it refuses jobs, because `waiting/` is gone. It does not start again on the folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from vecver.errors import ConflictError, IntegrityError
from vecver_service.state import files, schema
from vecver_service.state.key_file import Key, KeyFile, lock_of, save_pointer

KEYS, AUDIT, ONCE, JOBS, LOCKS = "keys.json", "audit.jsonl", "once", "jobs", "locks"
KEPT = "before-sqlite"
_WAITING, _TAKEN, _GIVEN_UP = "waiting", "taken", "given-up"
_LOCK_SECONDS = 60.0  # another process may be moving a large audit log
_DIGEST = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger("vecver.service")


def put_in_place(database: Path) -> None:
    """Make the database if there is none, and put the files of an older vecver aside.

    Raises OSError, ConflictError (another process holds a lock, or a newer vecver made it), IntegrityError.
    """
    folder = database.parent
    if database.exists():
        schema.check_version(database)  # first: a folder of a newer vecver stays as it is
        if not _leftovers(folder):
            return
    files.make_folder(folder, 0o700)
    with _alone(folder):
        if not database.exists():
            _move(database)
        _set_aside(folder)


def check_not_lost(database: Path, keys: KeyFile) -> None:
    """Raises IntegrityError if the keys moved to a database that is not there."""
    if keys.moved_to() is not None:
        raise IntegrityError(
            f"the service's database {database} is missing, and {keys.path} says that the API keys are in it",
            code="state_missing",
            hint="restore it from a backup; to begin without keys, jobs and audit log, name another folder with "
            "VECVER_STATE",
        )


def insert_key(connection: sqlite3.Connection, key: Key) -> None:
    """Insert a key. From the first one on callers need a key."""
    row = (key.id, key.name, json.dumps(key.scopes), key.digest, key.created)
    connection.execute("INSERT INTO keys (id, name, scopes, digest, created) VALUES (?, ?, ?, ?, ?)", row)
    note_key_made(connection)


def note_key_made(connection: sqlite3.Connection) -> None:
    """Let callers need a key from now on."""
    connection.execute("INSERT OR IGNORE INTO facts VALUES ('key made', 'yes')")


# -- 1. locks -----------------------------------------------------------------------------------


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / "service.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ConflictError(
            f"another process has been opening {folder} for more than {_LOCK_SECONDS:g} s",
            code="state_busy",
            hint="wait until it is ready, then repeat the command",
        ) from error


@contextmanager
def _older_locks(folder: Path) -> Iterator[None]:
    """Keep an older vecver from changing keys or running jobs meanwhile. Raises ConflictError if it is at work."""
    with ExitStack() as held:
        for path in _locks_to_hold(folder):
            held.enter_context(_held(folder, path))
        for path in _locks_to_look_at(folder):  # they may be many thousands: not all are held at once
            with _held(folder, path):
                pass
        yield


@contextmanager
def _held(folder: Path, path: Path) -> Iterator[None]:
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout as error:
        raise ConflictError(
            f"an older vecver is at work in {folder}: it holds the lock {path.relative_to(folder)}",
            code="state_in_use",
            hint="stop it, then start this one, which moves the folder to its newer form; nothing was changed yet",
        ) from error
    with lock:
        yield


def _locks_to_hold(folder: Path) -> list[Path]:
    keys = [lock_of(folder / KEYS)] if (folder / KEYS).exists() else []
    datasets = {quote(job["dataset"], safe="") for job in map(_record, _job_files(folder)) if _is_open(job)}
    return keys + [folder / LOCKS / name for name in sorted(datasets)]


def _locks_to_look_at(folder: Path) -> Iterator[Path]:
    held = set(_locks_to_hold(folder))
    yield from (folder / LOCKS / name for name in _names(folder / LOCKS) if folder / LOCKS / name not in held)
    yield from (folder / ONCE / name for name in _names(folder / ONCE) if name.endswith(".lock"))


# -- 2. reading ---------------------------------------------------------------------------------


def _move(database: Path) -> None:
    folder = database.parent
    keys = KeyFile(folder / KEYS)
    check_not_lost(database, keys)

    def fill(connection: sqlite3.Connection) -> None:
        _read_keys(keys, connection)
        _read_audit(folder / AUDIT, connection)
        _read_answers(folder / ONCE, connection)
        _read_jobs(folder, connection)

    files.make_folder(folder / LOCKS)
    with _older_locks(folder):
        schema.create(database, fill)


def _read_keys(keys: KeyFile, connection: sqlite3.Connection) -> None:
    for key in keys.all():
        insert_key(connection, key)
    if keys.exist():
        note_key_made(connection)


def _read_audit(path: Path, connection: sqlite3.Connection) -> None:
    """Every line, also one that broke off."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        lines = (line.rstrip(b"\n").decode("utf-8", "replace") for line in file)
        connection.executemany("INSERT INTO audit (entry) VALUES (?)", ((line,) for line in lines if line))


def _read_answers(folder: Path, connection: sqlite3.Connection) -> None:
    for path in (folder / name for name in _names(folder) if _DIGEST.fullmatch(name)):
        record = _json(path) or {}
        body = json.dumps(record["body"]) if "body" in record else None
        row = (path.name, record.get("asked"), record.get("status"), body, path.stat().st_mtime)
        connection.execute("INSERT INTO answers (id, request, status, body, time) VALUES (?, ?, ?, ?, ?)", row)


def _read_jobs(folder: Path, connection: sqlite3.Connection) -> None:
    for path in _job_files(folder):
        id, record = path.parent.name, _record(path)
        given_up = folder / _GIVEN_UP / id
        if record.get("state") == "queued" and given_up.exists():
            moment = datetime.fromtimestamp(given_up.stat().st_mtime, UTC)
            record |= {"state": "cancelled", "finished": moment.isoformat(timespec="milliseconds")}
        text = json.dumps(record) if record else path.read_text("utf-8", "replace")
        taken, cancelled = (folder / _TAKEN / id).exists(), path.with_name("cancel").exists()
        row = (id, record.get("dataset", ""), record.get("state", "damaged"), taken, cancelled, text)
        connection.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", row)


def _job_files(folder: Path) -> list[Path]:
    paths = (folder / JOBS / name / "job.json" for name in sorted(_names(folder / JOBS)))
    return [path for path in paths if path.exists()]


def _record(path: Path) -> dict[str, Any]:
    """A job's record; empty if it is damaged."""
    record = _json(path) or {}
    sound = all(isinstance(record.get(name), str) for name in ("dataset", "state"))
    return record if sound else {}


def _is_open(record: dict[str, Any]) -> bool:
    return record.get("state") in ("queued", "running")


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object in a file; None if it holds anything else."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


# -- 3. putting aside ---------------------------------------------------------------------------


def _leftovers(folder: Path) -> list[Path]:
    """The files of the older form that still lie in the folder; keys.json, too, if it is not there yet."""
    keys = folder / KEYS
    moved = keys.exists() and KeyFile(keys).moved_to() is not None
    paths = [folder / name for name in (AUDIT, ONCE, _WAITING, _TAKEN, _GIVEN_UP)]
    for id in _names(folder / JOBS):
        paths += [folder / JOBS / id / "job.json", folder / JOBS / id / "cancel"]
    return [path for path in paths if path.exists()] + ([] if moved else [keys])


def _set_aside(folder: Path) -> None:
    leftovers, kept = [path for path in _leftovers(folder) if path.exists()], folder / KEPT
    targets = [kept / path.relative_to(folder) for path in leftovers]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sync_folders(kept)  # a power cut must not take a folder away with what was moved into it
    for path, target in zip(leftovers, targets, strict=True):
        _keep(path, target)
    _sync_folders(kept)
    if folder / KEYS in _leftovers(folder):
        save_pointer(folder / KEYS, schema.FILE_NAME)  # replaces it: it is never missing, which would open the service
    if leftovers:
        _log.warning("the files of an older vecver are kept in %s", kept)


def _keep(path: Path, target: Path) -> None:
    """Move a file or folder, but only copy keys.json."""
    while target.exists():  # from an earlier move
        target = target.with_name(target.name + "+")
    if path.name == KEYS:
        files.save(target, path.read_text("utf-8"), mode=0o600)
    else:
        os.rename(path, target)


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        files.sync(Path(folder))
    files.sync(top.parent)
