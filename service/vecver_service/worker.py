"""Runs jobs: a thread of each process takes the oldest job that may run, runs it, and records how it stands.

    take      `Jobs.next` locks the job's dataset, so that no other process runs a job of it
    start     a job that is still "running" was interrupted: look for its commit, count the attempt
    run       what its kind does; progress is recorded twice a second, and a cancelled job stops there
    finish    an entry in the audit log, then the final record

Jobs that write no version have a thread of their own, so that a promotion does not wait for an ingest.

An exception of the database leaves the job as it was recorded last; the loop takes it again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

import vecver
from vecver.errors import AccessError, ApprovalError, BackendError, NotFoundError, VecverError
from vecver_service.deps import Dependencies
from vecver_service.http import problems, uploads
from vecver_service.state.jobs import MEASURES, Job, Jobs, now
from vecver_service.state.keys import Caller
from vecver_service.warmup import freeze_modules, warm

Json = dict[str, Any]
ATTEMPTS = 3
_PROGRESS_SECONDS = 0.5  # between two records of progress, each of which first looks if the job was cancelled
_POLL_SECONDS = 2.0  # between two looks for jobs that other processes queued
_MASKED = ("notes", "failures", "uri")  # parts of results in which a path of this machine may stand
_RETRIED = ("ref_moved", "collected", "store_busy", "store_locked")  # codes of errors that other writers caused
_WRITES = ("ingest", "upsert")  # kinds of jobs that make a commit
KINDS = ((*_WRITES, "publish"), MEASURES)  # for each thread
_STOPPABLE = ("documents", "chunks", "rows", "questions", "queries")  # units of progress before anything is visible
_REPORTED = ("documents", "chunks", "tokens", "longer", "failures", "seconds")  # of a report, in a commit's operation
_COMMIT_MADE = "its commit was made before the process ended"
_MOVE_MADE = "its alias was moved before the process ended"
_log = logging.getLogger("vecver.service")


class Stopped(Exception):
    """The job was cancelled, or the process ends."""


class Worker:
    """A thread of a process that runs jobs of some kinds."""

    def __init__(self, deps: Dependencies, kinds: Collection[str]) -> None:
        self._kinds, self._keys, self._arrived = kinds, deps.keys, deps.jobs.arrivals()
        self._repository, self._jobs, self._audit = deps.repository, deps.jobs, deps.audit
        self._mask, self._metrics, self._folders = deps.mask, deps.metrics, deps.settings.folders
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        """Start the thread. It begins with what waits, and what an earlier process left running."""
        self._thread.start()

    def end(self) -> None:
        """Requeue the job that runs, and end soon."""
        self._ending.set()
        self._arrived.set()

    def stop(self, seconds: float) -> None:
        """End, and wait for that. If it takes longer than `seconds`, the next process takes the job."""
        self.end()
        self._thread.join(seconds)

    @property
    def ending(self) -> bool:
        """Was the worker told to stop?"""
        return self._ending.is_set()

    def record_progress(self, job: Job) -> None:
        """Record how far a job is. A failure to do so does not end the job."""
        with suppress(OSError, VecverError):
            self._jobs.keep(job, durable=False)

    def should_stop(self, job: Job) -> bool:
        """Was the job cancelled, or taken by another, or the worker told to stop? No, if the database is away."""
        with suppress(OSError, VecverError):
            return self.ending or self._jobs.cancelled(job) or self._jobs.lost(job)
        return False

    def _loop(self) -> None:
        while not self._ending.is_set():
            self._arrived.clear()
            try:
                with self._jobs.next(self._kinds) as job:
                    if job:
                        self._do(job)
                        continue
            except BackendError as error:  # the database is away, for example: what it runs is done elsewhere, or later
                _log.warning("no job can be taken or recorded", extra={"code": error.code, "why": error.message})
            except Exception:  # a full disk, for example: this thread must live, and the job is taken again
                _log.exception("a job could not be taken")
            self._arrived.wait(_POLL_SECONDS)

    def _do(self, job: Job) -> None:
        has_base = job.started is not None or self._jobs.cancelled(job)
        try:
            result = self._interrupted_result(job)
            base = job.base if has_base else self._head(job)
        except VecverError as error:  # its dataset cannot be read, for example: others run meanwhile
            self._finish(self._failed(job, error), 0)
            return
        job = self._start(job, base, committed=result is not None)
        if job.state == "running":
            self._run(job, result)

    def _run(self, job: Job, result: Json | None) -> None:
        """Run a job to its end, or requeue it. `result`: of the commit that it made before it was interrupted."""
        progress, since = _Progress(self, job), monotonic()
        try:
            made = (_MOVE_MADE if job.kind == "promote" else _COMMIT_MADE,)
            result, notes = (result, made) if result is not None else self._result(job, progress)
            result |= {name: self._mask(result[name]) for name in _MASKED if name in result}
            job = replace(progress.job, state="succeeded", result=result, notes=(*job.notes, *notes))
        except Stopped:
            if self._jobs.lost(job):
                _log.warning("another process has taken a job", extra={"job": job.id})
                return
            if not self._jobs.cancelled(job):
                self._jobs.requeue(progress.job)
                return
            job = replace(progress.job, state="cancelled")
        except VecverError as error:
            if self._requeue_after(error, progress.job):
                return
            job = self._failed(progress.job, error)
        except BaseException as error:  # a panic of a Rust library is no Exception, and this thread must live
            _log.error("a job failed", exc_info=error, extra={"job": job.id})
            job = self._failed(progress.job, _unforeseen())
        self._finish(job, monotonic() - since)
        freeze_modules()  # the first job imports torch

    def _interrupted_result(self, job: Job) -> Json | None:
        """The result of an interrupted job that had made its commit, or moved its alias."""
        docs = self._repository.dataset(job.dataset)
        if job.state != "running":
            return None
        if job.kind == "promote":
            return _moved_result(docs, job)
        return _committed_result(docs, job) if job.kind in _WRITES else None

    def _result(self, job: Job, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
        """Do what a job asks for; its result, and notes."""
        if "folder" in job.what:
            uploads.permitted(job.what["folder"], self._folders)  # it may be a link by now, or not allowed any more
        if job.kind == "promote":
            self._check_key(job)
        return _KINDS[job.kind](self._repository.signed(job.by, job.key), job, self._jobs, progress)

    def _check_key(self, job: Job) -> None:
        """Raises AccessError if the key that asked was revoked: measuring may take long, and then an alias moves."""
        if job.key and not self._keys.may(job.key, "write", job.dataset):
            raise AccessError(
                "the key that asked for this promotion was revoked meanwhile",
                code="forbidden",
                hint=f"use a key with the scope {job.dataset}:write",
            )

    def _start(self, job: Job, base: str | None, *, committed: bool) -> Job:
        """Record that a job runs; or finish it, because it was cancelled or interrupted too often."""
        interrupted = job.state == "running"
        if interrupted:
            job = replace(job, notes=(*job.notes, f"a process ended while it ran it (attempt {job.attempts})"))
        if not committed and self._jobs.cancelled(job):
            return self._finish(replace(job, state="cancelled"), 0)
        if not committed and interrupted and job.attempts >= ATTEMPTS:
            return self._finish(self._failed(job, _interrupted(job)), 0)
        attempts = job.attempts + 1 if interrupted or not job.attempts else job.attempts
        started = job.started or now()
        return self._jobs.keep(
            replace(job, state="running", started=started, attempts=attempts, base=base, progress={})
        )

    def _head(self, job: Job) -> str | None:
        """The commit on which the job's branch stands."""
        return self._repository.dataset(job.dataset).branches().get(job.what.get("branch", "main"))

    def _failed(self, job: Job, error: VecverError) -> Job:
        return replace(job, state="failed", error=problems.to_json(problems.visible(error, None), self._mask))

    def _requeue_after(self, error: VecverError, job: Job) -> bool:
        """Requeue a job that failed because of other writers, if another attempt may succeed; its upload stays."""
        if job.kind not in _WRITES or error.code not in _RETRIED or error.context.get("documents"):
            return False
        if job.attempts >= ATTEMPTS or self._jobs.cancelled(job):
            return False
        note = f"it is tried again (attempt {job.attempts}): {self._mask(error.message)}"
        self._jobs.requeue(replace(job, attempts=job.attempts + 1, notes=(*job.notes, note)))
        return True

    def _finish(self, job: Job, seconds: float) -> Job:
        """Record that a job has ended: in the audit log first, so that no job ends without an entry.

        Nothing is recorded of a job that another process has taken.
        """
        if self._jobs.lost(job):
            _log.warning("another process has taken a job", extra={"job": job.id})
            return job
        self._audit.append(Caller(job.key, job.by, ()), job.id, _audit_entry(job))
        job = self._jobs.keep(replace(job, finished=now()))
        self._metrics.job(job.kind, job.state, seconds)
        details = {"job": job.id, "kind": job.kind, "state": job.state, "dataset": job.dataset, "by": job.by}
        _log.info("job", extra=details)
        return job


def end(workers: Sequence[Worker]) -> None:
    """Let the threads put back what they run, and end."""
    for worker in workers:
        worker.end()


def stop(workers: Sequence[Worker], seconds: float) -> None:
    """End the threads. If that takes longer than `seconds`, the next process takes their jobs."""
    until = monotonic() + seconds
    end(workers)
    for worker in workers:
        worker.stop(max(0.0, until - monotonic()))


class _Progress:
    """Called with what was done. Records it in the job, and raises Stopped where the job may stop and should."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self.job, self._recorded = worker, job, 0.0

    def __call__(self, unit: str, count: int, total: int | None = None, /) -> None:
        done = self.job.progress.get(unit, {"done": 0})["done"] + count
        self.job = replace(self.job, progress={**self.job.progress, unit: {"done": done, "total": total}})
        if monotonic() - self._recorded < _PROGRESS_SECONDS:
            return
        self._recorded = monotonic()
        if unit in _STOPPABLE and self._worker.should_stop(self.job):
            raise Stopped
        self._worker.record_progress(self.job)


def _audit_entry(job: Job) -> Json:
    outcome = {"succeeded": "done", "failed": (job.error or {}).get("code")}.get(job.state, job.state)
    entry = {"action": job.kind, "dataset": job.dataset, "job": job.id, "outcome": outcome}
    if job.kind in _WRITES:
        entry |= {"branch": job.what["branch"], "from": job.base, "to": (job.result or {}).get("commit", job.base)}
    if job.kind == "promote":
        result = job.result or {}
        entry |= {"kind": "alias", "name": job.what["alias"]}
        entry |= {"waits": result["approval"]["id"], "for": job.what["ref"]} if "approval" in result else {}
        entry |= {"from": result["before"], "to": result["after"]} if "after" in result else {}
    return entry


def _interrupted(job: Job) -> BackendError:
    return BackendError(
        f"the service ended {job.attempts} times while it did this",
        code="interrupted",
        hint="look at its log and memory; what was embedded is kept: ask again",
        retryable=True,
    )


def _unforeseen() -> VecverError:
    return VecverError("something went wrong in the service", code="internal", hint="the service's log has the rest")


# -- kinds of jobs ------------------------------------------------------------------------------


def _ingest(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs = repository.dataset(job.dataset)
    options = dict(job.what)
    if "input" in options:  # an upload lies in no work tree; and Git is not run on files that callers wrote
        options = {"origin": {}, "place": {}, **options}
    source = options.pop("folder", None) or jobs.input(job) / options.pop("input")
    return _written(docs, job, lambda: docs.ingest(str(source), job=job.id, progress=progress, **options))


def _upsert(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs = repository.dataset(job.dataset)
    options: Json = {"origin": {}, **job.what}
    name = options.pop("input")
    options = {"records": name == uploads.RECORDS, "place": {}, "job": job.id, "progress": progress, **options}
    return _written(docs, job, lambda: docs.add(jobs.input(job) / name, **options))


def _publish(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    options = dict(job.what)
    publication = repository.dataset(job.dataset).publish(options.pop("ref"), progress=progress, **options)
    return publication.to_json(), ()


def _promote(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs, options = repository.dataset(job.dataset), _with_questions(jobs, job)
    warm(docs, options["ref"])
    try:
        move = docs.promote(options.pop("alias"), options.pop("ref"), progress=progress, job=job.id, **options)
    except ApprovalError as error:
        return problems.waiting(error, problems.PathMask([])), ()
    return move.to_dict(), ()


def _bisect(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    options = _with_questions(jobs, job)
    broken = repository.dataset(job.dataset).bisect(
        options.pop("good"), options.pop("bad"), progress=progress, **options
    )
    return broken.to_json(), ()


def _eval(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs, ref = repository.dataset(job.dataset), job.what["ref"]
    warm(docs, ref)
    measured = docs.eval(ref, questions=docs.questions(job.what["questions"]), progress=progress)
    return measured.to_json(per_question=False), _not_kept(measured)


def _recall(repository: vecver.Repository, job: Job, jobs: Jobs, progress: _Progress) -> tuple[Json, tuple[str, ...]]:
    docs, ref = repository.dataset(job.dataset), job.what["ref"]
    warm(docs, ref)
    measured = docs.recall(ref, progress=progress)
    return measured.to_json(), _not_kept(measured)


def _not_kept(measured: vecver.Evaluation | vecver.Recall) -> tuple[str, ...]:
    """A note on why what was measured is not stored beside the version, if so."""
    return (f"this was not kept: {measured.not_kept}",) if measured.not_kept else ()


_KINDS = {
    "ingest": _ingest,
    "upsert": _upsert,
    "publish": _publish,
    "promote": _promote,
    "bisect": _bisect,
    "eval": _eval,
    "recall": _recall,
}


def _with_questions(jobs: Jobs, job: Job) -> Json:
    """The options of a job that measures, with the questions that were sent with it."""
    if "input" not in job.what:
        return dict(job.what)
    options = dict(job.what)
    text = (jobs.input(job) / options.pop("input")).read_text("utf-8")
    return {**options, "questions": json.loads(text)}


def _moved_result(docs: vecver.Dataset, job: Job) -> Json | None:
    """The move that a job has made, or that followed the approval of what it asked for; None if there is none."""
    with suppress(NotFoundError):  # there is no such alias
        for move in docs.moves("alias", job.what["alias"]):
            if move.gating and move.gating.get("job") == job.id:
                return move.to_dict()
    return None


def _written(docs: vecver.Dataset, job: Job, write: Callable[[], vecver.Report]) -> tuple[Json, tuple[str, ...]]:
    """The report of a write, and notes; also of one that failed after it had made its commit."""
    try:
        report = write()
    except BaseException as error:
        if result := _committed_result(docs, job):
            note = f"it ended early ({type(error).__name__}), after its commit was made; that was perhaps not published"
            return result, (note,)
        raise
    return {**report.to_json(), "names": {name: list(ids) for name, ids in report.names.items()}}, ()


def _committed_result(docs: vecver.Dataset, job: Job) -> Json | None:
    """The report of the commit that a job has made; None if it has made none. Looks back to the job's base."""
    branch = job.what.get("branch", "main")
    if branch not in docs.branches():
        return None
    for commit in docs.log(branch):
        if commit.id == job.base:
            return None
        if commit.operation.get("job") == job.id:
            counts = {name: commit.operation[name] for name in _REPORTED}
            report = {"dataset": docs.name, "commit": commit.id, "changed": True, "dry_run": False, "notes": []}
            return {**report, **counts, "names": _names(docs, commit)}
    return None


def _names(docs: vecver.Dataset, commit: vecver.Commit) -> Json:
    """The documents that a commit added, changed and removed."""
    if not commit.parents:
        return {"added": docs.documents(commit), "changed": [], "removed": []}
    diff = docs.diff(commit.parents[0], commit)
    return {"added": list(diff.added), "changed": list(diff.changed), "removed": list(diff.removed)}
