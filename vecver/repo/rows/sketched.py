"""Sketches of rows that lie in segments; `vecver.sketching` has the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.model import Vectors
from vecver.repo.rows import schema
from vecver.repo.rows.layout import Live, rows_of
from vecver.repo.rows.sorted_keys import Rows
from vecver.sketching import Sketch, sketch_of_chunks, sketch_of_documents

if TYPE_CHECKING:
    from vecver.repo.rows.segment import Segment

SegmentRows = tuple["Segment", Rows, Rows]  # chunk rows, document rows

BLOCK_ROWS = 4096  # counted at once: 6 MB of rounded vectors of 384 numbers


def sketch_of_rows(rows: Iterable[SegmentRows]) -> Sketch:
    """The sketch of these rows. Those of several segments are counted together: each call costs 0.3 ms."""
    sketch, waiting, count = Sketch.empty(), list[tuple[pa.Array, Vectors]](), 0
    for segment, chunks, documents in rows:
        for numbers, texts, vectors in chunk_blocks(segment, chunks):
            if count + len(numbers) > BLOCK_ROWS:
                sketch, waiting, count = sketch + _counted(waiting), [], 0
            waiting.append((texts, vectors))
            count += len(numbers)
        if len(documents):
            sketch = sketch + sketch_of_documents(*document_sizes(segment, documents))
    return sketch + _counted(waiting)


def sketch_of_live(rows: Iterable[tuple[Segment, Live]]) -> Sketch:
    """The sketch of the live rows of these segments."""
    return sketch_of_rows((segment, rows_of(live.chunks), rows_of(live.documents)) for segment, live in rows)


def _counted(blocks: Sequence[tuple[pa.Array, Vectors]]) -> Sketch:
    if not blocks:
        return Sketch.empty()
    if len(blocks) == 1:
        return sketch_of_chunks(*blocks[0])
    return sketch_of_chunks(pa.concat_arrays([texts for texts, _ in blocks]), np.concatenate([v for _, v in blocks]))


def chunk_blocks(segment: Segment, rows: Rows) -> Iterator[tuple[Rows, pa.Array, Vectors]]:
    """(rows, their texts, their vectors) of chunk rows, in blocks."""
    table = segment.chunks.select(["text"])
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        follow = block[-1] - block[0] == len(block) - 1 and bool((np.diff(block) == 1).all())
        vectors = segment.vectors[block[0] : block[-1] + 1] if follow else segment.vectors[block]
        yield block, schema.whole(schema.taken(table, block).column("text")), vectors


def document_sizes(segment: Segment, rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(characters of each document as far as its chunks reach, its number of chunks)."""
    ends = schema.whole(schema.taken(segment.documents.select(["ends"]), rows).column("ends"))
    bounds = schema.integers(ends.offsets)[: len(rows) + 1].astype(np.int64)
    counts = np.diff(bounds)
    characters = np.zeros(len(rows), np.int64)
    has_chunks = counts > 0
    if has_chunks.any():
        characters[has_chunks] = np.maximum.reduceat(
            schema.integers(schema.items(ends)), (bounds[:-1] - bounds[0])[has_chunks]
        )
    return characters, counts
