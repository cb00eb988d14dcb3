"""What is summed over the rows of a version, so that the next version adds what came and takes off what went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecver.repo.rows.roots import Roots
from vecver.repo.rows.sketched import SegmentRows, sketch_of_live, sketch_of_rows
from vecver.sketching import Sketch

if TYPE_CHECKING:
    from vecver.repo.rows.layout import Layout
    from vecver.repo.rows.segment import Segment

UNCOUNTED_ROWS = 1 << 16  # chunk rows of a version whose parent has no sketch that are counted when it is made


@dataclass(frozen=True)
class RowSums:
    """What is summed over rows: their roots, and their sketch."""

    roots: Roots
    sketch: Sketch

    @classmethod
    def of(cls, rows: Sequence[SegmentRows]) -> RowSums:
        """Those of these rows."""
        roots = (segment.roots(chunks, documents) for segment, chunks, documents in rows)
        return cls(sum(roots, Roots.empty()), sketch_of_rows(rows))

    def __add__(self, other: RowSums) -> RowSums:
        return RowSums(self.roots + other.roots, self.sketch + other.sketch)

    def __sub__(self, other: RowSums) -> RowSums:
        return RowSums(self.roots - other.roots, self.sketch - other.sketch)


def counted_sketch(layout: Layout, segments: Iterable[Segment]) -> Sketch | None:
    """The sketch of a layout, counted from all its rows; None if these are many. `segments`: those of it, or more."""
    if layout.chunk_count > UNCOUNTED_ROWS:
        return None
    opened = {segment.id: segment for segment in segments}
    return sketch_of_live((opened[live.segment], live) for live in layout.segments)
