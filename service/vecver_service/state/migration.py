"""Makes the service's database in a state folder, from the files in which older vecvers kept the same.

    keys.json  audit.jsonl  once/  jobs/ID/{job.json,cancel}  waiting/  taken/  given-up/       form 1, all of it files
    service.sqlite  jobs/ID/input/  locks/  in-flight/                                          form 2

    1. take `service.lock`, and the locks of form 1: another vecver that moves or uses the folder keeps us out
    2. read the files into `service.sqlite.part`, sync it, rename it to `service.sqlite`: from here on it is form 2
    3. read again, in one transaction, what has changed in the files since, until nothing has
    4. copy `keys.json` to `before-sqlite/` and let it say where the keys are; move the other files there, to stay

Every start does 3 and 4 where files of form 1 lie beside a database. A process that is killed before 2 is done has
changed nothing; after it the next one continues. Uploads of unfinished jobs stay in place.

Decisions
1. What an older vecver writes after step 2 is not lost: it ran after a move that was killed, or idled through one.
   `older_files.py` says which side wins.
2. An older vecver that is at work (it holds a lock) stops the move. One that is idle holds no lock. From step 4 on it
   refuses all requests, because `keys.json` has no keys that it can read. With --no-auth or VECVER_KEYS it does not
   read that file: it refuses jobs, as `waiting/` is gone, but moves refs and writes a new `audit.jsonl`, which the
   next start reads. So upgrade.md says to stop it first.
3. A `keys.json` that VECVER_KEYS names is its operator's: it is neither read into the database nor changed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from vecver.disk import sync
from vecver.errors import ConflictError, IntegrityError
from vecver_service.state import files, older_files, schema, sqlite
from vecver_service.state.key_file import KeyFile, lock_of, save_pointer
from vecver_service.state.older_files import AUDIT, GIVEN_UP, JOBS, KEYS, ONCE, TAKEN, WAITING

LOCKS, KEPT = "locks", "before-sqlite"
_ROUNDS = 5  # of reading, where an older vecver without keys goes on writing
_LOCK_SECONDS = 60.0  # another process may be moving a large audit log
_log = logging.getLogger("vecver.service")


def put_in_place(database: Path, named_keys: Path | None = None) -> None:
    """Make the database if there is none, read the files of an older vecver into it, and put them aside.

    `named_keys`: what VECVER_KEYS names. Raises OSError, ConflictError (another process holds a lock, or a newer vecver
    made it), IntegrityError.
    """
    folder = database.parent
    keys = named_keys is None or named_keys.resolve() != (folder / KEYS).resolve()
    if database.exists():
        schema.check_version(database)  # first: a folder of a newer vecver stays as it is
        if not _leftovers(folder, keys=keys):
            return
    files.make_folder(folder, 0o700)
    with _alone(folder):
        if not database.exists() or _leftovers(folder, keys=keys):
            _move(database, keys=keys)


def _move(database: Path, *, keys: bool) -> None:
    folder, seen = database.parent, None
    new = not database.exists()
    if new:
        check_not_lost(database, KeyFile(folder / KEYS))
    files.make_folder(folder / LOCKS)
    with _older_locks(folder, all_datasets=new):
        if new:
            seen = older_files.versions(folder)
            _make(database, keys=keys)
        for _ in range(_ROUNDS):
            versions = older_files.versions(folder)
            if versions == seen:
                break
            _changing(database, lambda connection: older_files.read(folder, connection, keys=keys))
            seen = versions
        _set_aside(database, keys=keys)


def check_not_lost(database: Path, keys: KeyFile) -> None:
    """Raises IntegrityError if the keys moved to a database that is not there."""
    if keys.moved_to() is not None:
        raise IntegrityError(
            f"the service's database {database} is missing, and {keys.path} says that the API keys are in it",
            code="state_missing",
            hint="restore it from a backup; to begin without keys, jobs and audit log, name another folder with "
            "VECVER_STATE",
        )


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
def _older_locks(folder: Path, *, all_datasets: bool) -> Iterator[None]:
    """Keep an older vecver from changing keys or running jobs meanwhile. Raises ConflictError if it is at work.

    Not `all_datasets`: beside a database the others are locked by the jobs of this form.
    """
    with ExitStack() as held:
        for path in _locks_to_hold(folder):
            held.enter_context(_held(folder, path))
        for path in _locks_to_look_at(
            folder, all_datasets=all_datasets
        ):  # they may be many thousands: not all are held at once
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
    records = map(older_files.record_of, older_files.job_files(folder))
    datasets = {quote(record["dataset"], safe="") for record in records if older_files.is_open(record)}
    return [lock_of(folder / KEYS)] + [folder / LOCKS / name for name in sorted(datasets)]


def _locks_to_look_at(folder: Path, *, all_datasets: bool) -> Iterator[Path]:
    held = set(_locks_to_hold(folder))
    if all_datasets:
        paths = (folder / LOCKS / name for name in older_files.names(folder / LOCKS))
        yield from (path for path in paths if path not in held)
    yield from (folder / ONCE / name for name in older_files.names(folder / ONCE) if name.endswith(".lock"))


# -- 2. and 3. reading --------------------------------------------------------------------------


def _make(database: Path, *, keys: bool) -> None:
    """Make the database from the files."""
    schema.create(database, lambda connection: older_files.read(database.parent, connection, keys=keys))


def _changing(database: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    """Do a change in one transaction, which is on the disk when this returns."""
    with closing(sqlite.connect(database)) as connection, sqlite.translated(database):
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        change(connection)  # if it raises, closing the connection rolls back
        sqlite.commit(connection)


# -- 4. putting aside ---------------------------------------------------------------------------


def _leftovers(folder: Path, *, keys: bool) -> list[Path]:
    """The files of the older form that still lie in the folder; keys.json first, also if it is not there yet."""
    paths = [folder / name for name in (AUDIT, ONCE, WAITING, TAKEN, GIVEN_UP)]
    for id in older_files.names(folder / JOBS):
        paths += [folder / JOBS / id / "job.json", folder / JOBS / id / "cancel"]
    old_keys = [folder / KEYS] if keys and KeyFile(folder / KEYS).moved_to() is None else []
    return old_keys + [path for path in paths if path.exists()]


def _set_aside(database: Path, *, keys: bool) -> None:
    folder = database.parent
    leftovers, kept = _leftovers(folder, keys=keys), folder / KEPT
    moving = [path for path in leftovers if path.exists()]
    targets = {path: _free(kept / path.relative_to(folder)) for path in moving}
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if moving:
        _sync_folders(kept)  # a power cut must not take a folder away with what was moved into it
    if folder / KEYS in leftovers:
        _set_keys_aside(folder / KEYS, targets.pop(folder / KEYS, None))
    for path, target in targets.items():
        os.rename(path, target)
    if moving:
        _sync_folders(kept)
        _read_late(database, targets)
        _log.warning("the files of an older vecver are kept in %s", kept)


def _set_keys_aside(path: Path, target: Path | None) -> None:
    """First of all, and in one step: from here on an older vecver finds no keys, which would not open it."""
    if target:
        files.save(target, path.read_text("utf-8"), mode=0o600)
    save_pointer(path, schema.FILE_NAME)


def _read_late(database: Path, targets: dict[Path, Path]) -> None:
    """Read what an older vecver still wrote to the log and the answers until they were moved."""
    audit, once = (targets.get(database.with_name(name)) for name in (AUDIT, ONCE))

    def read(connection: sqlite3.Connection) -> None:
        if audit:
            older_files.read_audit(audit, connection)
        if once:
            older_files.read_answers(once, connection)

    if audit or once:
        _changing(database, read)


def _free(target: Path) -> Path:
    """The path, or one beside it where an earlier move put something there."""
    while target.exists():
        target = target.with_name(target.name + "+")
    return target


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        sync(Path(folder))
    sync(top.parent)
