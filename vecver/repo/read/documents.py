"""Documents of a version beside their text: which it knows, and which of them did not arrive again. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.repo.read.snapshot import Snapshot
from vecver.repo.rows.cells import document_id
from vecver.repo.rows.layout import mask_of, rows_of
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows, as_keys

if TYPE_CHECKING:
    import pyarrow as pa
    from pyroaring import BitMap

_SINGLE_ROWS = 512  # are read one by one (5 us each), without importing pyarrow (30 ms)


@dataclass(frozen=True)
class KnownDocument:
    """One version of a document: a new version differs from it in at least one of these."""

    source: str
    digest: str
    recipe: str


def known_documents(segment: Segment, rows: Rows) -> Iterator[tuple[str, KnownDocument]]:
    """(name, version) of a segment's document rows, in the order of `rows`."""
    if len(rows) <= _SINGLE_ROWS:
        for row in rows.tolist():
            name, source, digest, recipe = segment.document_version(row)
            yield name, KnownDocument(source, digest.hex(), recipe.hex())
        return
    from vecver.repo.rows.schema import taken

    table = segment.documents.select(["document", "source", "digest", "recipe"])
    if 2 * len(rows) >= len(table):  # cheaper than to gather them, which would import `pyarrow.compute` (0.03 s)
        columns = [column.to_pylist() for column in table.columns]
        values = [[column[row] for row in rows.tolist()] for column in columns]
    else:
        values = [column.to_pylist() for column in taken(table, rows).columns]
    for name, source, digest, recipe in zip(*values, strict=True):
        yield name, KnownDocument(source, digest.hex(), recipe.hex())


def find_known(snapshot: Snapshot | None, documents: Sequence[str]) -> list[KnownDocument | None]:
    """The version that a snapshot has of each document; None where it has none."""
    known: list[KnownDocument | None] = [None] * len(documents)
    if not snapshot or not documents:
        return known
    numbers, rows = snapshot.find_documents(as_keys([document_id(name) for name in documents]))
    for number in np.unique(numbers[numbers >= 0]):
        (which,) = np.nonzero(numbers == number)
        for i, (_, document) in zip(which, known_documents(snapshot.segments[number], rows[which]), strict=True):
            known[i] = document
    return known


def rows_of_documents(snapshot: Snapshot, ids: Keys) -> tuple[dict[int, BitMap], dict[int, BitMap]]:
    """The live rows of the documents with these ids, `(n, 16)`: document rows, chunk rows; by segment number each."""
    from vecver.repo.rows import schema

    numbers, rows = snapshot.find_documents(ids)
    documents, keys = _masks(numbers, rows), [as_keys([])]
    for number, mask in documents.items():
        chunks = schema.taken(snapshot.segments[number].documents.select(["chunks"]), rows_of(mask)).column("chunks")
        keys.append(schema.keys_array(schema.items(schema.whole(chunks))))
    return documents, _masks(*snapshot.find_chunks(np.concatenate(keys)))


def _masks(numbers: Rows, rows: Rows) -> dict[int, BitMap]:
    """Segment number -> its rows, of those that were found."""
    return {int(number): mask_of(rows[numbers == number]) for number in np.unique(numbers[numbers >= 0])}


@dataclass(frozen=True)
class KnownRows:
    """The versions that a snapshot has of many documents; the arrays run in parallel, `(n, ...)` each."""

    present: npt.NDArray[np.bool_]  # whether it has the document
    of_source: npt.NDArray[np.bool_]  # whether the document belongs to the source
    digests: npt.NDArray[np.uint8]  # (n, 32), zero where it has none
    recipes: npt.NDArray[np.uint8]  # (n, 16), likewise


def known_rows(snapshot: Snapshot | None, ids: Keys, source: str) -> KnownRows:
    """The version that a snapshot has of each of the documents with these ids, `(n, 16)`."""
    import pyarrow.compute as pc

    from vecver.repo.rows import schema

    count = len(ids)
    known = KnownRows(
        np.zeros(count, bool), np.zeros(count, bool), np.zeros((count, 32), np.uint8), np.zeros((count, 16), np.uint8)
    )
    if not snapshot or not count:
        return known
    numbers, rows = snapshot.find_documents(ids)
    for number in np.unique(numbers[numbers >= 0]):
        (which,) = np.nonzero(numbers == number)
        table = schema.taken(snapshot.segments[number].documents.select(["source", "digest", "recipe"]), rows[which])
        sources, digests, recipes = (schema.whole(column) for column in table.columns)
        known.present[which] = True
        known.of_source[which] = np.asarray(pc.equal(sources, source))
        known.digests[which], known.recipes[which] = schema.byte_rows(digests), schema.byte_rows(recipes)
    return known


def find_absent(snapshot: Snapshot | None, arrived: Keys, sources: Sequence[str]) -> list[tuple[str, str]]:
    """(document, source) of each live document of these sources whose id is not among `arrived`, `(n, 16)`."""
    if not snapshot or not sources:
        return []
    numbers, rows = snapshot.find_documents(arrived)
    absent: list[tuple[str, str]] = []
    for number, live in snapshot.document_rows():
        left = rows_of(mask_of(live) - mask_of(rows[numbers == number]))
        if len(left):
            from vecver.repo.rows import schema

            table = snapshot.segments[number].documents.select(["document", "source"])
            rest = _of_sources(table.take(schema.row_numbers(left)), sources)
            absent += zip(rest.column("document").to_pylist(), rest.column("source").to_pylist(), strict=True)
    return absent


def _of_sources(documents: pa.Table, sources: Sequence[str]) -> pa.Table:
    """The rows of these sources, of which there is at least one."""
    import pyarrow.compute as pc

    column = documents.column("source")
    return documents.filter(reduce(pc.or_, (pc.equal(column, source) for source in sources)))
