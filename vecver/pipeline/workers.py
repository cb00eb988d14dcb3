"""Parses a stream of documents in order, what strangers wrote in processes that may crash, hang or run out of memory.

It knows pebble and multiprocessing and no format. Each accident costs the one document that caused
it; at most a few documents a worker, and `IN_FLIGHT` bytes, are read ahead.

Decisions
- 2026-11-21 pebble over concurrent.futures and loky, which lose every pending document at the first
  crash. Plain text formats are parsed here, so most ingests never start a process.
- 2026-11-21 Workers do not import the program's main script. multiprocessing would, so that a script
  without the `if __name__ == "__main__"` guard would ingest again in each worker. While a worker is
  started, `__main__` bears the module spec of a package's `__main__`, which children leave alone.
- 2026-11-21 The memory limit counts from what a worker has mapped once its libraries are loaded:
  numpy alone reserves gigabytes of addresses where there are many cores.
- 2026-11-21 A worker that runs out of memory leaves with its own exit code, since what it still holds
  could fail the next document. A pool that breaks while idle is replaced, its documents started again.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, Final

from vecver.model import Failure, Original, Parsed
from vecver.pipeline import parsers
from vecver.pipeline.parsers import Unreadable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pebble import ProcessPool

Outcome = Parsed | Failure
Parse = Callable[[bytes, str, Sequence[str]], Parsed]

AHEAD: Final = 4  # documents a worker
IN_FLIGHT: Final = 64_000_000  # bytes of originals; one larger document goes alone
GRACE: Final = 60.0  # seconds for a worker to start, beyond a document's own timeout
_NO_MEMORY: Final = 86  # exit code of a worker that ran out of memory


def parse_all(
    originals: Iterable[Original],
    *,
    passwords: Sequence[str] = (),
    workers: int = 2,
    timeout: float = 20.0,
    memory: int = 1_500_000_000,
    parse: Parse = parsers.parse,
) -> Iterator[tuple[Original, Outcome]]:
    """Each original with its text or the reason why there is none, in the order given.

    `timeout` is seconds a document, `memory` bytes of address space a worker may take on top of its
    libraries; neither binds plain text formats, which are read in this process. `parse` must be
    importable by name. Closing the iterator stops the workers; nothing else outlives it.
    """
    ahead: deque[tuple[Original, Outcome | Future[Outcome]]] = deque()
    pool = _Pool(parse, tuple(passwords), workers, timeout, memory)
    try:
        for original in originals:
            ahead.append((original, _begin(original, pool)))
            while ahead and (_settled(ahead[0][1]) or _too_far(ahead, workers)):
                yield _finish(*ahead.popleft(), pool)
        while ahead:
            yield _finish(*ahead.popleft(), pool)
    finally:
        pool.stop()


def _begin(original: Original, pool: _Pool) -> Outcome | Future[Outcome]:
    """The outcome, at once where that is cheap and safe, otherwise as a promise of the pool."""
    data = original.data
    if data is None:
        return _record(original)
    if parsers.is_plain(data, original.document):
        return _read(pool.parse, original.document, data, pool.passwords)
    if len(data) > pool.memory // 4:  # it passes through a pipe: the worker holds it about twice before parsing it
        return Failure(original.document, "too_large", f"It has {len(data):,} bytes: split it, or allow more memory.")
    return pool.schedule(original.document, data)


def _record(original: Original) -> Outcome:
    """A record brings its text: it is taken as it is."""
    text = original.text or ""
    if not text.strip():
        return Failure(original.document, "empty", "The record has no text.")
    return Parsed(text, original.title, "text/plain", "record")


def _settled(outcome: Outcome | Future[Outcome]) -> bool:
    return isinstance(outcome, Parsed | Failure) or outcome.done()


def _too_far(ahead: deque[tuple[Original, Outcome | Future[Outcome]]], workers: int) -> bool:
    return len(ahead) >= AHEAD * workers or sum(len(original.data or b"") for original, _ in ahead) > IN_FLIGHT


def _finish(original: Original, outcome: Outcome | Future[Outcome], pool: _Pool) -> tuple[Original, Outcome]:
    if isinstance(outcome, Parsed | Failure):
        return original, outcome
    return original, pool.result(original, outcome)


def _read(parse: Parse, document: str, data: bytes, passwords: Sequence[str]) -> Outcome:
    try:
        return parse(data, document, passwords)
    except Unreadable as error:
        return Failure(document, error.code, error.reason)


# -- the pool ----------------------------------------------------------------------------------


class _Pool:
    """Worker processes, started with the first document that needs them."""

    def __init__(self, parse: Parse, passwords: tuple[str, ...], workers: int, timeout: float, memory: int) -> None:
        self.parse = parse
        self.passwords = passwords
        self.workers = workers
        self.timeout = timeout
        self.memory = memory
        self.processes: ProcessPool | None = None

    def schedule(self, document: str, data: bytes) -> Future[Outcome]:
        if self.processes is None or not self.processes.active:
            self.stop()
            self.processes = _processes(self.workers, self.memory)
        task = (self.parse, document, data, self.passwords)
        return self.processes.schedule(_read_in_worker, args=task, timeout=self.timeout)

    def result(self, original: Original, future: Future[Outcome], *, again: bool = True) -> Outcome:
        """Waits for a document; what befell its worker becomes its failure."""
        from concurrent.futures.process import BrokenProcessPool

        from pebble import ProcessExpired

        document = original.document
        try:
            return future.result(self.timeout + GRACE)
        except TimeoutError:
            return Failure(document, "timeout", f"Reading it took more than {self.timeout:g} seconds.")
        except ProcessExpired as error:
            return _expired(document, error.exitcode)
        except BrokenProcessPool:
            if again and original.data is not None:
                return self.result(original, self.schedule(document, original.data), again=False)
            return Failure(document, "crashed", "The workers that should read it could not run.")
        except Exception as error:
            return Failure(document, "crashed", f"The parser failed: {type(error).__name__}.")

    def stop(self) -> None:
        if self.processes is not None:
            self.processes.stop()  # type: ignore[no-untyped-call]
            self.processes.join()
            self.processes = None


def _expired(document: str, exitcode: int | None) -> Failure:
    if exitcode == _NO_MEMORY:
        return Failure(document, "out_of_memory", "Reading it took more memory than a worker may have.")
    return Failure(document, "crashed", f"The parser crashed on it (exit code {exitcode}).")


def _processes(workers: int, memory: int) -> ProcessPool:
    from pebble import ProcessPool

    return ProcessPool(max_workers=workers, initializer=_confine, initargs=(memory,), context=_Context())


_starting = threading.Lock()


@contextmanager
def _main_unknown() -> Iterator[None]:
    """While it lasts, processes that start do not learn which script to import as their `__main__`."""
    main = sys.modules["__main__"]
    with _starting:
        spec = main.__spec__
        main.__spec__ = ModuleSpec("vecver.__main__", None)
        try:
            yield
        finally:
            main.__spec__ = spec


_BASE: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


class _Worker(_BASE.Process):  # type: ignore[misc]
    """A process that leaves the program's main script alone."""

    def start(self) -> None:
        with _main_unknown():
            super().start()


class _Context(type(_BASE)):  # type: ignore[misc]
    """The start method, with our workers; it holds the pool's locks for as long as the pool exists.

    pebble lets them go before it stops its workers, and one that is still starting then complains on
    stderr (about 1 in 40 runs over a single document).
    """

    Process = _Worker

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Any] = []

    def RLock(self) -> Any:
        self._held.append(super().RLock())
        return self._held[-1]


# -- inside a worker ---------------------------------------------------------------------------


def _read_in_worker(parse: Parse, document: str, data: bytes, passwords: Sequence[str]) -> Outcome:
    try:
        outcome = _read(parse, document, data, passwords)
    except MemoryError:
        os._exit(_NO_MEMORY)
    if isinstance(outcome, Failure) and outcome.code == "out_of_memory":
        os._exit(_NO_MEMORY)
    return outcome


def _confine(memory: int) -> None:
    """Silences the worker and limits its memory, where the system can; no core files."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with suppress(ImportError, OSError, ValueError):  # no such module on Windows, no such limit on macOS
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_mapped() + memory, resource.RLIM_INFINITY))


def _mapped() -> int:
    """Bytes of address space of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
