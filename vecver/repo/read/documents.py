"""What a version knows of a document beside its text: by this a document is told from a new version of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vecver.repo.rows.schema import taken
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Rows


@dataclass(frozen=True)
class KnownDocument:
    """One version of a document."""

    source: str
    digest: str
    recipe: str


def known_documents(segment: Segment, rows: Rows) -> Iterator[tuple[str, KnownDocument]]:
    """What a segment's document rows say: name and version, in the order of `rows`."""
    table = segment.documents.select(["document", "source", "digest", "recipe"])
    if 2 * len(rows) >= len(table):  # cheaper than to gather them, which would import `pyarrow.compute` (0.03 s)
        columns = [column.to_pylist() for column in table.columns]
        found = [[column[row] for row in rows.tolist()] for column in columns]
    else:
        found = [column.to_pylist() for column in taken(table, rows).columns]
    for name, source, digest, recipe in zip(*found, strict=True):
        yield name, KnownDocument(source, digest.hex(), recipe.hex())
