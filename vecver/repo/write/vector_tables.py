"""Vector tables: which segment holds the vector of a text, so that a text is embedded once, whichever version had it.

    vectors/<space>/<digest>   MAGIC, n and m (uint64); n prefixes (uint64, sorted) of the names of what was embedded,
                               n numbers (uint32) of segments, the m ids of these (32 bytes each); little-endian

A table is a hint: the reader compares whole names in the segment. If a table is lost, damaged or out of date, a text is
embedded again. So its digest is not checked, and a look-up reads only the few bytes that it needs.

Decisions
1. A commit adds a table of its own rows, and tables of one size class become one when there are more than MANY, as
   segments do. Before there were tables, every commit opened every segment: 430 ms of CPU at 300 commits.
2. If a space has no table, an older vecver wrote it, and its segments are read once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecver.digest import digest
from vecver.errors import NotFoundError, VecverError
from vecver.model import Space
from vecver.repo.rows import sorted_keys
from vecver.repo.rows.segment import Segment, segment_ids
from vecver.repo.rows.segment_files import path_of
from vecver.repo.rows.sorted_keys import Keys
from vecver.repo.write.table_classes import crowded
from vecver.store import Store

_ATTEMPTS = 3
_MAGIC = b"vectable"
_ID_BYTES = 32


@dataclass(frozen=True)
class Table:
    """Prefix `prefixes[i]` is that of a row of `segments[numbers[i]]`."""

    segments: npt.NDArray[np.uint8]  # (m, 32)
    prefixes: npt.NDArray[np.uint64]  # (n,), sorted
    numbers: npt.NDArray[np.uint32]  # (n,)


def table_of(segments: Iterable[Segment]) -> Table:
    """The rows of these segments, read one after the other."""
    parts = [(segment.id, sorted_keys.prefixes(segment.embedded)) for segment in segments]
    numbers = np.repeat(np.arange(len(parts), dtype="<u4"), [len(prefixes) for _, prefixes in parts])
    prefixes = np.concatenate([_NONE, *(prefixes for _, prefixes in parts)])
    order = np.argsort(prefixes, kind="stable")
    ids = np.frombuffer(bytes.fromhex("".join(id for id, _ in parts)), np.uint8).reshape(-1, _ID_BYTES)
    return Table(ids, prefixes[order], numbers[order])


def scanned(store: Store, space: Space) -> Table:
    """The rows of every segment in a space, even of those that no layout names."""
    opened = (open_segment(store, id) for id in segment_ids(store))
    return table_of(segment for segment in opened if segment and segment.space.id == space.id)


def load(store: Store, space: Space, names: Sequence[str]) -> list[Table] | None:
    """The tables of a space, of which these were listed; None where it never had one."""
    for attempt in range(_ATTEMPTS):
        names = list(store.list(folder_of(space))) if attempt else names
        store.bring(names)
        try:
            tables = [_read(store, name) for name in names]
        except NotFoundError:  # another writer merged several of them
            continue
        return [table for table in tables if table] if names else None
    return []


def find(tables: Sequence[Table], wanted: Keys) -> dict[str, list[int]]:
    """Segment id -> the `i` whose `wanted[i]` it may hold; segments of the largest tables first."""
    candidates: dict[str, list[int]] = defaultdict(list)
    query = sorted_keys.prefixes(wanted)
    for table in sorted(tables, key=lambda table: -len(table.prefixes)):
        low = np.searchsorted(table.prefixes, query, side="left")
        high = np.searchsorted(table.prefixes, query, side="right")
        for i in np.flatnonzero(high > low).tolist():
            for number in dict.fromkeys(table.numbers[low[i] : high[i]].tolist()):
                if number < len(table.segments):  # else the table is damaged
                    candidates[table.segments[number].tobytes().hex()].append(i)
    return candidates


def add(store: Store, space: Space, tables: Sequence[Table]) -> None:
    """Save a table of more rows, and merge tables when they are many."""
    new = _merged(tables)
    if len(new.prefixes):
        _save(store, space, new)
    for names in crowded(store, folder_of(space)):
        with suppress(NotFoundError):  # another writer is merging them
            read = (_read(store, name) for name in names)
            sound = [table for table in read if table and (table.numbers < len(table.segments)).all()]
            merged = _save(store, space, _merged(sound, store))
            store.delete(*({*names} - {merged}))


def remember(store: Store, space: Space, segments: Sequence[Segment]) -> None:
    """Add rows that were copied into new segments, if the space has tables."""
    if next(iter(store.list(folder_of(space))), None):
        add(store, space, [table_of(segments)])


def open_segment(store: Store, id: str) -> Segment | None:
    """A segment to copy vectors from; None if it is damaged or was deleted since it was listed."""
    try:
        segment = Segment(store, id)
        segment.find_embedded(sorted_keys.as_keys([]))
        return segment if segment.vectors.size else None
    except VecverError:
        return None


_NONE: npt.NDArray[np.uint64] = np.zeros(0, "<u8")


def _merged(tables: Sequence[Table], store: Store | None = None) -> Table:
    """One table; of equal rows it keeps the one in the segment with the most of them.

    `store`: leave out segments that it does not have any more.
    """
    starts = np.cumsum([0, *(len(table.segments) for table in tables)])
    ids = np.concatenate([np.zeros((0, _ID_BYTES), np.uint8), *(table.segments for table in tables)])
    prefixes = np.concatenate([_NONE, *(table.prefixes for table in tables)])
    pieces = (table.numbers.astype(np.int64) + start for table, start in zip(tables, starts, strict=False))
    numbers = np.concatenate([np.zeros(0, np.int64), *pieces])
    counts = np.bincount(numbers, minlength=len(ids))
    order = np.lexsort((-counts[numbers], prefixes))
    if store:
        exists = store.has_all([path_of(id.tobytes().hex(), "segment.json") for id in ids])
        order = order[np.array(exists, bool)[numbers[order]]]
    first = np.ones(len(order), bool)
    first[1:] = prefixes[order[1:]] != prefixes[order[:-1]]
    order = order[first]
    used, renumbered = np.unique(numbers[order], return_inverse=True)
    return Table(ids[used], prefixes[order], renumbered.astype("<u4"))


def _save(store: Store, space: Space, table: Table) -> str:
    counts = np.array([len(table.prefixes), len(table.segments)], "<u8")
    arrays = (counts, table.prefixes.astype("<u8"), table.numbers.astype("<u4"), table.segments)
    content = _MAGIC + b"".join(array.tobytes() for array in arrays)
    name = folder_of(space) + digest(content)
    store.put(name, content)
    return name


def _read(store: Store, name: str) -> Table | None:
    """A table, mapped; None where it is damaged. Raises NotFoundError."""
    content = memoryview(store.map(name, fixed=True))
    if len(content) < 24 or content[:8] != _MAGIC:
        return None
    n, m = (int(count) for count in np.frombuffer(content, "<u8", 2, 8))
    if len(content) != 24 + 12 * n + _ID_BYTES * m:
        return None
    ids = np.frombuffer(content, np.uint8, _ID_BYTES * m, 24 + 12 * n).reshape(m, _ID_BYTES)
    return Table(ids, np.frombuffer(content, "<u8", n, 24), np.frombuffer(content, "<u4", n, 24 + 8 * n))


def folder_of(space: Space) -> str:
    """The store's folder of the tables of a space, with a `/`."""
    return f"vectors/{space.id}/"
