"""What a worker does: reads documents and cuts them into pieces, within limits on CPU time and memory.

It runs in the process that it limits, and knows nothing of the processes around it.

Decisions
- 2026-11-21 The memory limit counts from what a worker has mapped once its libraries are loaded:
  numpy alone reserves gigabytes of addresses where there are many cores.
- 2026-11-21 A worker that runs out of memory leaves with its own exit code, since what it still holds
  could fail the next document.
- 2026-11-26 Limits hold while documents are read and their outcomes pickled, not while these are sent: a
  worker that is killed then would leave the pipe locked for the others.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from vecver.model import Failure, Json, Parsed
from vecver.pipeline.chunkers.pieces import with_pieces
from vecver.pipeline.parsers.media_types import Unreadable

Outcome = Parsed | Failure
Parse = Callable[[bytes, str, Sequence[str]], Parsed]

NO_MEMORY: Final = 86  # exit code of a worker that ran out of memory


@dataclass(frozen=True)
class Reading:
    """How documents are read, and what one may cost."""

    parse: Parse
    passwords: tuple[str, ...]
    chunker: Json | None  # the recipe to cut by; None: texts are not cut
    cpu: float  # seconds
    timeout: float  # seconds by the clock
    memory: int  # bytes of address space, on top of a worker's libraries


class Item(NamedTuple):
    """What a worker needs of an original."""

    document: str
    data: bytes | None
    text: str | None
    title: str


def record(text: str, title: str) -> Parsed:
    """A record brings its text: it is taken as it is."""
    return Parsed(text, title, "text/plain", "record")


def read_in_worker(reading: Reading, items: list[Item]) -> bytes:
    """The outcomes of `items`, pickled: that may take much memory, too."""
    try:
        with _limited(reading):
            return pickle.dumps([read(reading, item) for item in items], protocol=5)
    except MemoryError:
        os._exit(NO_MEMORY)


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
    return with_pieces(parsed, reading.chunker) if reading.chunker else parsed


@contextmanager
def _limited(reading: Reading) -> Iterator[None]:
    """Limits what this process may take while it reads, where the system can."""
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
        with suppress(OSError, ValueError):  # macOS has none on memory; or a lower one holds already
            resource.setrlimit(limit, (most, before[limit][1]))
    try:
        yield
    finally:
        for limit, usual in before.items():
            with suppress(OSError, ValueError):
                resource.setrlimit(limit, usual)


_idle_bytes = 0  # address space of this process before its first document


def confine() -> None:
    """Silences the worker; no core files."""
    global _idle_bytes
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _idle_bytes = _mapped()


def _mapped() -> int:
    """Bytes of address space of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
