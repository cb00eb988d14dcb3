"""Folding: the rows of several segments written as one, block by block; and what rows add to the roots."""

from __future__ import annotations

from collections.abc import Sequence

from vecver.model import Space
from vecver.repo import rows as columns
from vecver.repo.lookup import Rows
from vecver.repo.roots import Roots, lanes_of
from vecver.repo.segment import Segment, SegmentWriter
from vecver.store import Store

BLOCK_ROWS = 16384  # rows copied at once: 25 MB of 384-d vectors


def fold(store: Store, space: Space, segments: Sequence[Segment]) -> Segment:
    """One segment with all rows of `segments`, in their order. The old ones stay."""
    writer = SegmentWriter(store, space)
    try:
        for segment in segments:
            writer.add(segment.documents, segment.chunks.slice(0, 0), segment.vectors[:0])
            for start in range(0, segment.chunk_count, BLOCK_ROWS):
                block = slice(start, start + BLOCK_ROWS)
                writer.add(None, segment.chunks.slice(start, BLOCK_ROWS), segment.vectors[block])
        return writer.seal()
    finally:
        writer.discard()


def roots_of(segment: Segment, chunks: Rows, documents: Rows) -> Roots:
    """What these rows of a segment add to the roots."""
    content = lanes_of(columns.document_bytes(segment.documents, documents.tolist()))
    vector = Roots.empty().vector
    for start in range(0, len(chunks), BLOCK_ROWS):
        block = chunks[start : start + BLOCK_ROWS].tolist()
        content = content + lanes_of(columns.chunk_bytes(segment.chunks, block))
        vector = vector + lanes_of(columns.vector_bytes(segment.chunks, segment.vectors, block))
    return Roots(content, vector)
