"""Listing: the documents of a version in the order of their ids, and the rows of their chunks, page by page.

Decisions
1. A version sorts its documents once, when it is first listed, and keeps where each one lies: 16 bytes a document.
   Their ids stay in the mapped files, and a page is found by bisection. Sorting 100,000 ids takes 60 ms, each page of
   100 after that 0.2 ms; a sorted list of the ids themselves would hold 10 MB.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.repo.rows import schema
from vecver.repo.rows.positions import FIELDS, chunk_columns, chunk_owners
from vecver.repo.rows.schema import DOCUMENTS, items, keys_array, taken, whole
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows


@dataclass(frozen=True)
class DocumentOrder:
    """Live documents of a version, in the order of their ids (by code point, as Python sorts them)."""

    segments: Sequence[Segment]
    numbers: Rows  # (n,) the segment of each document
    rows: Rows  # (n,) its row there

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.numbers.nbytes + self.rows.nbytes

    def id(self, position: int) -> str:
        """The id of the document at a position."""
        return str(self.segments[self.numbers[position]].documents.column("document")[int(self.rows[position])].as_py())

    def ids(self, block: slice) -> list[str]:
        """The ids of a block of documents."""
        return self.table(block, ["document"]).column(0).to_pylist()

    def after(self, id: str) -> int:
        """The position of the first document whose id comes after `id`, which need not exist."""
        return bisect_right(range(len(self)), id, key=self.id)

    def starting_with(self, prefix: str) -> slice:
        """The documents whose ids begin with `prefix`."""
        first = bisect_left(range(len(self)), prefix, key=self.id)
        last = bisect_right(range(len(self)), prefix, lo=first, key=lambda at: self.id(at)[: len(prefix)])
        return slice(first, last)

    def table(self, block: slice, names: Sequence[str] | None = None) -> pa.Table:
        """The rows of a block of documents, with those of these columns that exist; None: all columns."""
        numbers, rows = self.numbers[block], self.rows[block]
        pieces, places = [], []
        for number in np.unique(numbers).tolist():
            in_segment = np.flatnonzero(numbers == number)
            table = self.segments[number].documents
            wanted = table.column_names if names is None else {"id", *names}  # a table without columns has no rows
            pieces.append(
                taken(table.select([name for name in table.column_names if name in wanted]), rows[in_segment])
            )
            places.append(in_segment)
        if not pieces:
            return DOCUMENTS.empty_table() if names is None else DOCUMENTS.empty_table().select(list(names))
        table = pa.concat_tables(pieces, promote_options="default")
        table = table if names is None else table.select([name for name in names if name in table.column_names])
        return table if len(pieces) == 1 else table.take(pa.array(np.argsort(np.concatenate(places))))


def sorted_documents(segments: Sequence[Segment], numbers: Rows, rows: Rows) -> DocumentOrder:
    """The documents at these places, sorted by their ids."""
    import pyarrow.compute as pc

    order = DocumentOrder(segments, numbers, rows)
    indices = pc.sort_indices(order.table(slice(None), ["document"]).column(0))
    sequence = np.frombuffer(indices.buffers()[1], np.uint64)[: len(indices)].astype(np.int64)
    return DocumentOrder(segments, numbers[sequence], rows[sequence])


@dataclass(frozen=True)
class ChunkList:
    """The chunks that a table of documents lists: in the order of the documents, then in reading order."""

    owners: Rows  # (n,) the row of each chunk's document
    keys: Keys  # (n, 16)
    starts: npt.NDArray[np.int32]  # (n,) characters
    ends: npt.NDArray[np.int32]
    positions: Callable[[slice], dict[str, pa.Array]]  # reads page, sheet, line, headings and header of a slice


def listed_keys(documents: pa.Table) -> Keys:
    """The keys of the chunks that a table of document rows lists, `(n, 16)`, in their order."""
    return keys_array(items(whole(documents.column("chunks"))))


def chunk_list(documents: pa.Table) -> ChunkList:
    """The chunks that these document rows list; no text is read."""
    import pyarrow.compute as pc

    starts, ends = (schema.integers(whole(pc.list_flatten(documents.column(name)))) for name in ("starts", "ends"))
    keys = keys_array(pc.list_flatten(documents.column("chunks")))
    return ChunkList(chunk_owners(documents), keys, starts, ends, chunk_columns(documents, FIELDS))
