"""Size classes of tables: an ingest adds a small table, and the tables of a class become one when they are many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from vecver.store import Store

MANY = 8  # tables of a class that stay apart
_CLASS = 8  # a class begins at so many times the bytes of the one before


def crowded(store: Store, folder: str) -> Iterator[list[str]]:
    """The names of the tables of each class that has more than MANY, the smallest first. `folder`: with its `/`."""
    classes: dict[int, list[str]] = defaultdict(list)
    names = list(store.list(folder))
    with store.moment((), names):
        for name in names:
            classes[_class_of(store.size(name) or 0)].append(name)
    yield from (names for _, names in sorted(classes.items()) if len(names) > MANY)


def _class_of(size: int) -> int:
    number = 0
    while size >= _CLASS ** (number + 1):
        number += 1
    return number
