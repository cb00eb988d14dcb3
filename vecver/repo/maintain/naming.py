"""Naming: the time between a writer's claim on what it needs and the ref or layout that names it.

gc decides what nothing names while no writer is in that time. Otherwise a unit that a writer had claimed, and that its
branch did not name yet, looked unneeded to two gcs one after the other: the first let it wait, the second deleted it.

Decisions
1. A writer holds one of 16 locks, gc all of them. Writers of different branches seldom wait for each other, and a lock
   ends with its process, so that nothing is left behind by a killed one. A lock costs a commit about 0.1 ms.
2. Who cannot get a lock within 10 s raises ConflictError: nothing is named, or nothing deleted, and the call may be
   repeated.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecver.store import Store

SECONDS = 10.0  # to wait for a lock
_LOCKS = 16
_thread = threading.local()  # .held: the stores in whose naming this thread is


@contextmanager
def naming(store: Store) -> Iterator[None]:
    """What is claimed within it cannot be condemned before it ends. May be nested. Raises ConflictError (locked)."""
    held: set[str] = _thread.__dict__.setdefault("held", set())
    if store.url in held:
        yield
        return
    with store.lock(_lock_name((os.getpid() ^ threading.get_ident() >> 12) % _LOCKS), SECONDS):
        held.add(store.url)
        try:
            yield
        finally:
            held.discard(store.url)


@contextmanager
def nobody_naming(store: Store) -> Iterator[None]:
    """No writer is between its claim and the ref that names what it claimed. Raises ConflictError (locked)."""
    with ExitStack() as stack:
        for number in range(_LOCKS):
            stack.enter_context(store.lock(_lock_name(number), SECONDS))
        yield


def _lock_name(number: int) -> str:
    return f"naming-{number}"
