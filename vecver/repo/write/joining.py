"""Joining: the layout of a version in which some documents are as another version has them. No row is copied.

The rows of those documents become live where the other version has them; what they replace dies. So a merge writes one
layout and one commit, whatever the documents hold, and its vectors have the bits that they had.

Decisions
1. All chunk rows of a document come from the version that the document comes from, also those that both versions have:
   then the vector root does not depend on which side was merged into which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyroaring import BitMap

from vecver.repo.read.documents import rows_of_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows.layout import Layout, Live, rows_of
from vecver.repo.rows.row_sums import RowSums, counted_sketch
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sketched import SegmentRows
from vecver.repo.write.new_rows import document_ids
from vecver.sketching import Sketch


@dataclass(frozen=True)
class Joined:
    """A layout, and how many chunk rows came to it and went from it."""

    layout: Layout
    came: int
    went: int
    read: tuple[Segment, ...]  # the segments that rows were taken from


def join(ours: Snapshot, theirs: Snapshot, taken: Sequence[str], removed: Sequence[str]) -> Joined:
    """The layout of `ours` with the documents `taken` as `theirs` has them, and without those `removed`.

    Both are in one space, and `theirs` has what is taken.
    """
    before = {live.segment: live for live in ours.layout.segments}
    chunks = {id: BitMap(live.chunks) for id, live in before.items()}
    documents = {id: BitMap(live.documents) for id, live in before.items()}
    gone = rows_of_documents(ours, document_ids([*taken, *removed]))
    for masks, died in zip((documents, chunks), gone, strict=True):
        for number, rows in died.items():
            masks[ours.segments[number].id] -= rows
    new = rows_of_documents(theirs, document_ids(taken))
    for masks, born in zip((documents, chunks), new, strict=True):
        for number, rows in born.items():
            masks[theirs.segments[number].id] = masks.get(theirs.segments[number].id, BitMap()) | rows
    sizes = {live.segment: live for live in (*theirs.layout.segments, *before.values())}
    lives = [
        replace(sizes[id], chunks=chunks.get(id, BitMap()), documents=documents.get(id, BitMap()))
        for id in dict.fromkeys([*before, *(segment.id for segment in theirs.segments)])
    ]
    read = tuple(theirs.segments[number] for number in sorted(new[0].keys() | new[1].keys()))
    return _summed(ours, theirs, lives, read)


def _summed(ours: Snapshot, theirs: Snapshot, lives: Sequence[Live], read: tuple[Segment, ...]) -> Joined:
    """The layout of these live rows, with its roots and its sketch: those of `ours` and what changed."""
    before = {live.segment: live for live in ours.layout.segments}
    opened = {segment.id: segment for segment in (*theirs.segments, *ours.segments)}
    gone, come = list[SegmentRows](), list[SegmentRows]()
    for live in lives:
        old = before.get(live.segment) or replace(live, chunks=BitMap(), documents=BitMap())
        if live != old:
            segment = opened[live.segment]
            gone.append((segment, rows_of(old.chunks - live.chunks), rows_of(old.documents - live.documents)))
            come.append((segment, rows_of(live.chunks - old.chunks), rows_of(live.documents - old.documents)))
    sums = RowSums(ours.layout.roots, ours.layout.sketch or Sketch.empty()) - RowSums.of(gone) + RowSums.of(come)
    layout = Layout(tuple(live for live in lives if live.chunks or live.documents), sums.roots)
    sketch = _sketch(ours, layout, sums.sketch, opened)
    came, went = (sum(len(rows) for _, rows, _ in side) for side in (come, gone))
    return Joined(replace(layout, sketch=sketch), came, went, read)


def _sketch(ours: Snapshot, layout: Layout, summed: Sketch, opened: dict[str, Segment]) -> Sketch | None:
    if ours.layout.sketch:
        return summed if summed.is_of(layout.chunk_count, layout.document_count) else None
    return counted_sketch(layout, opened.values())
