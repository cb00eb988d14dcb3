"""The live document of each chunk row of a version, as one integer.

A document row of a version has a number: its row in its segment, behind the document rows of the segments before it.
A segment gives each document that its chunks name a code, the same for every version. So a version holds one number a
code, not one a chunk, and finds it by arrays alone.

Decisions
1. Codes come from the names in the segment: encoding 150,000 of them takes 20 ms, once a segment. Hashing each name to
   its id, as a look-up needs, would take 0.2 s.
2. Held by segment and version, not by segment alone: two versions may have different rows of one document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from vecver.repo.rows import schema
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows, as_keys

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = npt.NDArray[np.int32]
_NONE = -1


@dataclass(frozen=True)
class Codes:
    """A segment's codes of documents: `chunks` `(chunks,)`, `documents` `(documents,)` (-1: no chunk names it)."""

    chunks: Numbers
    documents: Numbers
    ids: Keys  # (codes, 16): of the document of each code

    @property
    def nbytes(self) -> int:
        """Memory that these hold."""
        return self.chunks.nbytes + self.documents.nbytes + self.ids.nbytes


_CODES: WeakKeyDictionary[Segment, Codes] = WeakKeyDictionary()  # for as long as the segment is open


def codes_of(segment: Segment) -> Codes:
    """The segment's codes, worked out once."""
    codes = _CODES.get(segment)
    if codes is None:
        _CODES[segment] = codes = _encoded(segment)
    return codes


def _encoded(segment: Segment) -> Codes:
    import pyarrow.compute as pc

    encoded = schema.whole(segment.chunks.column("document")).dictionary_encode()
    names, documents = encoded.dictionary, schema.whole(segment.documents.column("document"))
    of_documents = pc.fill_null(pc.index_in(documents, value_set=names), _NONE)
    of_names = pc.fill_null(pc.index_in(names, value_set=documents), _NONE)
    chunks, document_codes, rows = (schema.integers(column) for column in (encoded.indices, of_documents, of_names))
    return Codes(chunks, document_codes, _ids(names, segment, rows))


def _ids(names: pa.Array, segment: Segment, rows: Numbers) -> Keys:
    """The ids of documents; `rows`: their document rows in the segment, or -1, whose names are hashed."""
    ids = np.zeros((len(names), 16), np.uint8)
    known = rows >= 0
    ids[known] = segment.document_ids[rows[known]]
    unknown = np.flatnonzero(~known)
    if len(unknown):
        ids[unknown] = as_keys([schema.document_id(names[int(code)].as_py()) for code in unknown])
    return ids


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
        self._codes = {number: codes_of(segments[number]) for number in chunk_segments}
        live = dict(document_rows)
        self._numbers = {
            number: self._numbers_of(number, codes, live.get(number), find_documents)
            for number, codes in self._codes.items()
        }

    def _numbers_of(
        self, number: int, codes: Codes, live: Rows | None, find_documents: Callable[[Keys], tuple[Rows, Rows]]
    ) -> Numbers:
        """The document number of each code of a segment; -1: the version does not have it."""
        numbers = np.full(len(codes.ids), _NONE, np.int32)
        if live is not None:
            named = live[codes.documents[live] >= 0]
            numbers[codes.documents[named]] = self.firsts[number] + named
        others = np.flatnonzero(numbers < 0)
        if len(others):
            where, rows = find_documents(codes.ids[others])
            numbers[others] = np.where(where < 0, _NONE, self.firsts[where] + rows)
        return numbers

    def of_rows(self, number: int, rows: Rows | slice) -> Numbers:
        """The document number of these chunk rows of a segment; of a dead row -1, or any document."""
        return self._numbers[number][self._codes[number].chunks[rows]]

    def selected(self, number: int, documents: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which chunk rows of a segment belong to these documents, `(chunks,)`; dead rows may be among them.

        `documents`: `(document rows of all segments,)`, by document number.
        """
        return np.append(documents, False)[self._numbers[number]][self._codes[number].chunks]

    def place(self, number: int) -> tuple[int, int]:
        """(segment number, document row) of a document number."""
        segment = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return segment, number - int(self.firsts[segment])

    @property
    def nbytes(self) -> int:
        """Memory that the version holds by itself: without the codes, which its segments' versions share."""
        return int(self.firsts.nbytes + sum(numbers.nbytes for numbers in self._numbers.values()))
