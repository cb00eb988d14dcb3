"""The live document of each chunk row of a version, as one integer.

A document row of a version has a number: its row in its segment, behind the document rows of the segments before it.
A segment gives each document that its chunks name a code (`rows.document_codes`), the same for every version. So a
version holds one number a code, not one a chunk, and finds it by arrays alone.

Decisions
1. Held by segment and version, not by segment alone: two versions may have different rows of one document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from vecver.repo.rows.document_codes import NONE, DocumentCodes, Numbers
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows


class RowDocuments:
    """The document numbers of a version's chunk rows, by segment number. Holds no reference to the version."""

    def __init__(
        self,
        segments: Sequence[Segment],
        chunk_segments: Iterable[int],
        document_rows: Iterable[tuple[int, Rows]],
        find_documents: Callable[[Keys], tuple[Rows, Rows]],
    ) -> None:
        self.firsts = np.cumsum([0, *(segment.document_count for segment in segments)])  # number of the first document
        self._codes = {number: segments[number].document_codes for number in chunk_segments}
        live = dict(document_rows)
        self._numbers = {
            number: self._numbers_of(number, codes, live.get(number), find_documents)
            for number, codes in self._codes.items()
        }

    def _numbers_of(
        self, number: int, codes: DocumentCodes, live: Rows | None, find_documents: Callable[[Keys], tuple[Rows, Rows]]
    ) -> Numbers:
        """The document number of each code of a segment; -1: the version does not have it."""
        numbers = np.full(len(codes.ids), NONE, np.int32)
        if live is not None:
            named = live[codes.documents[live] >= 0]
            numbers[codes.documents[named]] = self.firsts[number] + named
        others = np.flatnonzero(numbers < 0)
        if len(others):
            where, rows = find_documents(codes.ids[others])
            numbers[others] = np.where(where < 0, NONE, self.firsts[where] + rows)
        return numbers

    def of_rows(self, number: int, rows: Rows | slice) -> Numbers:
        """The document number of these chunk rows of a segment; of a dead row -1, or any document."""
        return self._numbers[number][self._codes[number].chunks[rows]]

    def columns(self, number: int) -> tuple[Numbers, Numbers]:
        """(document number by code, code of each chunk row) of a segment, as `of_rows` reads them."""
        return self._numbers[number], self._codes[number].chunks

    def place(self, number: int) -> tuple[int, int]:
        """(segment number, document row) of a document number."""
        segment = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return segment, number - int(self.firsts[segment])

    @property
    def nbytes(self) -> int:
        """Memory that the version holds by itself: without the codes, which its segments' versions share."""
        return int(self.firsts.nbytes + sum(numbers.nbytes for numbers in self._numbers.values()))
