"""Published rows: the rows that a Milvus is given of a version, and those by which two versions differ.

A row is a chunk's key, vector and text, with its document's name, title and metadata. Spans, pages and lines are not
published: an edit moves those of every chunk behind it, and a publication should cost what changed. Hits read them from
the repository, and a filter on them is applied there, after Milvus proposed rows without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.digest import canonical_json
from vecver.model import Json, PublishedRows
from vecver.repo.read.differences import lacking, lacking_documents, read_documents
from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows import schema
from vecver.repo.rows.layout import rows_of
from vecver.repo.rows.roots import Roots, lanes_of, lanes_of_matrix
from vecver.repo.rows.schema import taken
from vecver.repo.rows.sorted_keys import Keys, Rows, as_keys, find, order_of, prefixes

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 2048  # read at once
_COMPARED = 16384  # vectors compared at once


@dataclass(frozen=True)
class Places:
    """Chunk rows of a snapshot: segment number and row, `(n,)` int64 each, ascending, each once."""

    numbers: Rows
    rows: Rows

    @classmethod
    def of(cls, numbers: Sequence[Rows], rows: Sequence[Rows]) -> Places:
        """These rows together."""
        none = np.zeros(0, np.int64)
        both = np.unique(np.concatenate([none, *numbers]) << 32 | np.concatenate([none, *rows]))
        return cls(both >> 32, both & 0xFFFFFFFF)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | npt.NDArray[np.bool_]) -> Places:
        return Places(self.numbers[which], self.rows[which])


def live_places(snapshot: Snapshot) -> Places:
    """Every live chunk of a version."""
    rows = [rows_of(live.chunks) for live in snapshot.layout.segments]
    return Places.of([np.full(len(mine), number) for number, mine in enumerate(rows)], rows)


def changes(before: Snapshot, after: Snapshot) -> tuple[Places, Places]:
    """(rows of `before` that `after` lacks, rows of `after` that `before` lacks)."""
    old, new = _lacking_places(before, after), _lacking_places(after, before)
    keys_old, keys_new = keys_at(before, old), keys_at(after, new)
    order = order_of(keys_new)
    in_old, in_new = find(prefixes(keys_new)[order], order, keys_new, keys_old)
    same = _equal_vectors(before, old, in_old, after, new, in_new)
    gone, begun = np.ones(len(old), bool), np.ones(len(new), bool)
    gone[in_old[same]] = begun[in_new[same]] = False
    chunks_old, chunks_new = _described_anew(before, after)
    return _including(before, old[gone], chunks_old), _including(after, new[begun], chunks_new)


def keys_at(snapshot: Snapshot, places: Places) -> Keys:
    """The keys of these rows, `(n, 16)`."""
    keys = np.zeros((len(places), 16), np.uint8)
    for number, which in _by_segment(places):
        keys[which] = snapshot.segments[number].keys[places.rows[which]]
    return keys


def read_rows(snapshot: Snapshot, places: Places) -> Iterator[PublishedRows]:
    """These rows, a block at a time, in their order."""
    for start in range(0, len(places), BLOCK_ROWS):
        yield _read(snapshot, places[start : start + BLOCK_ROWS])


def roots_of(rows: PublishedRows) -> Roots:
    """The roots of published rows: `vector` as in a commit, `content` over all other fields."""
    fields = zip(rows.documents, rows.titles, rows.texts, rows.metadata, strict=True)
    names = [key.tobytes() for key in rows.keys]
    content = [b"row\0" + name + canonical_json(list(row)) for name, row in zip(names, fields, strict=True)]
    return Roots(lanes_of(content), lanes_of_matrix(schema.vector_bytes(rows.keys, rows.vectors)))


# -- what differs -------------------------------------------------------------------------------


def _lacking_places(snapshot: Snapshot, other: Snapshot) -> Places:
    """The chunk rows of `snapshot` that are not live in `other`."""
    numbers = {segment.id: number for number, segment in enumerate(snapshot.segments)}
    places = [(numbers[segment.id], chunks) for segment, chunks, _ in lacking(snapshot, other)]
    return Places.of([np.full(len(rows), number) for number, rows in places], [rows for _, rows in places])


def _equal_vectors(
    before: Snapshot, old: Places, in_old: Rows, after: Snapshot, new: Places, in_new: Rows
) -> npt.NDArray[np.bool_]:
    """Which pairs of rows have the same vector bits, `(pairs,)`."""
    same = np.zeros(len(in_old), bool)
    for start in range(0, len(same), _COMPARED):
        block = slice(start, start + _COMPARED)
        old_vectors = before.vectors_at(old.numbers[in_old[block]], old.rows[in_old[block]])
        new_vectors = after.vectors_at(new.numbers[in_new[block]], new.rows[in_new[block]])
        same[block] = (old_vectors.view("<u4") == new_vectors.view("<u4")).all(axis=1)
    return same


def _described_anew(before: Snapshot, after: Snapshot) -> tuple[list[bytes], list[bytes]]:
    """The keys, before and after, of all chunks of documents whose title or metadata changed."""
    old, new = lacking_documents(before, after), lacking_documents(after, before)
    both = sorted(old.keys() & new.keys())
    pairs = zip(both, read_documents(old, both, _described), read_documents(new, both, _described), strict=True)
    changed = [name for name, before_row, after_row in pairs if before_row != after_row]
    chunks = (read_documents(rows, changed, _chunks_of) for rows in (old, new))
    first, second = ([key for keys in of_documents for key in keys] for of_documents in chunks)
    return first, second


def _described(documents: pa.Table, rows: list[int]) -> list[bytes]:
    """Canonical bytes of the fields that published rows take from these document rows."""
    return [canonical_json(list(fields)) for fields in _titles_and_metadata(documents, np.asarray(rows, np.int64))]


def _titles_and_metadata(documents: pa.Table, rows: Rows) -> Iterator[tuple[str, Json]]:
    """(title, metadata) of document rows."""
    picked = taken(documents, rows)
    return zip(picked.column("title").to_pylist(), schema.metadata_of_all(picked), strict=True)


def _chunks_of(documents: pa.Table, rows: list[int]) -> list[list[bytes]]:
    return taken(documents.select(["chunks"]), np.asarray(rows, np.int64)).column(0).to_pylist()


def _including(snapshot: Snapshot, places: Places, keys: list[bytes]) -> Places:
    """These places, and those of live chunks with these keys."""
    numbers, rows = snapshot.find_chunks(as_keys(keys))
    return Places.of([places.numbers, numbers], [places.rows, rows])


# -- reading ------------------------------------------------------------------------------------


def _by_segment(places: Places) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """(segment number, which of the places lie in it)."""
    for number in np.unique(places.numbers):
        yield int(number), places.numbers == number


def _read(snapshot: Snapshot, places: Places) -> PublishedRows:
    texts, names = [""] * len(places), [""] * len(places)
    for number, which in _by_segment(places):
        picked = taken(snapshot.segments[number].chunks.select(["document", "text"]), places.rows[which])
        for i, name, text in zip(np.flatnonzero(which), *(column.to_pylist() for column in picked), strict=True):
            names[i], texts[i] = name, text
    described = _descriptions(snapshot, list(dict.fromkeys(names)))
    return PublishedRows(
        keys_at(snapshot, places),
        snapshot.vectors_at(places.numbers, places.rows),
        names,
        [described[name][0] for name in names],
        texts,
        [described[name][1] for name in names],
    )


def _descriptions(snapshot: Snapshot, names: list[str]) -> dict[str, tuple[str, Json]]:
    """Document -> (title, metadata)."""
    numbers, rows = snapshot.find_documents(as_keys([schema.document_id(name) for name in names]))
    described: dict[str, tuple[str, Json]] = {}
    for number in np.unique(numbers):
        which = np.flatnonzero(numbers == number)
        fields = _titles_and_metadata(snapshot.segments[number].documents, rows[which])
        described.update(zip([names[i] for i in which], fields, strict=True))
    return described
