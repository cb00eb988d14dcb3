"""Naming: the time between a writer's claim on what it needs and the ref or layout that names it.

gc decides what nothing names while no writer is in that time. Otherwise a unit that a writer had claimed, and that its
branch did not name yet, looked unneeded to two gcs one after the other: the first let it wait, the second deleted it.

Decisions
1. A writer holds one of 16 locks, gc all of them. Writers of different branches seldom wait for each other, and a lock
   ends with its process, so that nothing is left behind by a killed one. A lock costs a commit about 0.1 ms.
2. Who cannot get a lock within 10 s raises ConflictError: nothing is named, or nothing deleted, and the call may be
   repeated.
3. In a bucket a lock is a lease, which passes on from a writer that is stopped for too long. When that wakes up, gc may
   have deleted what it names next. So a writer whose lease may have passed on claims its units once more *after* it
   named them (`confirm`). gc condemns a unit by a swap of the same object that claims change, and only if no claim came
   before: so either the claim wins and the unit stays, or the writer learns that it is condemned or gone, takes back
   what it named, and raises. Nothing that was reported as done is lost. A claim after every naming would do without
   locks, but costs two round trips.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING

from vecver.errors import ConflictError, VecverError

if TYPE_CHECKING:
    from vecver.store import Store
    from vecver.store.api import Still

SECONDS = 10.0  # to wait for a lock
_LOCKS = 16
_thread = threading.local()  # .held: the stores in whose naming this thread is, and what their locks gave; .next
_taken = count()  # locks of this process so far


@contextmanager
def naming(store: Store) -> Iterator[Still]:
    """What is claimed within it cannot be condemned before it ends. May be nested. Raises ConflictError (locked).

    What was named within is then confirmed (`confirm`), with what this gives.
    """
    from vecver.repo.maintain import trash

    held: dict[str, Still] = _thread.__dict__.setdefault("held", {})
    if store.url in held:
        yield held[store.url]
        return
    name = _next_lock()
    _thread.next = None
    with store.lock(name, SECONDS) as still:
        held[store.url] = still
        try:
            with store.moment([trash.NAME], anew=True):  # as it was read before the lock, it may lack what gc did
                yield still
        finally:
            del held[store.url]


def locks_ahead(store: Store) -> list[str]:
    """The lock that this thread's next `naming` takes, for `Store.moment`; none where it holds one already."""
    return [] if store.url in _thread.__dict__.get("held", {}) else [_next_lock()]


def _next_lock() -> str:
    """Another one each time: in a bucket the last one is perhaps still being let go."""
    if not _thread.__dict__.get("next"):
        _thread.next = _lock_name((os.getpid() + next(_taken)) % _LOCKS)
    return str(_thread.next)


def confirm(store: Store, still: Still, hold: Callable[[], None], take_back: Callable[[], object]) -> None:
    """After something was named: if gc may have condemned it meanwhile, claim it once more, or take the name back.

    `hold` raises ConflictError or NotFoundError where a unit is condemned or gone; that is raised, after `take_back`.
    """
    from vecver.repo.maintain import trash

    try:
        still()
        return
    except ConflictError:
        pass
    try:
        with store.moment([trash.NAME], anew=True):
            hold()
    except VecverError:
        take_back()
        raise


@contextmanager
def nobody_naming(store: Store) -> Iterator[None]:
    """No writer is between its claim and the ref that names what it claimed. Raises ConflictError (locked)."""
    with ExitStack() as stack:
        for number in range(_LOCKS):
            stack.enter_context(store.lock(_lock_name(number), SECONDS))
        yield


def _lock_name(number: int) -> str:
    return f"naming-{number}"
