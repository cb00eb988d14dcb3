"""Turns: writers of one small object take turns, so that none of them loses its swap for ever.

Decisions
1. The turn decides nothing; the swap of the object does. A writer that gets no turn while the object does not change,
   because the holder hangs, goes on without one and may lose its swap. With swaps alone, writers that had much to do
   never won against those with little.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from vecver.errors import ConflictError

if TYPE_CHECKING:
    from vecver.store import Store

SECONDS = 10.0  # to wait for a turn while the object does not change
ATTEMPTS = 30  # swaps that may be lost to writers without a turn: some 10 s
_LONGEST = 1.0  # seconds between two attempts
_thread = threading.local()  # .held: the turns that this thread has, for which it does not wait


@contextmanager
def turn(store: Store, name: str, look: Callable[[], object]) -> Iterator[None]:
    """Hold the turn at `name` if it can be had; it ends with the process. `look` reads the state of the object."""
    held: set[tuple[str, str]] = _thread.__dict__.setdefault("held", set())
    key = store.url, name
    if key in held:
        yield
        return
    held.add(key)
    try:
        with ExitStack() as stack:
            _take(stack, store, name, look)
            yield
    finally:
        held.discard(key)


def turns_ahead(store: Store, name: str) -> list[str]:
    """The lock of a turn, for `Store.moment`; none where this thread has the turn already."""
    return [] if (store.url, name) in _thread.__dict__.get("held", ()) else [name]


def pauses() -> Iterator[float]:
    """Seconds to wait after each lost swap: random, up to twice as long each time."""
    for number in range(ATTEMPTS):
        yield random.uniform(0, min(_LONGEST, 0.01 * 2**number))


def _take(stack: ExitStack, store: Store, name: str, look: Callable[[], object]) -> None:
    """Wait as long as other writers get their turns."""
    with suppress(ConflictError):
        stack.enter_context(store.lock(name, 0))
        return
    state = look()
    while True:
        try:
            stack.enter_context(store.lock(name, SECONDS))
            return
        except ConflictError as error:
            if error.code != "locked":
                raise
        before, state = state, look()
        if state == before:
            return
