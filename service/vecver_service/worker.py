"""Doing jobs: one thread of each process takes the oldest that may run, and keeps its record true."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

import vecver
from vecver.errors import BackendError, VecverError
from vecver_service.deps import Dependencies
from vecver_service.http import problems, uploads
from vecver_service.state.jobs import Job, Jobs, now
from vecver_service.state.keys import Caller
from vecver_service.warmup import freeze_modules

Json = dict[str, Any]
ATTEMPTS = 3
_TOLD_SECONDS = 0.5  # between two looks at what is wanted, and two words on how far it is
_LOOK_SECONDS = 2.0  # between two looks at what other processes queued
_COVERED = ("notes", "failures", "uri")  # of results: where a path of this machine may stand
_IN_THE_WAY = ("ref_moved", "collected", "store_busy", "store_locked")  # of errors: what others do passes
_WRITES = ("ingest", "upsert")  # kinds of jobs that make a commit
_MADE = "its commit was made before the process ended"
_MAY_STOP = ("documents", "chunks", "rows")  # units of progress before anything is visible
_log = logging.getLogger("vecver.service")


class Stopped(Exception):
    """The work was asked to stop: it was cancelled, or the process ends."""


class Worker:
    """The thread of a process that does jobs."""

    def __init__(self, deps: Dependencies) -> None:
        self._repository, self._jobs, self._audit = deps.repository, deps.jobs, deps.audit
        self._cover, self._metrics, self._folders = deps.mask, deps.metrics, deps.settings.folders
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin with what waits, and with what an earlier process left."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Put back what is being done, and end. What does not stop in time is found by the next process."""
        self._ending.set()
        self._jobs.arrived.set()
        self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._ending.is_set():
            self._jobs.arrived.clear()
            try:
                with self._jobs.next() as job:
                    if job:
                        self._do(job)
                        continue
            except Exception:  # a full disk, say: this thread must live, and the job is taken again
                _log.exception("a job could not be taken")
            self._jobs.arrived.wait(_LOOK_SECONDS)

    def _do(self, job: Job) -> None:
        fixed = job.started is not None or self._jobs.cancelled(job)
        try:
            made = self._made(job)
            base = job.base if fixed else self._base(job)
        except VecverError as error:  # its dataset cannot be read, say: others are done meanwhile
            self._ended(self._failed(job, error), 0)
            return
        job = self._begun(job, base, made=made is not None)
        if job.state != "running":
            return
        told = _Progress(self, job)
        since = monotonic()
        try:
            result, notes = self._done(job, told) if made is None else (made, (_MADE,))
            result |= {name: self._cover(result[name]) for name in _COVERED if name in result}
            job = replace(told.job, state="succeeded", result=result, notes=(*job.notes, *notes))
        except Stopped:
            if not self._jobs.cancelled(job):
                self._jobs.requeue(told.job)
                return
            job = replace(told.job, state="cancelled")
        except VecverError as error:
            if self._again(told.job, error):
                return
            job = self._failed(told.job, error)
        except BaseException as error:  # a panic of a Rust library is no Exception, and this thread must live
            _log.error("a job failed", exc_info=error, extra={"job": job.id})
            house = VecverError(
                "something went wrong in the service", code="internal", hint="the service's log has the rest"
            )
            job = self._failed(told.job, house)
        self._ended(job, monotonic() - since)
        freeze_modules()  # the first job imports torch

    def _made(self, job: Job) -> Json | None:
        """What a job that was interrupted had committed already, as its result."""
        again = job.state == "running" and job.kind in _WRITES
        return _made_before(self._repository.dataset(job.dataset), job) if again else None

    def _done(self, job: Job, told: _Progress) -> tuple[Json, tuple[str, ...]]:
        """Do it: its result, and notes."""
        if "folder" in job.what:
            uploads.permitted(job.what["folder"], self._folders)  # it may be a link by now, or not allowed any more
        return _DOING[job.kind](self._repository.signed(job.by), job, self._jobs, told)

    def _failed(self, job: Job, error: VecverError) -> Job:
        return replace(job, state="failed", error=problems.to_json(problems.visible(error, None), self._cover))

    def _again(self, job: Job, error: VecverError) -> bool:
        """Put back an ingest that others were in the way of, if another attempt may do better; its upload stays."""
        if job.kind not in _WRITES or error.code not in _IN_THE_WAY or error.context.get("documents"):
            return False
        if job.attempts >= ATTEMPTS or self._jobs.cancelled(job):
            return False
        note = f"it is tried again (attempt {job.attempts}): {self._cover(error.message)}"
        self._jobs.requeue(replace(job, attempts=job.attempts + 1, notes=(*job.notes, note)))
        return True

    def _begun(self, job: Job, base: str | None, *, made: bool) -> Job:
        """The job as it is begun, or as it ends because it was interrupted too often, or is not wanted any more."""
        again = job.state == "running"
        notes = (*job.notes, f"a process ended while it ran it (attempt {job.attempts})") if again else job.notes
        if not made and self._jobs.cancelled(job):
            return self._ended(replace(job, state="cancelled", notes=notes), 0)
        if not made and again and job.attempts >= ATTEMPTS:
            error = BackendError(
                f"the service ended {job.attempts} times while it did this",
                code="interrupted",
                hint="look at its log and memory; what was embedded is kept: ask again",
                retryable=True,
            )
            return self._ended(replace(self._failed(job, error), notes=notes), 0)
        started = job.started or now()
        attempts = job.attempts + 1 if again or not job.attempts else job.attempts
        return self._jobs.keep(
            replace(job, state="running", started=started, attempts=attempts, base=base, notes=notes, progress={})
        )

    def _base(self, job: Job) -> str | None:
        return self._repository.dataset(job.dataset).branches().get(job.what.get("branch", "main"))

    def _ended(self, job: Job, seconds: float) -> Job:
        outcome = {"succeeded": "done", "failed": (job.error or {}).get("code")}.get(job.state, job.state)
        told = {"action": job.kind, "dataset": job.dataset, "job": job.id, "outcome": outcome}
        if job.kind in _WRITES:
            told |= {"branch": job.what["branch"], "from": job.base, "to": (job.result or {}).get("commit", job.base)}
        self._audit.append(Caller(job.key, job.by, ()), job.id, told)
        job = self._jobs.keep(replace(job, finished=now()))
        self._metrics.job(job.kind, job.state, seconds)
        _log.info(
            "job", extra={"job": job.id, "kind": job.kind, "state": job.state, "dataset": job.dataset, "by": job.by}
        )
        return job

    @property
    def ending(self) -> bool:
        """Is the process about to end?"""
        return self._ending.is_set()

    def keep(self, job: Job) -> None:
        """Tell how far a job is. What cannot be told does not end the work."""
        with suppress(OSError, VecverError):
            self._jobs.keep(job, durable=False)

    def unwanted(self, job: Job) -> bool:
        """Should a job stop?"""
        with suppress(OSError, VecverError):
            return self.ending or self._jobs.cancelled(job)
        return False


class _Progress:
    """Hears how far the work is, tells it, and stops it where that is wanted and harmless."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self.job, self._told = worker, job, 0.0

    def __call__(self, unit: str, count: int, total: int | None = None, /) -> None:
        done = self.job.progress.get(unit, {"done": 0})["done"] + count
        self.job = replace(self.job, progress={**self.job.progress, unit: {"done": done, "total": total}})
        if monotonic() - self._told < _TOLD_SECONDS:
            return
        self._told = monotonic()
        if unit in _MAY_STOP and self._worker.unwanted(self.job):
            raise Stopped
        self._worker.keep(self.job)


# -- what is done -------------------------------------------------------------------------------


def _ingest(repository: vecver.Repository, job: Job, jobs: Jobs, told: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs = repository.dataset(job.dataset)
    what = dict(job.what)
    if "input" in what:  # an upload lies in no work tree; and Git is not run on files that callers wrote
        what = {"origin": {}, "place": {}, **what}
    source = what.pop("folder", None) or jobs.input(job) / what.pop("input")
    return _reported(docs, job, lambda: docs.ingest(str(source), job=job.id, progress=told, **what))


def _upsert(repository: vecver.Repository, job: Job, jobs: Jobs, told: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs = repository.dataset(job.dataset)
    what: Json = {"origin": {}, **job.what}
    name = what.pop("input")
    how = {"records": name == uploads.RECORDS, "place": {}, "job": job.id, "progress": told, **what}
    return _reported(docs, job, lambda: docs.add(jobs.input(job) / name, **how))


def _reported(docs: vecver.Dataset, job: Job, write: Callable[[], vecver.Report]) -> tuple[Json, tuple[str, ...]]:
    """The report of a write, also where it ended early and its commit was made."""
    try:
        report = write()
    except BaseException as error:
        if made := _made_before(docs, job):
            note = f"it ended early ({type(error).__name__}), after its commit was made; that was perhaps not published"
            return made, (note,)
        raise
    return {**report.to_json(), "names": {name: list(ids) for name, ids in report.names.items()}}, ()


def _made_before(docs: vecver.Dataset, job: Job) -> Json | None:
    """What an earlier attempt had committed already, as a report."""
    branch = job.what.get("branch", "main")
    if branch not in docs.branches():
        return None
    for commit in docs.log(branch):
        if commit.id == job.base:
            return None
        operation = commit.operation
        if operation.get("job") == job.id:
            told = {name: operation[name] for name in _REPORTED}
            made = {"dataset": docs.name, "commit": commit.id, "changed": True, "dry_run": False, "notes": []}
            return {**made, **told, "names": _names(docs, commit)}
    return None


def _names(docs: vecver.Dataset, commit: vecver.Commit) -> Json:
    """The documents that a commit added, changed and removed."""
    if not commit.parents:
        return {"added": docs.documents(commit), "changed": [], "removed": []}
    found = docs.diff(commit.parents[0], commit)
    return {"added": list(found.added), "changed": list(found.changed), "removed": list(found.removed)}


_REPORTED = ("documents", "chunks", "tokens", "longer", "failures", "seconds")


def _publish(repository: vecver.Repository, job: Job, jobs: Jobs, told: _Progress) -> tuple[Json, tuple[str, ...]]:
    what = dict(job.what)
    publication = repository.dataset(job.dataset).publish(what.pop("ref"), progress=told, **what)
    return publication.to_json(), ()


_DOING = {"ingest": _ingest, "upsert": _upsert, "publish": _publish}
