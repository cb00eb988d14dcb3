"""What lies between two versions, from their layouts; reads only rows that one side lacks.

Equal (segment, mask) pairs are skipped unread, shared segments are one bitmap difference, and only
the rows that are left are compared, by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import pyarrow as pa

from vecver.model import Diff
from vecver.repo import rows as columns
from vecver.repo.layout import rows_of
from vecver.repo.lookup import Keys, Rows
from vecver.repo.segment import Segment
from vecver.repo.snapshot import Snapshot

Row = tuple[bytes, Segment, int]


def diff(before: Snapshot, after: Snapshot) -> Diff:
    """Documents and chunks of `after` against `before`."""
    old, new = _documents(before, after), _documents(after, before)
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


def _lacking(one: Snapshot, other: Snapshot) -> Iterator[tuple[Segment, Rows, Rows]]:
    """Per segment of `one`: the chunk rows and document rows that are not live, in place, in `other`."""
    there = {live.segment: live for live in other.layout.segments}
    for segment, live in zip(one.segments, one.layout.segments, strict=True):
        same = there.get(live.segment)
        if same == live:
            continue
        chunks = live.chunks - same.chunks if same else live.chunks
        documents = live.documents - same.documents if same else live.documents
        yield segment, rows_of(chunks), rows_of(documents)


def _documents(one: Snapshot, other: Snapshot) -> dict[str, Row]:
    """name -> (source digest, segment, row), for the document rows that `other` lacks in place."""
    found: dict[str, Row] = {}
    for segment, _, rows in _lacking(one, other):
        picked = segment.documents.select(["document", "digest"]).take(pa.array(rows))
        names, digests = (picked.column(name).to_pylist() for name in ("document", "digest"))
        found.update(zip(names, zip(digests, repeat(segment), rows.tolist(), strict=False), strict=True))
    return found


def _changed(old: dict[str, Row], new: dict[str, Row], common: set[str]) -> tuple[str, ...]:
    """The documents whose rows differ. Where the sources' bytes are equal, all that a row says is compared."""
    same = [name for name in common if old[name][0] == new[name][0]]
    equal = {name for name, a, b in zip(same, _identities(old, same), _identities(new, same), strict=True) if a == b}
    return tuple(sorted(common - equal))


def _identities(rows: dict[str, Row], names: list[str]) -> list[bytes]:
    """The canonical bytes of documents' rows."""
    places: dict[Segment, list[tuple[int, int]]] = {}
    for number, name in enumerate(names):
        _, segment, row = rows[name]
        places.setdefault(segment, []).append((number, row))
    found = [b""] * len(names)
    for segment, here in places.items():
        identities = columns.document_bytes(segment.documents, [row for _, row in here])
        for (number, _), identity in zip(here, identities, strict=True):
            found[number] = identity
    return found


def _chunk_keys(one: Snapshot, other: Snapshot) -> Keys:
    keys = [segment.keys[rows] for segment, rows, _ in _lacking(one, other)]
    return np.concatenate(keys) if keys else np.zeros((0, 16), np.uint8)


def _without(keys: Keys, others: Keys) -> set[bytes]:
    """The keys that are not among the others."""
    return {key.tobytes() for key in keys} - {key.tobytes() for key in others}
