"""Parses a stream of documents in order, in processes that may crash, hang, or run out of time or memory.

Workers parse each document and cut its text into pieces. A crash, hang or exceeded limit costs only the document that
caused it. At most a few batches a worker, and `IN_FLIGHT` bytes, are read ahead. This module knows no format.

Decisions
1. pebble runs the processes. concurrent.futures and loky lose every pending document at the first crash. A pool that
   breaks while idle is replaced, and its documents start again.
2. Text formats are parsed in workers too. A regular expression holds the interpreter's lock until it ends: a file of
   60 KB blocked a service for minutes. Short plain documents travel in batches.
3. After a failure, each document of the batch is read once more, alone, in a new worker, and that outcome counts. One
   large table was read, crashed or timed out depending on what its worker had read before. So a failing batch costs
   only the guilty document, and a document that exceeds its limits costs them twice.
4. A document is limited by its CPU time, and by the time in which its worker uses no CPU, so a busy machine fails no
   document. The limit on elapsed time (`CLOCK`) catches what neither of these sees.
5. Records bring their text, so they are not parsed. A worker cuts long ones into pieces.
"""

from __future__ import annotations

import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vecver.model import Failure, Json, Original
from vecver.pipeline.parsers import parse
from vecver.pipeline.workers import processes
from vecver.pipeline.workers.reading import (
    IDLE,
    NO_MEMORY,
    PANICKED,
    Item,
    Outcome,
    Parse,
    Reading,
    read_in_worker,
    record,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pebble import ProcessPool

AHEAD: Final = 4  # batches a worker
IN_FLIGHT: Final = 64_000_000  # bytes of originals; one larger document goes alone
BATCH_DOCUMENTS: Final = 32
BATCH_BYTES: Final = 250_000
LONG_RECORD: Final = 20_000  # characters from which a record's text is cut in a worker
PACE: Final = 200_000  # bytes that add a second to a document's limit; the slowest reader needs a fifth of that
CLOCK: Final = 30  # seconds by the clock for each second of CPU time that a document may take
GRACE: Final = 60.0  # seconds for a worker to start, added to the documents' timeouts


def parse_all(
    originals: Iterable[Original],
    *,
    chunker: Json | None = None,
    passwords: Sequence[str] = (),
    workers: int = 2,
    cpu: float = 20.0,
    timeout: float = 60.0,
    memory: int = 1_500_000_000,
    parse: Parse = parse.parse,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Original, Outcome]]:
    """Parses each original; yields it with its text, or with the failure, in order.

    With a `chunker`'s recipe, texts come with the pieces for that chunker. A document may use `cpu`
    seconds of CPU time, a large one more (`PACE`), and `memory` bytes of address space on top of a worker's
    libraries, and may spend `timeout` seconds without using any CPU. `parse` must be importable by name.
    `meanwhile` is called once, after the first documents are submitted. Closing the iterator stops the workers.
    """
    ahead: deque[_Batch] = deque()
    pool = _Pool(Reading(parse, tuple(passwords), chunker, cpu, timeout, memory), workers)
    try:
        for batch in _batches(originals, memory // 4):
            ahead.append(batch)
            pool.begin(batch)
            if batch.future and pool.scheduled == 1:
                meanwhile()
            while ahead and (ahead[0].settled or _is_full(ahead, workers)):
                yield from pool.finish(ahead.popleft())
        while ahead:
            yield from pool.finish(ahead.popleft())
    except BaseException:  # closed early, or the source failed: the documents being read are not needed
        pool.stop()
        raise
    pool.leave()


# -- batches -----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Batch:
    """Consecutive originals: some have outcomes without a worker, the others are submitted to one."""

    originals: list[Original]
    outcomes: dict[int, Outcome]  # by position
    size: int  # bytes
    future: Future[bytes] | None = None

    @property
    def settled(self) -> bool:
        return self.future is None or self.future.done()

    @property
    def waiting(self) -> list[int]:
        """Positions of the originals that a worker reads."""
        return [n for n in range(len(self.originals)) if n not in self.outcomes]


def _batches(originals: Iterable[Original], largest: int) -> Iterator[_Batch]:
    """Batches of short plain texts and records; every other document is a batch of one."""
    batch = _Batch([], {}, 0)
    for original in originals:
        size, together = _size(original), _is_batched(original)
        if batch.originals and not (together and batch.size + size <= BATCH_BYTES):
            yield batch
            batch = _Batch([], {}, 0)
        outcome = _immediate_outcome(original, largest)
        if outcome:
            batch.outcomes[len(batch.originals)] = outcome
        batch.originals.append(original)
        batch.size += size
        if not together or len(batch.originals) == BATCH_DOCUMENTS:
            yield batch
            batch = _Batch([], {}, 0)
    if batch.originals:
        yield batch


def _size(original: Original) -> int:
    return len(original.data or b"") + len(original.text or "") + len(original.title)


def _is_batched(original: Original) -> bool:
    return original.data is None or parse.is_plain(original.data, original.document)


def _immediate_outcome(original: Original, largest: int) -> Outcome | None:
    """The outcome of an original that needs no worker, or is too large for one; otherwise None."""
    text = original.text or ""
    if original.data is None and not text.strip():
        return Failure(original.document, "empty", "The record has no text.")
    if original.data is None and len(text) + len(original.title) < LONG_RECORD:
        return record(text, original.title)
    if _size(original) > largest:  # it passes through a pipe: the worker holds it about twice before parsing it
        return Failure(original.document, "too_large", f"It has {_size(original):,} bytes: split it.")
    return None


def _is_full(ahead: deque[_Batch], workers: int) -> bool:
    return len(ahead) >= AHEAD * workers or sum(batch.size for batch in ahead) > IN_FLIGHT


# -- the pool ----------------------------------------------------------------------------------


class _Pool:
    """Worker processes for one stream, started with the first document that needs them."""

    def __init__(self, reading: Reading, workers: int) -> None:
        self.reading = reading
        self.workers = workers
        self.processes: ProcessPool | None = None
        self.fresh: ProcessPool | None = None  # a new process for each document that failed in those
        self.scheduled = 0  # tasks so far
        self.expected: dict[Future[bytes], float] = {}  # unfinished tasks, and the seconds each may take

    def begin(self, batch: _Batch) -> None:
        if waiting := batch.waiting:
            batch.future = self._schedule([batch.originals[n] for n in waiting])

    def finish(self, batch: _Batch) -> Iterator[tuple[Original, Outcome]]:
        """The outcomes of a batch, in order. If it failed, its documents are read again one at a time."""
        if batch.future:
            try:
                outcomes = self._result(batch.future)
            except Exception:
                outcomes = [self._read_alone(batch.originals[n]) for n in batch.waiting]
            batch.outcomes |= zip(batch.waiting, outcomes, strict=True)
        return ((original, batch.outcomes[n]) for n, original in enumerate(batch.originals))

    def _read_alone(self, original: Original) -> Outcome:
        """The outcome of a document in a new worker."""
        if self.fresh is None or not self.fresh.active:
            self._stop_fresh()
            self.fresh = processes.fresh()
        try:
            return self._result(self._submitted(self.fresh, [original]))[0]
        except Exception as error:
            return self._failure_of(original, error)

    def _failure_of(self, original: Original, error: Exception) -> Failure:
        """The failure of a document that was read alone, from the error of its worker."""
        from concurrent.futures import CancelledError
        from concurrent.futures.process import BrokenProcessPool

        from pebble import ProcessExpired

        document, limits = original.document, self._limits([original])
        match error:
            case TimeoutError():
                seconds = CLOCK * limits.cpu
                return Failure(document, "timeout", f"Reading it took more than {seconds:g} seconds.")
            case ProcessExpired():
                return _expired(document, error.exitcode, limits)
            case BrokenProcessPool() | CancelledError():
                return Failure(document, "crashed", "The workers that should read it could not run.")
        return Failure(document, "crashed", f"The parser failed: {type(error).__name__}.")

    def _schedule(self, originals: list[Original]) -> Future[bytes]:
        if self.processes is None or not self.processes.active:
            self.stop()
            self.processes = processes.borrow(self.workers)
        self.scheduled += 1
        return self._submitted(self.processes, originals)

    def _submitted(self, pool: ProcessPool, originals: list[Original]) -> Future[bytes]:
        items = [Item(o.document, o.data, o.text, o.title) for o in originals]
        reading = self._limits(originals)
        seconds = max(CLOCK * reading.cpu, reading.timeout)
        future = pool.schedule(read_in_worker, args=(reading, items), timeout=seconds)
        self.expected[future] = seconds
        return future

    def _limits(self, originals: list[Original]) -> Reading:
        more = sum(map(_size, originals)) // PACE
        return replace(self.reading, cpu=self.reading.cpu + more)

    def _result(self, future: Future[bytes]) -> list[Outcome]:
        """The outcomes of a task. Raises the worker's error. Waits as long as all tasks before it may take."""
        try:
            outcomes: list[Outcome] = pickle.loads(future.result(GRACE + sum(self.expected.values())))
        finally:
            del self.expected[future]
        return outcomes

    def leave(self) -> None:
        """Keep the workers for another stream."""
        self._stop_fresh()
        if self.processes is not None:
            processes.give_back(self.processes, self.workers)
            self.processes = None

    def stop(self) -> None:
        self._stop_fresh()
        if self.processes is not None:
            processes.stop(self.processes)
            self.processes = None

    def _stop_fresh(self) -> None:
        if self.fresh is not None:
            processes.stop(self.fresh)
            self.fresh = None


def _expired(document: str, exitcode: int | None, limits: Reading) -> Failure:
    if exitcode == NO_MEMORY:
        return Failure(document, "out_of_memory", "Reading it took more memory than a worker may have.")
    if exitcode == -getattr(signal, "SIGXCPU", 0):
        return Failure(document, "timeout", f"Reading it took more than {limits.cpu:g} seconds of CPU time.")
    if exitcode == IDLE:
        return Failure(document, "timeout", f"Its parser did nothing for {limits.timeout:g} seconds.")
    if exitcode == PANICKED:
        return Failure(document, "crashed", "The parser panicked on it.")
    if exitcode == -getattr(signal, "SIGKILL", 0):
        reason = "The system killed the process that read it, perhaps for want of memory: try again."
        return Failure(document, "crashed", reason)
    return Failure(document, "crashed", f"The parser crashed on it (exit code {exitcode}).")
