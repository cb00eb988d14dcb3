"""What a worker process runs: parse documents and cut them into pieces, within limits on CPU time and memory.

Decisions
1. The memory limit counts from the address space that a worker uses once its libraries are loaded: numpy alone
   reserves gigabytes of addresses on machines with many cores.
2. A worker that runs out of memory exits with its own exit code, since the memory it still holds could fail the next
   document.
3. Limits apply while documents are parsed and outcomes pickled, not while outcomes are sent: a worker killed while
   sending would leave the pipe locked for the others.
4. A parser counts as hung if its worker uses no CPU time. Elapsed time does not show this: on a busy machine a slow
   parser is still using some CPU.
5. The memory limit stays at its value for a new worker. Measured again for each document, it would grow with what the
   worker read before. A document that exceeds it in a used worker is read again in a new one by `pool`.
6. A worker exits after a parser panics, since the panic may have left state that fails the next document.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Final, NamedTuple

from vecver.errors import InvalidInputError
from vecver.model import Failure, Json, Parsed
from vecver.pipeline.chunkers.pieces import with_pieces
from vecver.pipeline.parsers.detection.media_types import Unreadable

Outcome = Parsed | Failure
Parse = Callable[[bytes, str, Sequence[str]], Parsed]

# Exit codes of a worker
NO_MEMORY: Final = 86  # it ran out of memory
PANICKED: Final = 87  # a parser raised something outside Exception: a panic of a Rust library
IDLE: Final = 88  # it used no CPU time for `Reading.timeout` seconds
WORN: Final = 89  # a document failed, possibly because of what the worker read before

SLACK: Final = 0.1  # share of the memory limit: a worker that holds more before a document counts as worn
AWAKE: Final = 0.01  # share of a core above which a worker counts as busy
LOOKS: Final = 10  # checks of the CPU time in a timeout; counted, since a machine may suspend all its processes


@dataclass(frozen=True)
class Reading:
    """How documents are read, and the limits of each."""

    parse: Parse
    passwords: tuple[str, ...]
    chunker: Json | None  # the recipe to cut by; None: texts are not cut
    cpu: float  # seconds
    timeout: float  # seconds in which it uses no CPU time
    memory: int  # bytes of address space, on top of a worker's libraries


class Item(NamedTuple):
    """The fields of an original that a worker needs."""

    document: str
    data: bytes | None
    text: str | None
    title: str


def record(text: str, title: str) -> Parsed:
    """A record's text, unchanged."""
    return Parsed(text, title, "text/plain", "record")


def read_in_worker(reading: Reading, items: list[Item]) -> bytes:
    """The outcomes of `items`, pickled here because that may exceed the memory limit too."""
    try:
        worn = _mapped() - _idle_bytes > SLACK * reading.memory
        with _watch.over(reading.timeout), _limited(reading):
            outcomes = [read(reading, item) for item in items]
            if worn and any(isinstance(outcome, Failure) for outcome in outcomes):
                os._exit(WORN)
            return pickle.dumps(outcomes, protocol=5)
    except MemoryError:
        os._exit(NO_MEMORY)
    except Exception:
        raise
    except BaseException:
        os._exit(PANICKED)


def read(reading: Reading, item: Item) -> Outcome:
    try:
        if item.data is None:
            parsed = record(item.text or "", item.title)
        else:
            parsed = reading.parse(item.data, item.document, reading.passwords)
    except Unreadable as error:
        if error.code == "out_of_memory":
            raise MemoryError from error
        return Failure(item.document, error.code, error.reason)
    try:
        return with_pieces(parsed, reading.chunker) if reading.chunker else parsed
    except InvalidInputError as error:  # the recipe needs a grammar that is not installed: only this document fails
        return Failure(item.document, error.code, f"{error} {error.hint}")


@contextmanager
def _limited(reading: Reading) -> Iterator[None]:
    """Limits this process's memory and CPU time while it reads, on systems that support it."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_AS: _idle_bytes + reading.memory,
        resource.RLIMIT_CPU: ceil(used.ru_utime + used.ru_stime + reading.cpu),
    }
    before = {limit: resource.getrlimit(limit) for limit in limits}
    for limit, most in limits.items():
        with suppress(OSError, ValueError):  # macOS has no memory limit; or a lower one is set already
            resource.setrlimit(limit, (most, before[limit][1]))
    try:
        yield
    finally:
        for limit, usual in before.items():
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, usual)


class _Watch:
    """A thread that exits the process after too long without CPU use while a document is read."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards what follows
        self._started = 0  # readings so far
        self._patience = 0.0  # seconds; 0: nothing is being read

    @contextmanager
    def over(self, patience: float) -> Iterator[None]:
        self._set(patience)
        try:
            yield
        finally:
            self._set(0.0)

    def start(self) -> None:
        """Start the thread; returns once it runs and has mapped its memory."""
        running = threading.Event()
        threading.Thread(target=self._look, args=(running,), daemon=True).start()
        running.wait()

    def _set(self, patience: float) -> None:
        with self._changed:
            self._patience = patience
            self._started += patience > 0
            self._changed.notify()

    def _look(self, running: threading.Event) -> None:
        running.set()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._patience > 0)
                patience, reading = self._patience, self._started
            used, looks = time.process_time(), 0
            while looks < LOOKS:
                with self._changed:
                    if self._changed.wait_for(partial(self._ended, reading), timeout=patience / LOOKS):
                        break
                looks += 1
                if time.process_time() - used > AWAKE * patience:
                    used, looks = time.process_time(), 0
            else:
                os._exit(IDLE)

    def _ended(self, reading: int) -> bool:
        return self._patience == 0 or self._started != reading


_watch = _Watch()
_idle_bytes = 0  # address space of this process before its first document


def confine() -> None:
    """Prepare a new worker: no output, no core files, the watching thread, and the base of the memory limit."""
    global _idle_bytes
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _watch.start()
    _idle_bytes = _mapped()


def _mapped() -> int:
    """Bytes of address space of this process; 0 if unknown."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
