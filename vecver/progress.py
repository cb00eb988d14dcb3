"""Callbacks by which a call reports what it is doing; none of them costs anything until a caller sets one.

    Progress            the `progress` argument of every long call: counts of what is done
    listening, phase    how long each phase of a search took
    following, step     the name of a step that cannot be counted, such as loading a model

`phase` and `step` stand around the work; `listening` and `following` set the callback that they call, for the current
thread or task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from time import perf_counter
from typing import Protocol

PhaseListener = Callable[[str, float], None]
StepListener = Callable[[str], object]

_phase_listener: ContextVar[PhaseListener | None] = ContextVar("phase_listener", default=None)
_step_listener: ContextVar[StepListener | None] = ContextVar("step_listener", default=None)
_UNTIMED = nullcontext()  # one for all: a search enters some six phases, and a generator for each takes 10 us


class Progress(Protocol):
    """Called with each amount of work that is done, in units such as "documents", "chunks", "index rows"."""

    def __call__(self, unit: str, count: int, total: int | None = None, /) -> None:
        """`count` more of this unit are done. `total`: how many there will be, or None while that is not known."""


@contextmanager
def listening(listener: PhaseListener) -> Iterator[None]:
    """Call `listener(phase, seconds)` each time a phase of a search ends inside; a phase may occur several times.

    A search of several large parts calls it from the threads that read them, and the sum of its phases may be longer
    than the search.

    with vecver.listening(lambda phase, seconds: print(phase, seconds)): docs.search("...")
    """
    token = _phase_listener.set(listener)
    try:
        yield
    finally:
        _phase_listener.reset(token)


def has_listener() -> bool:
    """True inside `listening`: then work that a phase times is not put off."""
    return _phase_listener.get() is not None


def phase(name: str) -> AbstractContextManager[None]:
    """Time what runs inside as one phase of a search."""
    listener = _phase_listener.get()
    return _UNTIMED if listener is None else _timed(name, listener)


@contextmanager
def _timed(name: str, listener: PhaseListener) -> Iterator[None]:
    since = perf_counter()
    try:
        yield
    finally:
        listener(name, perf_counter() - since)


@contextmanager
def following(listener: StepListener) -> Iterator[None]:
    """Call `listener(name)` when a step begins inside, and `listener("")` when it ends."""
    token = _step_listener.set(listener)
    try:
        yield
    finally:
        _step_listener.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Report what runs inside as one step: it takes long and cannot be counted."""
    listener = _step_listener.get()
    if listener is None:
        yield
        return
    listener(name)
    try:
        yield
    finally:
        listener("")
