"""Upkeep: folds and indexes the branches on which commits landed, in a thread beside the writers.

    after_commit   look whether something is due for the new version; if so, hand its branch to the thread
    the thread     keep the branch's newest version up (`compaction.BranchUpkeep`), take the next branch, or end
    wait           until the thread has done what it was handed; `settle`, `optimize`, `gc`, `check`, `recall` do so
    close          let the thread work for some seconds more, then stop it at its next safe point

Rules
1. Upkeep makes derived files and lays rows anew; it changes no commit. A version is searched at once, by scanning its
   rows that have no index. A kill at any point leaves the old layout or the new one, and perhaps segments that nothing
   names, which gc deletes. The next commit on the branch does what was left.
2. It is bounded: one thread for an opened repository, and at most one waiting job for a branch, because a job works on
   the version that is newest when it runs. The thread ends with its last job.
3. A commit that leaves more than `SCANNED` x INDEX_ROWS rows to the scan, or more than `SMALL_SEGMENTS` small segments,
   has landed but returns only after its job: 32,768 x 384 take 4 ms to scan. An ingest that itself writes more rows
   builds their index before it lands, so that no search meets them without one.
4. An error of upkeep fails no commit. It is kept, notes of later reports and of `check` show it, `settle` raises it,
   and the next commit on the branch tries again. Of several processes one works on a dataset; the others wait for it,
   at most `OTHERS_SECONDS`, and look again.
5. The thread is no daemon, since Python ends daemons wherever they are, also inside FAISS, which can abort the process.
   Calls of progress are its safe points. The longest step between two, training an index, takes under a second for
   50,000 rows and seconds for a million. After the main thread has ended, the thread stops as after `close`.
6. FAISS uses this thread only, so that searches have the other cores. Copying, hashing and FAISS release the GIL.
7. A process forks between two steps of the thread (`forking`). The child has no thread and none of its jobs.
8. Without `background` all this is done before `after_commit` returns, with progress. The command line does so: its
   process would wait for the thread anyway, and shows what it waits for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from time import monotonic, sleep
from traceback import format_exc
from typing import TYPE_CHECKING
from weakref import ref

from vecver import index
from vecver.errors import BackendError, VecverError
from vecver.flows.maintaining.forking import Steps

if TYPE_CHECKING:
    from vecver.flows.maintaining.compaction import Tail
    from vecver.progress import Progress
    from vecver.repo import Segment, Versions

CLOSE_SECONDS = 5.0
OTHERS_SECONDS = 60.0  # to wait for another process that works on the same dataset
SCANNED = 4  # times the rows from which on a segment gets an index
SMALL_SEGMENTS = 64  # a folded version has at most some 40
_POLL_SECONDS = 0.2
_NEVER = float("inf")
_LATER = "the next commit does it, and `optimize` at once; searches scan its rows until then"


class _Stopped(Exception):
    """The thread reached a safe point after the time at which it must stop."""


@dataclass(frozen=True)
class _Job:
    """A branch to keep up. `ended` is set when nothing more is done for it, whether that succeeded or not."""

    dataset: str
    branch: str
    ended: threading.Event = field(default_factory=threading.Event)


class Upkeep:
    """The upkeep of one opened repository. Its methods may be called from several threads."""

    def __init__(self, versions: Versions, *, background: bool = True) -> None:
        self._versions, self._background = versions, background
        self._steps = _UpkeepSteps(self)
        self.begin()
        self._errors: dict[tuple[str, str], VecverError] = {}

    def begin(self) -> None:
        """Have neither jobs nor a thread: at first, and in a forked process."""
        self._lock = threading.Lock()  # guards the three below
        self._waiting: dict[tuple[str, str], _Job] = {}
        self._running: _Job | None = None
        self._thread: threading.Thread | None = None
        self._stop_at = _NEVER  # monotonic seconds

    def after_commit(self, dataset: str, branch: str, commit: str, progress: Progress | None = None) -> list[str]:
        """Do what a commit that has landed makes due, or hand it to the thread. Returns notes on what failed."""
        from vecver.flows.maintaining.compaction import BranchUpkeep, tail_of

        try:
            tail = tail_of(self._versions, commit, self._versions.saved_layout(commit))
            if tail.is_due and not self._background:
                BranchUpkeep(self._versions, dataset, branch, progress).run()
        except VecverError as error:
            return [_note(error)]
        if not (tail.is_due and self._background):
            return []
        earlier = self._errors.get((dataset, branch))
        job = self._hand_over(dataset, branch)
        if _is_long(tail):
            job.ended.wait()
        return [_note(earlier)] if earlier else []

    def wait(self, dataset: str | None = None) -> None:
        """Wait until every job that was handed over has ended, or every one of a dataset."""
        for job in self._jobs():
            if dataset in (None, job.dataset):
                job.ended.wait()

    def settle(self) -> None:
        """Wait for every job. Raises the error of a branch whose last upkeep failed."""
        self.wait()
        for (dataset, branch), error in list(self._errors.items()):
            if self._versions.refs(dataset).get("branch", branch) is not None:  # it may be deleted by now
                raise copy(error)

    def notes(self) -> list[str]:
        """The branches whose upkeep failed or is not done, by this process or others, a line for each."""
        notes = list[str]()
        with suppress(VecverError):  # what is damaged is a problem of the check
            for dataset in self._versions.datasets():
                for branch, head in self._versions.refs(dataset).all("branch").items():
                    if error := self._errors.get((dataset, branch)):
                        notes.append(f"{dataset}@{branch}: {_note(error)}")
                    elif self._is_due(head):
                        notes.append(f"{dataset}@{branch} is not folded and indexed yet: {_LATER}")
        return notes

    def _is_due(self, commit: str) -> bool:
        from vecver.flows.maintaining.compaction import tail_of

        return tail_of(self._versions, commit).is_due

    def close(self) -> None:
        """Let the thread work for `CLOSE_SECONDS`, then stop it at its next safe point. Later commits begin anew."""
        stop_at = self._stop_at = monotonic() + CLOSE_SECONDS
        self.wait()
        if self._stop_at == stop_at:  # else another `close` waits still
            self._stop_at = _NEVER

    # -- jobs -----------------------------------------------------------------------------------

    def _jobs(self) -> list[_Job]:
        with self._lock:
            running = [self._running] if self._running else []
            return [*running, *self._waiting.values()] if self._is_at_work() else []

    def _hand_over(self, dataset: str, branch: str) -> _Job:
        with self._lock:
            job = self._waiting.setdefault((dataset, branch), _Job(dataset, branch))
            if not self._is_at_work():
                self._thread = threading.Thread(target=self._work, name="vecver upkeep")
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends, or has no room for a thread: a later commit tries again
                    self._thread = None
                    self._waiting.pop((dataset, branch)).ended.set()
            return job

    def _is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _work(self) -> None:
        while job := self._next():
            try:
                with self._steps.working():
                    self._run(job)
            finally:
                job.ended.set()

    def _next(self) -> _Job | None:
        """Take the next job; without one the thread ends, and a new job starts another."""
        with self._lock:
            first = next(iter(self._waiting), None)
            self._running = self._waiting.pop(first) if first else None
            if self._running is None:
                self._thread = None
            return self._running

    def _run(self, job: _Job) -> None:
        place = job.dataset, job.branch
        try:
            self._keep_up(job)
            self._errors.pop(place, None)
        except _Stopped:
            return
        except VecverError as error:
            self._errors[place] = copy(error)  # without its traceback, which would keep files mapped
        except Exception as error:  # the folder is gone, for example: the writers must not learn of it by a crash
            self._errors[place] = _unforeseen(error)

    def _keep_up(self, job: _Job) -> None:
        from vecver.flows.maintaining.compaction import BranchUpkeep

        until = monotonic() + OTHERS_SECONDS
        self._safe_point()
        while not BranchUpkeep(self._versions, job.dataset, job.branch, self._safe_point, one_thread=True).run():
            if monotonic() > until:
                return
            sleep(_POLL_SECONDS)
            self._safe_point()

    def _safe_point(self, unit: str = "", count: int = 0, total: int | None = None, /) -> None:
        """Let a fork go first, and raise _Stopped if it is time; also what the thread passes as `progress`."""
        self._steps.pause()
        if self._stop_at == _NEVER and not threading.main_thread().is_alive():
            self._stop_at = monotonic() + CLOSE_SECONDS
        if monotonic() > self._stop_at:
            raise _Stopped


class _UpkeepSteps(Steps):
    """The steps of an upkeep, which begins anew in a forked process."""

    def __init__(self, upkeep: Upkeep) -> None:
        super().__init__()
        self._upkeep = ref(upkeep)

    def forked(self) -> None:
        super().forked()
        if upkeep := self._upkeep():
            upkeep.begin()


def index_large(versions: Versions, segments: Iterable[Segment], progress: Progress | None) -> None:
    """Index segments that are yet to land, if they have more rows than may be left to the scan."""
    from vecver.flows.maintaining.indexing import index_segments

    segments = list(segments)
    if sum(segment.chunk_count for segment in segments) > _scanned_rows():
        index_segments(versions, segments, progress)


def _is_long(tail: Tail) -> bool:
    return tail.small_segments > SMALL_SEGMENTS or tail.scanned_rows > _scanned_rows()


def _scanned_rows() -> int:
    return SCANNED * index.faiss.costs.INDEX_ROWS


def _note(error: VecverError) -> str:
    return f"the small segments were not folded: {error.message}; the next ingest tries again"


def _unforeseen(error: Exception) -> BackendError:
    wrapped = BackendError(
        f"{type(error).__name__}: {error}",
        code="upkeep_failed",
        hint="no version is harmed; the next commit tries again, and docs.optimize() does it at once",
        retryable=True,
    )
    wrapped.add_note(format_exc())
    return wrapped
