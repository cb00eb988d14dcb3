"""Starts, keeps and stops the processes that parse documents, with pebble and multiprocessing.

Decisions
1. Workers do not import the program's main script. multiprocessing would import it, and a script without an
   `if __name__ == "__main__"` guard would ingest again in each worker. While a worker starts, `__main__` has the module
   spec of a package's `__main__`, which children do not import.
2. Workers are forked from a server that has imported their modules (0.5 s once a process, then 20 ms a worker). They
   are kept for `KEPT` seconds for the next stream, so a service, or a program that ingests document by document, seldom
   starts new ones, and a program that has finished ingesting keeps none.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vecver.errors import BackendError
from vecver.pipeline.parsers.parse import ROOMS
from vecver.pipeline.workers import reading
from vecver.pipeline.workers.reading import confine

if TYPE_CHECKING:
    from pebble import ProcessPool

_LONGEST_FOLDER: Final = 71  # bytes; the name of a socket below it must fit in the 104 of macOS (Linux: 108)
_SHORT_FOLDER: Final = Path("/tmp")
KEPT: Final = 10.0  # seconds that workers wait for another stream
_ROOMS: Final = [f"vecver.pipeline.parsers.{room}" for room in ROOMS]
_IMPORTED: Final = [reading.__name__, *_ROOMS, "markdown_it"]  # by the server, once; most texts are cut as Markdown


def borrow(workers: int) -> ProcessPool:
    """Worker processes for exclusive use, possibly kept from an earlier stream."""
    return _spare.take(workers) or _started(workers)


def fresh() -> ProcessPool:
    """A pool that runs each task in a new process, one at a time."""
    return _started(1, max_tasks=1)


def give_back(processes: ProcessPool, workers: int) -> None:
    """Keep idle processes for the next stream."""
    _spare.put(processes, workers)


def stop(processes: ProcessPool) -> None:
    """Stop the processes, even while they work."""
    processes.stop()  # type: ignore[no-untyped-call]
    processes.join()


def start_server() -> None:
    """Start the server that forks workers; it imports their modules in the background.

    Raises BackendError (TMPDIR is too long for the name of the server's socket, and /tmp cannot be written to).
    """
    if _BASE.get_start_method() == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        _use_short_folder()
        resource_tracker.ensure_running()  # before signals are blocked: it unblocks them when it has started
        _BASE.set_forkserver_preload(_IMPORTED)  # has no effect on a server that runs already
        with _main_script_hidden(), _interrupts_blocked():
            forkserver.ensure_running()


def _use_short_folder() -> None:
    """Let multiprocessing keep the server's socket in a folder of /tmp where the name of TMPDIR is too long for one."""
    from multiprocessing.process import current_process
    from multiprocessing.util import Finalize

    config: dict[str, Any] = current_process()._config  # type: ignore[attr-defined]
    folder = tempfile.gettempdir()
    if "tempdir" in config or len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return
    try:
        short = tempfile.mkdtemp(prefix="pymp-", dir=_SHORT_FOLDER)
    except OSError as error:
        raise BackendError(
            f"documents cannot be parsed: the path of the temporary folder {folder} is too long for a socket",
            code="long_temporary_folder",
            hint=f"set TMPDIR to a folder with a path of at most {_LONGEST_FOLDER} bytes",
        ) from error
    Finalize(None, shutil.rmtree, args=(short, True), exitpriority=-100)  # as multiprocessing does with its own
    config["tempdir"] = short


def _started(workers: int, *, max_tasks: int = 0) -> ProcessPool:
    from pebble import ProcessPool

    from vecver.pipeline.workers.worker_exits import AcknowledgedExits

    start_server()
    atexit.unregister(_spare.stop)
    atexit.register(_spare.stop)  # after multiprocessing's own, so that it runs before that one, which waits for them
    context = _Context()
    pool = ProcessPool(max_workers=workers, max_tasks=max_tasks, initializer=confine, context=context)
    pool._pool_manager = AcknowledgedExits(pool._context, context)  # before the first task, which starts its threads
    return pool


class _Spare:
    """Keeps the processes of the last stream for `KEPT` seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the two below
        self._kept: tuple[int, int, ProcessPool] | None = None  # owner's process id, number of workers, pool
        self._timer: threading.Timer | None = None

    def take(self, workers: int) -> ProcessPool | None:
        """The kept processes, if their number matches and they are usable."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None or kept[0] != os.getpid():  # they belong to this process's parent
            return None
        if kept[1] == workers and kept[2].active:
            return kept[2]
        stop(kept[2])
        return None

    def put(self, processes: ProcessPool, workers: int) -> None:
        """Keep these processes and stop those kept before."""
        self.stop()
        timer = threading.Timer(KEPT, self.stop)
        timer.daemon = True
        with self._lock:
            self._kept, self._timer = (os.getpid(), workers, processes), timer
        timer.start()

    def stop(self) -> None:
        """Stop the kept processes."""
        with self._lock:
            kept, self._kept = self._kept, None
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if kept is not None and kept[0] == os.getpid():
            stop(kept[2])


_spare = _Spare()


# -- how a process starts ----------------------------------------------------------------------

_starting = threading.Lock()


@contextmanager
def _main_script_hidden() -> Iterator[None]:
    """Within it, new processes get no script to import as `__main__`."""
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


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Within it, new processes ignore Ctrl-C, which would end their start with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker(_BASE.Process):  # type: ignore[misc]
    """A process that does not import the program's main script."""

    def start(self) -> None:
        with _main_script_hidden():
            super().start()


class _Context(type(_BASE)):  # type: ignore[misc]
    """The start method, with `_Worker` processes; it keeps the pool's locks alive as long as the pool.

    pebble drops them before it stops its workers, and a worker that is still starting then prints to
    stderr (about 1 in 40 runs over a single document).
    """

    Process = _Worker

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Any] = []

    def RLock(self) -> Any:
        self._held.append(super().RLock())
        return self._held[-1]
