"""Documents of a version: their ids in pages, and whole documents by their ids.

A document's text is put together from its chunks by their spans. Chunkers leave out nothing but blanks between two
chunks; what other rows lack is marked as missing, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vecver.decimals import readable
from vecver.errors import InvalidInputError
from vecver.flows.reading.chunks import stored_chunks
from vecver.flows.reading.selecting import check_page, selected
from vecver.flows.unknown_documents import unknown_documents
from vecver.model import MISSING, Count, Document, Json, StoredChunk
from vecver.repo import DocumentOrder, Snapshot, chunk_list, metadata_of, origin_of

BLOCK = 256  # documents whose rows are read at once


def document_ids(
    snapshot: Snapshot,
    *,
    where: Json | None = None,
    prefix: str = "",
    limit: int | None = None,
    after: str | None = None,
) -> list[str]:
    """The ids of the documents that match, sorted; of those, at most `limit` that come after the id `after`.

    A document matches if one of its chunks does. Raises InvalidInputError.
    """
    check_page(limit=limit, prefix=prefix, after=after)
    order = selected(snapshot, where).order
    block = order.starting_with(prefix) if prefix else slice(0, len(order))
    first, last = block.start, block.stop
    if after is not None:
        first = max(first, order.after(after))
    return order.ids(slice(first, last if limit is None else min(last, first + limit)))


def count_matching(snapshot: Snapshot, where: Json | None = None) -> Count:
    """The documents that match, and their chunks that match. Raises InvalidInputError."""
    import pyarrow.compute as pc

    if where is None or where == {}:
        counts = snapshot.commit.counts
        return Count(counts["documents"], counts["chunks"])
    selection = selected(snapshot, where)
    if selection.keys is not None:
        return Count(len(selection.order), len(selection.keys))
    lists = selection.order.table(slice(None), ["chunks"]).column(0)
    return Count(len(selection.order), int(pc.sum(pc.list_value_length(lists)).as_py() or 0))


def get_documents(snapshot: Snapshot, ids: Any, *, missing: str = "error") -> list[Document]:
    """The documents with these ids, in the order asked. `missing`: those unknown are an "error", or "skip" them.

    Raises NotFoundError, which names the unknown ones, InvalidInputError.
    """
    wanted = checked_ids(ids, missing)
    order = snapshot.ordered(wanted)
    documents = {document.id: document for document in _documents(snapshot, order)}
    unknown = [id for id in dict.fromkeys(wanted) if id not in documents]
    if unknown and missing == "error":
        raise unknown_documents(snapshot, unknown)
    return [documents[id] for id in wanted if id in documents]


def checked_ids(ids: Any, missing: str) -> list[str]:
    """The ids of documents as a list. Raises InvalidInputError."""
    if missing not in ("error", "skip"):
        raise InvalidInputError(
            f"missing is 'error' or 'skip', not {missing!r:.80}", code="invalid_missing", hint="missing='skip'"
        )
    wanted = [ids] if isinstance(ids, str) else list(ids) if isinstance(ids, Iterable) else None
    if wanted is None or not all(isinstance(id, str) for id in wanted):
        raise InvalidInputError(
            f"ids of documents are strings, not {ids!r:.80}", code="invalid_ids", hint='get("guide/pump.md"), or a list'
        )
    return wanted


def _documents(snapshot: Snapshot, order: DocumentOrder) -> Iterator[Document]:
    for start in range(0, len(order), BLOCK):
        table = order.table(slice(start, start + BLOCK))
        chunks = [chunk for batch in stored_chunks(snapshot, table) for chunk in batch]
        first = 0
        sources = table.column("source").to_pylist() if "source" in table.column_names else [""] * len(table)
        lengths = np.bincount(chunk_list(table).owners, minlength=len(table)).tolist()
        for row, (source, length) in enumerate(zip(sources, lengths, strict=True)):
            yield _document(table, row, source, chunks[first : first + length])
            first += length


def _document(table: pa.Table, row: int, source: str, chunks: Sequence[StoredChunk]) -> Document:
    text, missing = joined([(*chunk.span, chunk.text) for chunk in chunks])
    return Document(
        id=table.column("document")[row].as_py(),
        title=table.column("title")[row].as_py(),
        text=text,
        metadata=readable(metadata_of(table, row)),
        source=source,
        media_type=table.column("media_type")[row].as_py(),
        digest=table.column("digest")[row].as_py().hex(),
        chunks=tuple(chunks),
        missing=missing,
        origin=origin_of(table, row),
    )


def joined(pieces: Iterable[tuple[int, int, str]]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Join pieces `(start, end, text)` of a text; returns it, and the spans that no piece holds, filled with U+FFFD.

    Pieces may overlap; those at (0, 0) are not part of the text. What follows the last piece is unknown.
    """
    parts: list[str] = []
    missing: list[tuple[int, int]] = []
    reached = 0
    for start, end, text in sorted(pieces):
        if start > reached:
            missing.append((reached, start))
            parts.append(MISSING * (start - reached))
            reached = start
        if end > reached:
            parts.append(text[reached - start :])
            reached = end
    return "".join(parts), tuple(missing)
