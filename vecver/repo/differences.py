"""What lies between two versions, from their layouts; reads only rows that one side lacks.

Equal (segment, mask) pairs are skipped unread, shared segments are one bitmap difference, and only
the rows that are left are compared, by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TypeVar

import numpy as np
import pyarrow as pa

from vecver.model import Diff
from vecver.repo import rows as columns
from vecver.repo.layout import rows_of
from vecver.repo.lookup import Keys, Rows
from vecver.repo.segment import Segment
from vecver.repo.snapshot import Snapshot

Row = tuple[bytes, Segment, int]
T = TypeVar("T")


def diff(before: Snapshot, after: Snapshot) -> Diff:
    """Documents and chunks of `after` against `before`."""
    old, new = lacking_documents(before, after), lacking_documents(after, before)
    common = old.keys() & new.keys()
    chunks_old, chunks_new = _chunk_keys(before, after), _chunk_keys(after, before)
    return Diff(
        before=before.commit.id,
        after=after.commit.id,
        added=tuple(sorted(new.keys() - common)),
        changed=_changed(old, new, common),
        removed=tuple(sorted(old.keys() - common)),
        chunks_added=len(_without(chunks_new, chunks_old)),
        chunks_removed=len(_without(chunks_old, chunks_new)),
    )


def lacking(one: Snapshot, other: Snapshot) -> Iterator[tuple[Segment, Rows, Rows]]:
    """Per segment of `one`: the chunk rows and document rows that are not live, in place, in `other`."""
    there = {live.segment: live for live in other.layout.segments}
    for segment, live in zip(one.segments, one.layout.segments, strict=True):
        same = there.get(live.segment)
        if same == live:
            continue
        chunks = live.chunks - same.chunks if same else live.chunks
        documents = live.documents - same.documents if same else live.documents
        yield segment, rows_of(chunks), rows_of(documents)


def lacking_documents(one: Snapshot, other: Snapshot) -> dict[str, Row]:
    """name -> (source digest, segment, row), for the document rows that `other` lacks in place."""
    found: dict[str, Row] = {}
    for segment, _, rows in lacking(one, other):
        picked = segment.documents.select(["document", "digest"]).take(pa.array(rows))
        names, digests = (picked.column(name).to_pylist() for name in ("document", "digest"))
        found.update(zip(names, zip(digests, repeat(segment), rows.tolist(), strict=False), strict=True))
    return found


def _changed(old: dict[str, Row], new: dict[str, Row], common: set[str]) -> tuple[str, ...]:
    """The documents whose rows differ. Where the sources' bytes are equal, all that a row says is compared."""
    same = [name for name in common if old[name][0] == new[name][0]]
    read = columns.document_bytes
    pairs = zip(same, read_documents(old, same, read), read_documents(new, same, read), strict=True)
    return tuple(sorted(common - {name for name, a, b in pairs if a == b}))


def read_documents(
    rows: dict[str, Row], names: Sequence[str], read: Callable[[pa.Table, list[int]], Iterable[T]]
) -> list[T]:
    """What `read` says of these documents' rows, in the order of `names`; it is asked once a segment."""
    places: dict[Segment, list[tuple[str, int]]] = {}
    for name in names:
        _, segment, row = rows[name]
        places.setdefault(segment, []).append((name, row))
    found: dict[str, T] = {}
    for segment, here in places.items():
        values = read(segment.documents, [row for _, row in here])
        found.update(zip([name for name, _ in here], values, strict=True))
    return [found[name] for name in names]


def _chunk_keys(one: Snapshot, other: Snapshot) -> Keys:
    keys = [segment.keys[rows] for segment, rows, _ in lacking(one, other)]
    return np.concatenate(keys) if keys else np.zeros((0, 16), np.uint8)


def _without(keys: Keys, others: Keys) -> set[bytes]:
    """The keys that are not among the others."""
    return {key.tobytes() for key in keys} - {key.tobytes() for key in others}
