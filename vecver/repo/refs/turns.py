"""Turns: who changes a small object that many change waits until it is free, so that nobody loses for ever.

Decisions
- 2026-11-26 the turn decides nothing: the swap of the object does. A writer that gets no turn while the object
  stands still, because somebody holds the turn who hangs, goes on without, and may lose its swap. The road not
  taken is only to swap again and again: those with much to do never won against those with little.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vecver.errors import ConflictError
from vecver.store import Store

SECONDS = 10.0  # to wait for a turn while the object stands still
ATTEMPTS = 30  # swaps that may be lost to those who took no turn: some 10 s
_LONGEST = 1.0  # seconds between two of them
_mine = threading.local()  # .held: the turns of this thread, which it does not wait for


@contextmanager
def turn(store: Store, name: str, look: Callable[[], object]) -> Iterator[None]:
    """Hold one's turn at `name`, if it can be had; it ends with its holder. `look` tells how the object stands."""
    held: set[tuple[str, str]] = _mine.__dict__.setdefault("held", set())
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


def pauses() -> Iterator[float]:
    """Seconds to wait after each swap that was lost, longer and longer and never the same."""
    for number in range(ATTEMPTS):
        yield random.uniform(0, min(_LONGEST, 0.01 * 2**number))


def _take(stack: ExitStack, store: Store, name: str, look: Callable[[], object]) -> None:
    """Wait as long as others get their turns."""
    stood = look()
    while True:
        try:
            stack.enter_context(store.lock(name, SECONDS))
            return
        except ConflictError as error:
            if error.code != "locked":
                raise
        before, stood = stood, look()
        if stood == before:
            return
