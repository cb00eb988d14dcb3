"""Large parts side by side: a search of several of them uses the cores that are idle. Changes no answer.

Decisions
1. FAISS and the kernels release Python's lock while they read a part, so threads are enough.
2. Searches in flight share the cores: more threads than cores would only take turns. 10,000,000 rows of 64 dimensions
   in three parts on two cores: one caller 24.5 ms on one thread and 14.5 on two, with as much CPU. Two and four callers
   who took two threads each had 8% and 4% fewer answers a second than with one.
3. Threads are made for each search: 0.1 ms, where a large part takes more than one; a pool that outlives a search
   would be missing in a process that was forked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from vecver.cores import usable_cores

if TYPE_CHECKING:
    from vecver.model import Part

T = TypeVar("T")

_LARGE = 250_000  # live rows
_in_flight: set[object] = set()  # searches; adding and discarding need no lock


def each(parts: Sequence[Part], work: Callable[[Part], T]) -> list[T]:
    """What `work` gives for each part, in order. It may be called in several threads, each in the caller's context."""
    large = [number for number, part in enumerate(parts) if part.live_count >= _LARGE]
    if len(large) < 2:
        return [work(part) for part in parts]
    search = object()
    _in_flight.add(search)
    try:
        threads = min(len(large), usable_cores() // len(_in_flight))
        return _in_threads(threads, large[1:], parts, work) if threads > 1 else [work(part) for part in parts]
    finally:
        _in_flight.discard(search)


def _in_threads(threads: int, shared: Sequence[int], parts: Sequence[Part], work: Callable[[Part], T]) -> list[T]:
    """As `each`; the parts of these numbers are `shared` by all threads, the caller's among them."""
    with ThreadPoolExecutor(threads - 1) as pool:
        others = {number: pool.submit(copy_context().run, work, parts[number]) for number in shared}
        found = {number: work(part) for number, part in enumerate(parts) if number not in others}
        for number in reversed(shared):  # from the end, while the others take them from the beginning
            if others[number].cancel():
                found[number] = work(parts[number])
        return [found[number] if number in found else others[number].result() for number in range(len(parts))]
