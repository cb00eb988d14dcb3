"""Snapshots: one commit opened for reading. Opening maps files and builds masks; nothing is copied.

Rows are named by (segment number in this snapshot, row in that segment).

Decisions
1. The live rows of segments that have few are searched as one part, which is gathered in memory when a snapshot is
   first searched (at most 24 MB). So after 200 one-chunk commits a search costs one scan, not 200. The bytes on disk
   stay as they were written until `optimize`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from vecver.model import Commit, Json, Part, Position, Vectors
from vecver.repo.rows.cells import METADATA, POSITION, document_id
from vecver.repo.rows.key_lookup import KeyLookup
from vecver.repo.rows.layout import Layout, packed, rows_of
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows, as_keys

if TYPE_CHECKING:
    import pyarrow as pa

    from vecver.repo.read.listing import DocumentOrder
    from vecver.repo.read.row_documents import RowDocuments

SMALL_ROWS = 4096  # a segment with no more live rows may be gathered with others
GATHERED_ROWS = 16384  # at most this many rows are gathered
_COUNTED = ("_documents", "_chunks", "order", "row_documents")  # what has an `nbytes`, once it is used
_GAP = ("", " ", "\n\n")  # stands for the characters left out between two chunks: none, one, more


class ChunkRow(NamedTuple):
    """One live chunk, with the title, metadata and position that its document gives it."""

    key: bytes
    document: str
    text: str
    span: tuple[int, int]
    title: str
    metadata: Json
    position: Position


class Owner(NamedTuple):
    """The live document of a chunk, and where its row lies."""

    document: str
    segment: int
    row: int


@dataclass(frozen=True)
class SearchPart:
    """A `Part` and where its rows lie: row i is `rows[i]` of `segments[i]`; None: row i of `segment`."""

    part: Part
    segment: int
    segments: npt.NDArray[np.int64] | None = None
    rows: npt.NDArray[np.int64] | None = None

    def place(self, row: int) -> tuple[int, int]:
        """(segment number, row in it) of the part's row."""
        if self.segments is None or self.rows is None:
            return self.segment, row
        return int(self.segments[row]), int(self.rows[row])


class Snapshot:
    """A commit, its layout and its opened segments.

    `verified`: how the segments were verified, as receipts say it. `present_name`: the name of the dataset now, which
    may have been renamed since the commit was made; None if it was deleted. `has_room`: true if
    searches may hold so many bytes more of memory.
    """

    def __init__(
        self,
        commit: Commit,
        layout: Layout,
        segments: Sequence[Segment],
        verified: Callable[[], str] = lambda: "once",
        present_name: Callable[[], str | None] = lambda: None,
        has_room: Callable[[int], bool] = lambda nbytes: False,
    ) -> None:
        self.commit = commit
        self.layout = layout
        self.segments = tuple(segments)
        self.verified = verified
        self.has_room = has_room
        self._present_name = present_name

    @property
    def dataset(self) -> str:
        """The present name of the dataset, for messages: a renamed dataset is found by it."""
        return self._present_name() or self.commit.dataset

    # -- documents ------------------------------------------------------------------------------

    def find_documents(self, ids: Keys) -> tuple[Rows, Rows]:
        """(segment number, row) of the live version of each document id; -1 where there is none. `(n,)` each."""
        return self._documents(ids)

    def find_chunks(self, keys: Keys) -> tuple[Rows, Rows]:
        """(segment number, row) of the live chunk with each key; -1 where there is none. `(n,)` each."""
        return self._chunks(keys)

    def document_rows(self) -> Iterator[tuple[int, Rows]]:
        """(segment number, its live document rows) for each segment that has any."""
        for number, live in enumerate(self.layout.segments):
            if live.documents:
                yield number, rows_of(live.documents)

    @cached_property
    def live_documents(self) -> dict[int, npt.NDArray[np.uint8]]:
        """By segment number its live document rows, `(ceil(documents / 8),)` little-endian bits, where it has any."""
        counts = {number: self.segments[number].document_count for number, _ in self.document_rows()}
        return {number: packed(self.layout.segments[number].documents, count) for number, count in counts.items()}

    def documents(self, names: Sequence[str]) -> pa.Table:
        """These columns of all live documents."""
        import pyarrow as pa

        from vecver.repo.rows import schema

        tables = [
            self.segments[number].documents.select(list(names)).take(schema.row_numbers(rows))
            for number, rows in self.document_rows()
        ]
        return pa.concat_tables(tables) if tables else schema.DOCUMENTS.empty_table().select(list(names))

    @cached_property
    def order(self) -> DocumentOrder:
        """All live documents, in the order of their ids."""
        from vecver.repo.read.listing import sorted_documents

        places = list(self.document_rows())
        numbers = np.repeat([number for number, _ in places], [len(rows) for _, rows in places]).astype(np.int64)
        return sorted_documents(
            self.segments, numbers, np.concatenate([np.zeros(0, np.int64), *(r for _, r in places)])
        )

    def ordered(self, names: Sequence[str]) -> DocumentOrder:
        """Those of these documents that are live, in the order of their ids; each once."""
        from vecver.repo.read.listing import DocumentOrder

        ids = [document_id(name) for name in sorted(set(names))]
        numbers, rows = self.find_documents(as_keys(ids))
        live = numbers >= 0
        return DocumentOrder(self.segments, numbers[live], rows[live])

    @cached_property
    def metadata(self) -> dict[str, pa.DataType]:
        """The metadata columns in which a live document has a value, by name."""
        return self._columns_in_use(METADATA)

    @cached_property
    def positions(self) -> dict[str, pa.DataType]:
        """The position columns in which a live document has a value, by name."""
        return self._columns_in_use(POSITION)

    def _columns_in_use(self, prefix: str) -> dict[str, pa.DataType]:
        types: dict[str, pa.DataType] = {}
        for number, rows in self.document_rows():
            table = self.segments[number].documents
            for field in table.schema:
                new = field.name.startswith(prefix) and field.name not in types
                if new and np.asarray(table.column(field.name).is_valid())[rows].any():
                    types[field.name] = field.type
        return dict(sorted(types.items()))

    def document(self, name: str) -> tuple[pa.Table, int] | None:
        """The documents table and the row in it of the live document with this name."""
        ids = np.frombuffer(document_id(name), np.uint8).reshape(1, -1)
        (number,), (row,) = self.find_documents(ids)
        return None if number < 0 else (self.segments[number].documents, int(row))

    # -- chunks ---------------------------------------------------------------------------------

    def chunk(self, number: int, row: int) -> ChunkRow:
        """A live chunk by its place."""
        return self.chunks([(number, row)])[0]

    def chunks(self, places: Sequence[tuple[int, int]]) -> list[ChunkRow]:
        """Live chunks by their places, (segment number, row) each, in this order."""
        return [self._chunk(*place, owner) for place, owner in zip(places, self.owners(places), strict=True)]

    def owners(self, places: Sequence[tuple[int, int]]) -> list[Owner]:
        """The documents of live chunks; those that their segments do not name are looked up together."""
        owners = [self._owner_in_segment(place) for place in places]
        missing = [place for place, owner in zip(places, owners, strict=True) if owner is None]
        found = iter(self._owners_by_id(missing) if missing else ())
        return [owner or next(found) for owner in owners]

    def _owner_in_segment(self, place: tuple[int, int]) -> Owner | None:
        """The document of a live chunk, if its row lies in the chunk's segment and is known to."""
        number, row = place
        segment, live = self.segments[number], self.layout.segments[number].documents
        for document in segment.listing_documents(row) or ():
            if document in live:
                return Owner(segment.owner(row), number, document)
        return None

    def _owners_by_id(self, places: Sequence[tuple[int, int]]) -> list[Owner]:
        names = [self.segments[number].owner(row) for number, row in places]
        ids = {name: document_id(name) for name in names}
        numbers, rows = self.find_documents(as_keys(list(ids.values())))
        documents = {name: Owner(name, int(n), int(row)) for name, n, row in zip(ids, numbers, rows, strict=True)}
        return [documents[name] for name in names]

    def is_title(self, place: tuple[int, int], owner: Owner) -> bool:
        """Is this live chunk the document's title rather than a piece of its text?"""
        key = self.segments[place[0]].keys[place[1]].tobytes()
        return self.segments[owner.segment].span(owner.row, key) == (0, 0)

    def chunk_keys(self, owner: Owner) -> tuple[Keys, Keys]:
        """The keys of a document's chunks in order, `(n, 16)` each: (of its title, of its text)."""
        return self.segments[owner.segment].chunk_keys(owner.row)

    def _chunk(self, number: int, row: int, owner: Owner) -> ChunkRow:
        assert owner.segment >= 0, f"a live chunk whose document {owner.document!r} is not live"
        key, documents = self.segments[number].keys[row].tobytes(), self.segments[owner.segment]
        position = documents.position(owner.row, key)
        return ChunkRow(
            key=key,
            document=owner.document,
            text=self.text(number, row),
            span=documents.span(owner.row, key),
            title=documents.title(owner.row),
            metadata={**(json.loads(position.part) if position.part else {}), **documents.metadata(owner.row)},
            position=position,
        )

    def context(self, key: bytes, document: str, count: int) -> str:
        """The text of a chunk and of `count` neighbours on either side, joined by their spans."""
        table, place = self._document_of(document)
        keys, starts, ends = (table.column(name)[place].as_py() for name in ("chunks", "starts", "ends"))
        position = keys.index(key)
        around = range(max(0, position - count), min(len(keys), position + count + 1))
        pieces = [i for i in around if ends[i] > starts[i]]
        numbers, rows = self.find_chunks(np.frombuffer(b"".join(keys[i] for i in pieces), np.uint8).reshape(-1, 16))
        joined, reached = "", starts[pieces[0]] if pieces else 0
        for i, number, row in zip(pieces, numbers, rows, strict=True):
            text = self.text(number, row)
            joined += _GAP[min(max(starts[i] - reached, 0), 2)] + text[max(0, reached - starts[i]) :]
            reached = max(reached, ends[i])
        return joined

    def vectors(self, number: int) -> Vectors:
        """All vectors of a segment, `(n, dim)` float32, mapped."""
        return self.segments[number].vectors

    def vectors_at(self, numbers: Rows, rows: Rows) -> Vectors:
        """The vectors of chunks by their places, `(n, dim)` float32."""
        vectors = np.zeros((len(rows), self.commit.recipe.space.dim), "<f4")
        for number in np.unique(numbers):
            in_segment = numbers == number
            vectors[in_segment] = self.segments[number].vectors[rows[in_segment]]
        return vectors

    def text(self, number: int, row: int) -> str:
        """The text of a chunk by its place."""
        return self.segments[number].text(int(row))

    def texts(self, keys: Keys) -> list[str]:
        """The texts of live chunks by their keys."""
        numbers, rows = self.find_chunks(keys)
        assert (numbers >= 0).all(), "a live document lists a chunk that is not live"
        return [self.segments[number].text(row) for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)]

    # -- searching ------------------------------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[SearchPart, ...]:
        """The parts that a search scans: each large segment, and the small ones together."""
        small = self._small()
        large = [i for i, live in enumerate(self.layout.segments) if live.chunks and i not in small]
        parts = [self._part(i) for i in large]
        return tuple([*parts, self._gathered(sorted(small))] if small else parts)

    def live_rows(self, part: SearchPart) -> npt.NDArray[np.bool_]:
        """`(rows of the part,)` bool."""
        count = len(part.part.vectors)
        if part.part.live is None:
            return np.ones(count, bool)
        return np.unpackbits(part.part.live, count=count, bitorder="little").view(bool)

    def live_bits(self, number: int) -> npt.NDArray[np.uint8]:
        """The live chunk rows of a segment, `(ceil(chunks / 8),)` little-endian bits."""
        for part in self.parts:
            if part.segment == number and part.part.live is not None:
                return part.part.live
        return packed(self.layout.segments[number].chunks, self.segments[number].chunk_count)

    @cached_property
    def row_documents(self) -> RowDocuments:
        """The live document of each live chunk row, as a number."""
        from vecver.repo.read.row_documents import RowDocuments

        chunk_segments = [number for number, live in enumerate(self.layout.segments) if live.chunks]
        return RowDocuments(self.segments, chunk_segments, self.document_rows(), self.find_documents)

    def _small(self) -> set[int]:
        """The numbers of the segments to gather: those with few live rows, fewest first, while they fit."""
        sizes = [(len(live.chunks), i) for i, live in enumerate(self.layout.segments)]
        small = sorted((size, i) for size, i in sizes if 0 < size <= SMALL_ROWS)
        fitting = np.cumsum([size for size, _ in small]) <= GATHERED_ROWS
        chosen = {i for (_, i), fits in zip(small, fitting, strict=True) if fits}
        return chosen if len(chosen) > 1 else set()

    def _part(self, number: int) -> SearchPart:
        live, segment = self.layout.segments[number], self.segments[number]
        bits = None if len(live.chunks) == segment.chunk_count else packed(live.chunks, segment.chunk_count)
        part = Part(segment.vectors, bits, len(live.chunks), segment.keys, segment.max_norm)
        return SearchPart(part, number)

    def _gathered(self, numbers: list[int]) -> SearchPart:
        rows = [rows_of(self.layout.segments[i].chunks) for i in numbers]
        vectors = np.concatenate([self.segments[i].vectors[r] for i, r in zip(numbers, rows, strict=True)])
        keys = np.concatenate([self.segments[i].keys[r] for i, r in zip(numbers, rows, strict=True)])
        part = Part(vectors, None, len(vectors), keys, max(self.segments[i].max_norm for i in numbers))
        places = np.repeat(np.array(numbers, np.int64), [len(r) for r in rows])
        return SearchPart(part, -1, places, np.concatenate(rows))

    @property
    def nbytes(self) -> int:
        """Memory that this version holds by itself: masks, look-ups, gathered rows; without its segments."""
        total = self._mask_bytes
        total += sum(self.__dict__[name].nbytes for name in _COUNTED if name in self.__dict__)
        total += sum(bits.nbytes for bits in self.__dict__.get("live_documents", {}).values())
        for part in (place.part for place in self.__dict__.get("parts", ())):
            total += 0 if part.live is None else part.live.nbytes
            total += 0 if part.vectors.base is not None else part.vectors.nbytes + part.keys.nbytes
        return int(total)

    @cached_property
    def _mask_bytes(self) -> int:
        return sum(live.chunk_count + live.document_count for live in self.layout.segments) // 8

    # -- look-ups -------------------------------------------------------------------------------

    def _document_of(self, name: str) -> tuple[pa.Table, int]:
        table_and_row = self.document(name)
        assert table_and_row, f"a live chunk whose document {name!r} is not live"
        return table_and_row

    @cached_property
    def _documents(self) -> KeyLookup:
        masks = [live.documents for live in self.layout.segments]
        counts = [segment.document_count for segment in self.segments]
        return KeyLookup(self.segments, masks, counts, lambda segment: segment.document_ids, Segment.find_documents)

    @cached_property
    def _chunks(self) -> KeyLookup:
        masks = [live.chunks for live in self.layout.segments]
        counts = [segment.chunk_count for segment in self.segments]
        return KeyLookup(self.segments, masks, counts, lambda segment: segment.keys, Segment.find_keys)
