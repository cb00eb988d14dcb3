"""The phases of a search, for whoever listens: embed, propose, re-score, fetch. Nobody listens: nothing is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

Listener = Callable[[str, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(told: Listener) -> Iterator[None]:
    """Tell `told` the name and the seconds of every phase that ends inside, in this thread or task; one may come often.

    with vecver.listening(lambda phase, seconds: print(phase, seconds)): docs.search("...")
    """
    token = _listener.set(told)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """What runs inside is a phase of a search."""
    told = _listener.get()
    if told is None:
        yield
        return
    since = perf_counter()
    try:
        yield
    finally:
        told(name, perf_counter() - since)
