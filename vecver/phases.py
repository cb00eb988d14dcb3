"""What a call is doing, for whoever listens: the phases of a search as they end, the steps of long work as they begin.

Without a listener neither costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

Listener = Callable[[str, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_follower: ContextVar[Callable[[str], object] | None] = ContextVar("follower", default=None)


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


@contextmanager
def following(told: Callable[[str], object]) -> Iterator[None]:
    """Tell `told` the name of every step that begins inside, and "" when it ends, in this thread or task."""
    token = _follower.set(told)
    try:
        yield
    finally:
        _follower.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """What runs inside takes long and cannot be counted, such as loading a model."""
    told = _follower.get()
    if told is None:
        yield
        return
    told(name)
    try:
        yield
    finally:
        told("")
