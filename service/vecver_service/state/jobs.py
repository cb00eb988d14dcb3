"""Jobs: long work that callers asked for, and what became of it, whatever happens to the process that runs it.

The table `jobs` has a row for each. Beside the database lie

    jobs/<id>/input/    what was uploaded for a job, until it has ended

Where replicas share the database, `Shelf` keeps uploads where all of them reach them, and this folder has what is being
received, and a copy of what this process works on.

Locks of the kind `locks` are held while a job runs: `<dataset>`, and `<dataset>=measures` for jobs that write no
version, which do not wait for an ingest. They go when their process ends.

Decisions
1. "running" counts only while the lock of its dataset is held. Where it is not, the process has ended, and the next
   worker takes the job again: ingests and publishes may be repeated after an interruption. After three such ends the
   job has failed.
2. Uploads are files, not rows: they are large, and the pipeline reads files.
3. `taken` is a number of the worker that took a job. What another one still writes of it does not count: the server
   of a shared database may have been restarted, which releases locks of processes that live.
4. A job's row is inserted after its upload is on the disk, and has ended before the upload is deleted. A process that
   is killed between leaves an upload without a job, which `add` deletes after a day.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from vecver.disk import sync
from vecver.errors import ConflictError, IntegrityError, NotFoundError, VecverError
from vecver_service.state import files
from vecver_service.state.database import Connection, Database
from vecver_service.state.sql import Lock

Json = dict[str, Any]
FINAL = ("succeeded", "failed", "cancelled")
LOST = "job_lost"  # code: another process has taken the job
MEASURES = ("promote", "bisect", "eval", "recall")  # kinds that write no version
_OPEN = "state IN ('queued', 'running')"  # as in the index of the table
_ENDED = f"state IN {FINAL}"
_GIT_BORDER = "an upload is no part of the work tree that this folder may lie in\n"  # its ignore files, its Git commit
_GIT = ".git"
_MOMENT = "%Y%m%dT%H%M%S%f"
_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}")
_SWEEP_SECONDS = 3600.0  # between two looks for uploads without a job
_PAGE = 50  # jobs that are read at once


@dataclass(frozen=True)
class Job:
    """One piece of long work. Times are ISO 8601, UTC."""

    id: str
    dataset: str
    kind: str  # "ingest", "upsert", "publish", "promote", "bisect", "eval", "recall"
    by: str  # the caller's name: signs what is written
    key: str  # id of the caller's key
    what: Json  # the options of the call
    created: str
    state: str = "queued"
    started: str | None = None  # the first time
    finished: str | None = None
    attempts: int = 0
    base: str | None = None  # commit that its branch stood on when it was first started
    progress: Json = field(default_factory=dict)  # unit -> {"done", "total"}
    result: Json | None = None
    error: Json | None = None  # a problem
    notes: tuple[str, ...] = ()
    upload: str = ""  # digest of what lies on the shelf for it

    def to_json(self) -> Json:
        """The job as callers see it."""
        value = asdict(self)
        return {**{name: value[name] for name in _PUBLIC}, "notes": list(self.notes)}


_LOCK_END = {kind: "=measures" for kind in MEASURES}  # of the names of locks; "=" is in no quoted name
_PUBLIC = (
    *("id", "dataset", "kind", "state", "by", "created", "started", "finished", "attempts"),
    *("progress", "result", "error"),
)


class Shelf(Protocol):
    """Where uploads lie that every replica reaches. Methods raise BackendError where it cannot be reached."""

    def put(self, name: str, folder: Path, /) -> str:
        """Store what lies in a folder; its digest."""

    def get(self, name: str, digest: str, into: Path, /) -> None:
        """Put it into a folder, which is made."""

    def delete(self, *names: str) -> None: ...

    def names(self) -> Iterable[str]: ...


class Jobs:
    """The jobs of a service. Methods raise OSError or BackendError where the database cannot be read or written.

    `shelf`: for the uploads of replicas; None: each upload stays in the state folder.
    """

    def __init__(self, database: Database, kept: int, shelf: Shelf | None = None) -> None:
        self._database, self._kept, self._shelf = database, kept, shelf
        self._swept = 0.0  # when uploads without a job were looked for
        self._folder = database.folder / "jobs"
        database.prepare()
        files.make_folder(self._folder)
        self._numbers: dict[str, int] = {}  # of jobs that this process runs -> the number that it wrote in `taken`
        self._arrived: list[threading.Event] = []

    @property
    def shared(self) -> bool:
        """May processes of other machines run what is queued here?"""
        return self._database.engine.shared

    def arrivals(self) -> threading.Event:
        """A new event for one thread, which is set whenever something is queued in this process."""
        self._arrived.append(threading.Event())
        return self._arrived[-1]

    # -- for callers ----------------------------------------------------------------------------

    def scratch(self) -> Path:
        """A new folder for a job's input, to be passed to `add`, or removed."""
        folder = self._folder / f"{self._moment():{_MOMENT}}-{secrets.token_hex(6)}"
        (folder / "input").mkdir(parents=True)
        (folder / "input" / _GIT).write_text(_GIT_BORDER)
        return folder

    def _moment(self) -> datetime:
        """Now, or just after the newest waiting job: ids are the order of jobs, also where the clock was set back."""
        moment = datetime.now(UTC)
        with self._database.reading() as connection:
            (newest,) = connection.execute(f"SELECT max(id) FROM jobs WHERE {_OPEN} AND taken = 0").fetchone()
        if newest is None:
            return moment
        return max(moment, _time_of(newest) + timedelta(microseconds=1))

    def add(
        self,
        folder: Path,
        dataset: str,
        kind: str,
        by: str,
        key: str,
        what: Json,
        record: Callable[[Connection, Job], None] = lambda connection, job: None,
    ) -> Job:
        """Queue a job whose input is in `folder`, made by `scratch`. It is on the disk when this returns.

        `record`: writes what must be seen together with the job, in its transaction.
        """
        job = Job(folder.name, dataset, kind, by, key, what, now())
        if self._shelf is None:
            files.sync_tree(folder)  # else a power cut could leave half of an upload, which would pass for all of it
            sync(self._folder)
        elif _has_files(folder / "input"):
            job = replace(job, upload=self._shelf.put(job.id, folder / "input"))
        with self._database.transaction() as connection:
            row = (job.id, job.dataset, job.state, _text(job))
            connection.execute("INSERT INTO jobs (id, dataset, state, record) VALUES (?, ?, ?, ?)", row)
            record(connection, job)
        if self._shelf:
            shutil.rmtree(folder, ignore_errors=True)
        for arrived in self._arrived:
            arrived.set()
        with suppress(OSError, VecverError):  # the job is queued, even if old ones cannot be deleted
            self._prune()
        return job

    def get(self, id: str) -> Job:
        """A job as it stands. Raises NotFoundError, IntegrityError (its record is damaged)."""
        with self._database.reading() as connection:
            return _job(connection, id)

    def all(self) -> Iterator[Job]:
        """Every job whose record is sound, newest first."""
        last = "~"  # after every id
        while rows := self._page(last):
            for id, text in rows:
                with suppress(IntegrityError):
                    yield _parsed(id, text)
            last = rows[-1][0]

    def _page(self, before: str) -> list[tuple[str, str]]:
        with self._database.reading() as connection:
            query = "SELECT id, record FROM jobs WHERE id < ? ORDER BY id DESC LIMIT ?"
            return connection.execute(query, (before, _PAGE)).fetchall()

    def cancel(self, id: str) -> Job:
        """Let a job end soon: at once if it waits, else before it writes more. Raises ConflictError: it has ended."""
        with self._database.transaction() as connection:
            job = _job(connection, id)
            if job.state in FINAL:
                raise _ended(job)
            (taken,) = connection.execute("SELECT taken FROM jobs WHERE id = ?", (id,)).fetchone()
            if not taken:
                job = replace(job, state="cancelled", finished=now())
                _update(connection, job)
            connection.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (id,))
        if not taken:
            self._delete_input(job)
        return job

    # -- for workers ----------------------------------------------------------------------------

    @contextmanager
    def next(self, kinds: Collection[str] | None = None) -> Iterator[Job | None]:
        """The oldest job that may run now, of these kinds if they are given, with its dataset locked; None for none."""
        busy: set[str] = set()  # datasets: if one is released meanwhile, a later job of it must not overtake
        for id, dataset in self._open_jobs():
            if dataset in busy or (sound := self._sound(id)) is None or sound.kind not in (kinds or (sound.kind,)):
                continue
            lock = self._database.lock("locks", quote(dataset, safe="") + _LOCK_END.get(sound.kind, ""))
            if not _acquired(lock):
                busy.add(dataset)
                continue
            try:
                if job := self._take(id):
                    yield job
                    return
            finally:
                self._numbers.pop(id, None)
                lock.release()
        yield None

    def cancelled(self, job: Job) -> bool:
        """Did a caller cancel it?"""
        with self._database.reading() as connection:
            row = connection.execute("SELECT cancelled FROM jobs WHERE id = ?", (job.id,)).fetchone()
        return row is not None and bool(row[0])

    def lost(self, job: Job) -> bool:
        """Has another process taken a job that this one runs?"""
        with self._database.reading() as connection:
            row = connection.execute("SELECT taken FROM jobs WHERE id = ?", (job.id,)).fetchone()
        return row is not None and row[0] != self._numbers.get(job.id, row[0])

    def input(self, job: Job) -> Path:
        """The folder of what was uploaded for it, which is brought here where it lies on the shelf."""
        folder = self._folder / job.id / "input"
        if self._shelf and job.upload and not folder.exists():
            part = folder.with_name(f"part-{secrets.token_hex(4)}")
            self._shelf.get(job.id, job.upload, part)
            part.rename(folder)
        return folder

    def keep(self, job: Job, *, durable: bool = True) -> Job:
        """Record how it stands, and delete its input if it has ended. Not `durable`: a power cut may undo it.

        Raises ConflictError (`job_lost`) if another process has taken it.
        """
        with self._database.transaction(durable=durable) as connection:
            self._update_own(connection, job)
        if job.state in FINAL:
            self._delete_input(job)
        return job

    def requeue(self, job: Job) -> None:
        """Put back what this process could not finish."""
        with self._database.transaction() as connection:
            self._update_own(connection, replace(job, state="queued"))
            connection.execute("UPDATE jobs SET taken = 0 WHERE id = ?", (job.id,))

    def _update_own(self, connection: Connection, job: Job) -> None:
        """Update the row of a job, unless another process took it. Raises ConflictError."""
        number = self._numbers.get(job.id)
        if number is not None:
            (taken,) = connection.execute("SELECT taken FROM jobs WHERE id = ?", (job.id,)).fetchone() or (number,)
            if taken != number:
                raise ConflictError(
                    f"another process has taken the job {job.id}",
                    code=LOST,
                    hint="nothing is to be done: that process finishes it",
                )
        _update(connection, job)

    def _open_jobs(self) -> list[tuple[str, str]]:
        with self._database.reading() as connection:
            return connection.execute(f"SELECT id, dataset FROM jobs WHERE {_OPEN} ORDER BY id").fetchall()

    def _sound(self, id: str) -> Job | None:
        """A job; None where there is none, or a damaged record: it must not keep the others from being done."""
        with suppress(NotFoundError, IntegrityError):
            return self.get(id)
        return None

    def _take(self, id: str) -> Job | None:
        """Take a job whose dataset is locked: one that is "running" has no process any more. None: it has ended."""
        with self._database.transaction(durable=False) as connection:
            number = 1 + secrets.randbelow((1 << 53) - 1)
            taken = connection.execute(f"UPDATE jobs SET taken = ? WHERE id = ? AND {_OPEN}", (number, id)).rowcount
            if not taken:
                return None
            self._numbers[id] = number
            return _job(connection, id)

    # -- deleting -------------------------------------------------------------------------------

    def _delete_input(self, job: Job) -> None:
        """Delete what was uploaded for a job; what cannot be deleted on the shelf now goes with the leftovers."""
        shutil.rmtree(self._folder / job.id, ignore_errors=True)
        if self._shelf and job.upload:
            with suppress(VecverError):
                self._shelf.delete(job.id)

    def _prune(self) -> None:
        """Delete the oldest jobs that have ended, the inputs of ended jobs, and uploads that were never finished."""
        with self._database.reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        if count > self._kept:
            self._delete_oldest(count - self._kept)
        for id in os.listdir(self._folder):
            job = self._state(id)
            if job in FINAL or (job is None and _old(self._folder / id)):
                shutil.rmtree(self._folder / id, ignore_errors=True)
        if self._shelf and time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._swept = time.monotonic()
            self._shelf.delete(*(id for id in self._shelf.names() if self._is_left(id)))

    def _is_left(self, id: str) -> bool:
        """Is this an upload that no job will use? One without a job may be on its way to one, for a day."""
        if not _ID.fullmatch(id):
            return False
        state = self._state(id)
        return state in FINAL or (state is None and _time_of(id) < datetime.now(UTC) - timedelta(days=1))

    def _delete_oldest(self, count: int) -> None:
        """Delete those of the oldest `count` jobs that have ended."""
        oldest = "SELECT id FROM jobs ORDER BY id LIMIT ?"
        with self._database.transaction(durable=False) as connection:
            connection.execute(f"DELETE FROM jobs WHERE {_ENDED} AND id IN ({oldest})", (count,))

    def _state(self, id: str) -> str | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT state FROM jobs WHERE id = ?", (id,)).fetchone()
        return row[0] if row else None


def _job(connection: Connection, id: str) -> Job:
    """Raises NotFoundError, IntegrityError."""
    sound = _ID.fullmatch(id)
    row = connection.execute("SELECT record FROM jobs WHERE id = ?", (id,)).fetchone() if sound else None
    if row is None:
        raise missing(id)
    return _parsed(id, row[0])


def _update(connection: Connection, job: Job) -> None:
    connection.execute("UPDATE jobs SET state = ?, record = ? WHERE id = ?", (job.state, _text(job), job.id))


def _text(job: Job) -> str:
    value = asdict(job)
    if not job.upload:
        del value["upload"]  # vecvers before 0.2 know no such field
    return json.dumps(value)


def _time_of(id: str) -> datetime:
    """When a job was queued, or its upload began."""
    return datetime.strptime(id.partition("-")[0], _MOMENT).replace(tzinfo=UTC)


def _has_files(folder: Path) -> bool:
    return any(path.name != _GIT for path in folder.iterdir())


def _parsed(id: str, text: str) -> Job:
    try:
        value = json.loads(text)
        return Job(**{**value, "notes": tuple(value["notes"])})
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            f"the record of the job {id} is damaged",
            code="job_damaged",
            hint="if it committed, the version's operation names it; else ask for it again",
        ) from error


def _ended(job: Job) -> ConflictError:
    end = "was cancelled" if job.state == "cancelled" else f"has {job.state}"
    return ConflictError(f"the job {job.id} {end}", code="job_ended", hint="there is nothing to cancel")


def _acquired(lock: Lock) -> bool:
    return lock.acquire()


def missing(id: str) -> NotFoundError:
    """The error for a job that is not there, or that the caller may not see."""
    return NotFoundError(f"there is no job {id!r}", code="job_not_found", hint="GET /v1/jobs lists them", id=id)


def now() -> str:
    """The time, in the form of a job's record."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _old(folder: Path) -> bool:
    return datetime.now(UTC).timestamp() - folder.stat().st_mtime > 24 * 3600
