"""Remembers which searches were short of late, so that the next one may run on the event loop's own thread.

    record    after each search that could have run there: which opened version answered, and in how many seconds
    allows    before a search: did the last ones of this revision end in time, in a version that is open still?

A thread of its own costs a search more than its HTTP does: it must be woken, and takes the interpreter from the loop.
But what runs on the loop holds up every other request. So a revision is searched there only after some short
searches in threads, and no longer once a search took long, its version was closed or opened anew, or the last search
is so long ago that the version's files may have left the memory; and not while a thread opens another version, which
every search waits for.

Decisions
1. The version is compared as an object, not by its id: one that was closed and opened again has no index open yet.
2. In threads searches wait for the interpreter, and on a busy machine for a core: 0.5 ms of work take 3 to 20 ms. So
   their work is measured in seconds of CPU. The clock has a limit of its own, for files that come from a slow disk.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any
from weakref import ref

from vecver.errors import VecverError

if TYPE_CHECKING:
    import vecver

CPU_S = 0.003  # of a short search; of several that ran as one call, each
CLOCK_S = 0.1  # of the call
FIRST = 3  # searches in a row that must have been short, in threads
FRESH_S = 10.0  # after which the next search begins in a thread
_REVISIONS = 1024  # that are remembered


class Stopwatch:
    """Times the work of this thread from now on."""

    def __init__(self) -> None:
        self._clock, self._cpu = monotonic(), thread_time()

    def short(self, searches: int) -> bool:
        """Whether so many searches took no longer than searches on the event loop may."""
        return thread_time() - self._cpu <= CPU_S * searches and monotonic() - self._clock <= CLOCK_S


@dataclass(frozen=True)
class _Streak:
    """Short searches in a row."""

    version: ref[Any]  # the opened version that answered
    count: int
    ended: float  # the last of them, of `monotonic`


class ShortSearches:
    """The latest searches by dataset and revision."""

    def __init__(self) -> None:
        self._streaks: OrderedDict[tuple[str, str], _Streak] = OrderedDict()

    def allows(self, docs: vecver.Dataset, revision: str) -> bool:
        """Whether a search of this revision may be expected to be short."""
        streak = self._streaks.get((docs.name, revision))
        if streak is None or streak.count < FIRST or monotonic() - streak.ended > FRESH_S:
            return False
        version = _opened(docs, revision, at_once=True)
        return version is not None and version is streak.version()

    def record(self, docs: vecver.Dataset, revision: str, commit: str, *, short: bool) -> None:
        """Count a search that `commit` answered."""
        version, name = _opened(docs, commit), (docs.name, revision)
        if version is None or not short:
            self._streaks.pop(name, None)
            return
        streak = self._streaks.get(name)
        count = streak.count if streak and streak.version() is version else 0
        self._streaks[name] = _Streak(ref(version), count + 1, monotonic())
        if len(self._streaks) > _REVISIONS:
            self._streaks.popitem(last=False)


def _opened(docs: vecver.Dataset, revision: str, *, at_once: bool = False) -> object | None:
    """The opened version; None also where the revision is gone, which the search will say."""
    with suppress(VecverError):
        return docs.opened(revision, at_once=at_once)
    return None
