"""Jobs: what was asked for and takes long, and the truth about what became of it, whatever happens to the process.

    jobs/<id>/job.json    what was asked and how it stands; written whole, in one step
    jobs/<id>/cancel      somebody wants it to end
    jobs/<id>/input/      what was uploaded for it, until it has ended
    waiting/<id>          it waits; whoever renames this has it: to `taken/` (a worker), or `given-up/` (who cancels)
    locks/<dataset>       held while a job of that dataset runs; the kernel lets go of it when the process ends

Decisions
- 2026-11-21 files, not a database: one writer a job, few jobs a minute, a state folder that `ls` can read.
- 2026-11-21 "running" is believed only while its dataset's lock is held. Where it is not, its process has ended, and
  the next worker takes the job again: an ingest or publish that was interrupted may be repeated, that is how they are
  made. After three such ends it is told as failed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from vecver.errors import ConflictError, IntegrityError, NotFoundError
from vecver_service.state import files

Json = dict[str, Any]
FINAL = ("succeeded", "failed", "cancelled")
_BORDER = "an upload is no part of the work tree that this folder may lie in\n"  # its ignore files, its Git commit
_MOMENT = "%Y%m%dT%H%M%S%f"
_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Job:
    """One piece of long work. Times are ISO 8601, UTC."""

    id: str
    dataset: str
    kind: str  # "ingest", "upsert", "publish"
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

    def to_json(self) -> Json:
        """As it travels."""
        value = asdict(self)
        return {**{name: value[name] for name in _TOLD}, "notes": list(self.notes)}


_TOLD = (
    *("id", "dataset", "kind", "state", "by", "created", "started", "finished", "attempts"),
    *("progress", "result", "error"),
)


class Jobs:
    """The jobs in a state folder."""

    def __init__(self, state: Path, kept: int) -> None:
        self._folder, self._locks = state / "jobs", state / "locks"
        self._waiting, self._taken, self._given_up = (state / name for name in ("waiting", "taken", "given-up"))
        for folder in (self._folder, self._locks, self._waiting, self._taken, self._given_up):
            files.make_folder(folder)
        self._kept = kept
        self.arrived = threading.Event()  # something was queued in this process

    # -- asking ---------------------------------------------------------------------------------

    def scratch(self) -> Path:
        """A new folder for a job's input, to be given to `add`, or removed."""
        folder = self._folder / f"{self._moment():{_MOMENT}}-{secrets.token_hex(6)}"
        (folder / "input").mkdir(parents=True)
        (folder / "input" / ".git").write_text(_BORDER)
        return folder

    def _moment(self) -> datetime:
        """Now, or just after the newest job that waits: ids are their order, also where the clock was set back."""
        moment = datetime.now(UTC)
        newest = max(filter(_ID.fullmatch, os.listdir(self._waiting)), default=None)
        if newest is None:
            return moment
        last = datetime.strptime(newest.partition("-")[0], _MOMENT).replace(tzinfo=UTC)
        return max(moment, last + timedelta(microseconds=1))

    def add(self, folder: Path, dataset: str, kind: str, by: str, key: str, what: Json) -> Job:
        """Queue what `scratch` was filled for."""
        job = Job(folder.name, dataset, kind, by, key, what, now())
        files.sync_tree(folder)  # half of an upload would be taken for all of it after a power cut
        (self._waiting / job.id).touch()
        files.sync_folder(self._waiting)
        try:
            self._save(job, durable=True)  # from here on it is there
        except BaseException:
            (self._waiting / job.id).unlink(missing_ok=True)
            raise
        files.sync_folder(self._folder)
        self.arrived.set()
        with suppress(OSError):  # it is there, whatever becomes of old ones
            self._prune()
        return job

    def get(self, id: str) -> Job:
        """A job as it stands. Raises NotFoundError, IntegrityError."""
        if not _ID.fullmatch(id):
            raise missing(id)
        found = self._load(id)
        if found.state == "queued" and (self._given_up / id).exists():
            return replace(found, state="cancelled", finished=_of(self._given_up / id))
        return found

    def all(self) -> Iterator[Job]:
        """Every job, newest first."""
        for name in sorted(os.listdir(self._folder), reverse=True):
            with suppress(NotFoundError, IntegrityError):
                yield self.get(name)

    def cancel(self, id: str) -> Job:
        """Let a job end soon: at once if it waits, else before it writes more. Raises ConflictError: it has ended."""
        job = self.get(id)
        if job.state in FINAL:
            raise ConflictError(f"the job {id} has {job.state}", code="job_ended", hint="there is nothing to cancel")
        (self._folder / id / "cancel").touch()
        files.sync_folder(self._folder / id)  # before its input goes: a power cut must not bring it back without
        with suppress(FileNotFoundError):
            os.rename(self._waiting / id, self._given_up / id)
            os.utime(self._given_up / id)
            for folder in (self._given_up, self._waiting):
                files.sync_folder(folder)
            shutil.rmtree(self.input(job), ignore_errors=True)
        return self.get(id)

    # -- doing ----------------------------------------------------------------------------------

    @contextmanager
    def next(self) -> Iterator[Job | None]:
        """The oldest job that may run now, with its dataset to itself; None if there is none."""
        busy: set[str] = set()  # datasets: of one that is let go of meanwhile a later job would overtake
        for id in sorted({*os.listdir(self._waiting), *os.listdir(self._taken)}):
            job = self._sound(id)
            if job is None or job.dataset in busy:
                continue
            lock = FileLock(self._locks / quote(job.dataset, safe=""), timeout=0)
            if not _acquired(lock):
                busy.add(job.dataset)
                continue
            try:
                if found := self._take(id):
                    yield found
                    return
            finally:
                lock.release()
        yield None

    def cancelled(self, job: Job) -> bool:
        """Does somebody want it to end?"""
        return (self._folder / job.id / "cancel").exists()

    def input(self, job: Job) -> Path:
        """What was uploaded for it."""
        return self._folder / job.id / "input"

    def keep(self, job: Job, *, durable: bool = True) -> Job:
        """Write how it stands; what has ended needs its input no more."""
        self._save(job, durable=durable)
        if job.state in FINAL:
            (self._taken / job.id).unlink(missing_ok=True)
            shutil.rmtree(self.input(job), ignore_errors=True)
        return job

    def requeue(self, job: Job) -> None:
        """Put back what this process could not finish."""
        self.keep(replace(job, state="queued"))
        os.rename(self._taken / job.id, self._waiting / job.id)

    def _take(self, id: str) -> Job | None:
        """A job, ours now: its dataset's lock is held, so one that is "running" has no process any more."""
        try:
            os.rename(self._waiting / id, self._taken / id)
        except FileNotFoundError:
            if not (self._taken / id).exists():  # cancelled while it waited
                return None
        job = self._sound(id)
        if job is None or job.state in FINAL:
            (self._taken / id).unlink(missing_ok=True)
            return None
        return job

    # -- files ----------------------------------------------------------------------------------

    def _load(self, id: str) -> Job:
        """A job's record. Raises NotFoundError, IntegrityError."""
        try:
            value = json.loads((self._folder / id / "job.json").read_text("utf-8"))
            return Job(**{**value, "notes": tuple(value["notes"])})
        except (FileNotFoundError, NotADirectoryError):
            raise missing(id) from None
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"the record of the job {id} is damaged",
                code="job_damaged",
                hint="if it committed, the version's operation names it; else ask for it again",
            ) from error

    def _sound(self, id: str) -> Job | None:
        """A job's record; None where there is none, or a damaged one: it must not keep the others from being done."""
        with suppress(NotFoundError, IntegrityError):
            return self._load(id)
        return None

    def _save(self, job: Job, *, durable: bool) -> None:
        files.save(self._folder / job.id / "job.json", json.dumps(asdict(job)), durable=durable)

    def _prune(self) -> None:
        """Forget the oldest of those that have ended, and uploads that were never finished."""
        names = sorted(os.listdir(self._folder))
        many = len(names) - self._kept
        for number, id in enumerate(names):
            if (self._folder / id / "job.json").exists():
                ended = number < many and self._has_ended(id)
            else:
                ended = _old(self._folder / id)
            if ended:
                shutil.rmtree(self._folder / id, ignore_errors=True)
                for markers in (self._given_up, self._waiting):
                    (markers / id).unlink(missing_ok=True)

    def _has_ended(self, id: str) -> bool:
        job = self._sound(id)
        return (self._given_up / id).exists() or (job is not None and job.state in FINAL)


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    return True


def missing(id: str) -> NotFoundError:
    """The error for a job that is not there, or not the caller's to see."""
    return NotFoundError(f"there is no job {id!r}", code="job_not_found", hint="GET /v1/jobs lists them", id=id)


def now() -> str:
    """The time as a job's record has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")


def _old(folder: Path) -> bool:
    return datetime.now(UTC).timestamp() - folder.stat().st_mtime > 24 * 3600
