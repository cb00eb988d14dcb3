"""Runs calls that wait for a store beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vecver.store import Store

WORKERS = 16  # a request to an object store takes 20 to 50 ms, nearly all of it waiting
_LISTED_AT_ONCE = 200  # sizes that cost more than listing a folder of a thousand names

T = TypeVar("T")
R = TypeVar("R")


def each(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results in the order of the items. Raises the first error; calls that had not begun are not made."""
    waiting = list(items)
    if len(waiting) < 2:
        return [call(item) for item in waiting]
    pool = ThreadPoolExecutor(min(WORKERS, len(waiting)), thread_name_prefix="vecver-sync")
    try:
        return list(pool.map(call, waiting))
    finally:
        pool.shutdown(cancel_futures=True)


def present(store: Store, names: Iterable[str], folder: str) -> set[str]:
    """Those of these names, all in one folder, that the store has."""
    wanted = set(names)
    if len(wanted) > _LISTED_AT_ONCE:
        return wanted.intersection(store.list(f"{folder}/"))
    ordered = sorted(wanted)
    return {name for name, is_there in zip(ordered, store.has_all(ordered), strict=True) if is_there}
