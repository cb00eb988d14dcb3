"""Lets a process fork only between two steps of the threads that work in it.

before a fork          every worker is asked to stop at its next safe point, for at most FORK_SECONDS altogether
after it, the parent   the workers go on
after it, the child    each worker forgets its thread, which the child does not have

Decisions
1. A forked child has every lock as it was at the fork, and only the thread that forked. A lock that the upkeep held is
   never released there: that of `functools.cached_property` up to Python 3.11, or that of the opened versions. Programs
   that fork after a commit (`multiprocessing` does so on Linux up to Python 3.13) would hang at their first search.
2. A step may take seconds, training an index. So the wait is bounded, and the process then forks as it did without it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from weakref import WeakSet

FORK_SECONDS = 5.0


class Steps:
    """The work of one thread at a time, in steps."""

    def __init__(self) -> None:
        self._start()
        _all.add(self)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold back forks until the next `pause`, or until the work ends."""
        with self._step:
            yield

    def pause(self) -> None:
        """Let a fork that waits go first."""
        if not self._may_go_on.is_set():
            self._step.release()
            try:
                self._may_go_on.wait()
            finally:
                self._step.acquire()

    def forked(self) -> None:
        """What a child does first."""
        self._start()

    def stop(self, seconds: float) -> None:
        """Wait for the end of the present step."""
        self._may_go_on.clear()
        self._is_stopped = self._step.acquire(timeout=max(seconds, 0))

    def go_on(self) -> None:
        """Let the work go on."""
        if self._is_stopped:
            self._step.release()
        self._may_go_on.set()

    def _start(self) -> None:
        self._step, self._may_go_on, self._is_stopped = threading.Lock(), threading.Event(), False
        self._may_go_on.set()


_all: WeakSet[Steps] = WeakSet()
_stopped: list[Steps] = []
_fork = threading.RLock()  # one thread forks at a time


def _before() -> None:
    _fork.acquire()
    until = monotonic() + FORK_SECONDS
    _stopped[:] = list(_all)
    for steps in _stopped:
        steps.stop(until - monotonic())


def _in_parent() -> None:
    for steps in _stopped:
        steps.go_on()
    _stopped.clear()
    _fork.release()


def _in_child() -> None:
    global _fork
    _fork = threading.RLock()
    for steps in list(_all):
        steps.forked()
    _stopped.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
