"""What this process read of a bucket's changing names a moment ago, for readers to whom that is good enough.

    find       what was read of a name at most so long ago; once it is half as old it is read again meanwhile
    read       reads a name now, for `find`
    wrote      forgets a name that this process wrote: it reads its own writes

Decisions
1. The age counts from before the request was sent. So who allows two seconds sees, at any time, everything that was
   written two seconds before, however slow the bucket is.
2. Reading again is done in the background, by one request a name, as long as the name is asked for. A search that
   reads four refs of a bucket waited for a round trip each time, 20 ms from S3, for refs that move once a day.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

_NAMES: Final = 4096  # that are remembered
Body = bytes | None


class Lately:
    """The bodies that were read of names, and when. `read_now`: reads a name; None: there is no such name."""

    def __init__(self, read_now: Callable[[str], Body]) -> None:
        self._read_now = read_now
        self._bodies: OrderedDict[str, tuple[float, Body]] = OrderedDict()  # with the time before the request
        self._wrote: OrderedDict[str, float] = OrderedDict()  # when this process wrote a name last
        self._underway: set[str] = set()  # names that are read again
        self._lock = threading.Lock()

    def has(self, name: str, age_s: float) -> bool:
        """Was it read at most so long ago?"""
        known = self._bodies.get(name)
        return known is not None and time.monotonic() - known[0] <= age_s

    def find(self, name: str, age_s: float, workers: Executor) -> tuple[Body] | None:
        """(what was read of a name,) if that was at most so long ago; it is read again when half of that is over."""
        with self._lock:
            asked, body = self._bodies.get(name, (0.0, None))
            age = time.monotonic() - asked
            if name not in self._bodies or age > age_s:
                return None
            again = age > age_s / 2 and name not in self._underway
            if again:
                self._underway.add(name)
        if again:
            workers.submit(self._read_again, name)
        return (body,)

    def read(self, name: str) -> Body:
        """Read a name now. Raises what reading raises."""
        asked = time.monotonic()
        body = self._read_now(name)
        with self._lock:
            if self._wrote.get(name, -1.0) < asked:  # else it may be what lay there before
                _remember(self._bodies, name, (asked, body))
        return body

    def wrote(self, name: str) -> None:
        """Forget a name that was written, as far as this process knows."""
        with self._lock:
            self._bodies.pop(name, None)
            _remember(self._wrote, name, time.monotonic())

    def _read_again(self, name: str) -> None:
        try:
            self.read(name)  # an error is raised where it is in a search's way, once what is known is too old
        finally:
            with self._lock:
                self._underway.discard(name)


def _remember(known: OrderedDict[str, Any], name: str, value: Any) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > _NAMES:
        known.popitem(last=False)
