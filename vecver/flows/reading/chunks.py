"""Chunks of a version, by document and then in the order of the text; a page costs what is in it.

Decisions
1. A page begins after the chunk with a given key. A key that the version does not hold is an error, because beginning
   anywhere else would skip or repeat chunks. So pages of `main` are pages of one version or an error; to page while
   others commit, use the commit id that `docs.resolve()` returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vecver.decimals import readable
from vecver.errors import InvalidInputError, NotFoundError, say
from vecver.flows.reading.selecting import Selected, check_chunk, check_page, place_of_chunk, selected
from vecver.model import Json, StoredChunk
from vecver.repo import Snapshot, chunk_list, metadata_of_all

BATCH = 1024  # chunks whose texts are in memory at once
_BLOCK = 256  # documents whose rows are in memory at once


@dataclass(frozen=True)
class ChunkPage:
    """Which chunks are read, and after which one."""

    selected: Selected
    first: int  # position of the first document in the order
    after: bytes | None  # the key of the chunk of that document to begin after; None: with its first
    limit: int | None


def chunk_page(snapshot: Snapshot, where: Json | None, limit: Any, after: Any) -> ChunkPage:
    """The chunks that match after the one with the key `after`, at most `limit`.

    Raises InvalidInputError: of the filter, the limit, and a key that this version does not hold.
    """
    check_page(limit=limit)
    documents = selected(snapshot, where)
    if after is None:
        return ChunkPage(documents, 0, None, limit)
    try:
        number, row = place_of_chunk(snapshot, after)
    except NotFoundError as error:
        raise InvalidInputError(
            f"no page begins after {after}: {error.message}",
            code="invalid_cursor",
            hint=say(
                "take all pages from one version: name its commit id, which docs.resolve() tells",
                cli="take all pages from one version: name its commit id, which `vecver show` tells",
                http="take all pages from one version: name its commit id, the header Vecver-Commit of the first page",
            ),
            after=after,
            commit=snapshot.commit.id,
        ) from error
    document = snapshot.segments[number].owner(row)
    position = documents.order.after(document)
    if position and documents.order.id(position - 1) == document:
        return ChunkPage(documents, position - 1, bytes.fromhex(after), limit)
    return ChunkPage(documents, position, None, limit)


def read_chunks(snapshot: Snapshot, page: ChunkPage, *, vectors: bool = False) -> Iterator[list[StoredChunk]]:
    """The chunks of a page in batches of at most 1024; none is empty."""
    order, left, start, after = page.selected.order, page.limit, page.first, page.after
    while start < len(order):
        size = _BLOCK if left is None else min(_BLOCK, left + 1)
        table = order.table(slice(start, start + size))
        for batch in stored_chunks(snapshot, table, keys=page.selected.keys, after=after, vectors=vectors):
            kept = batch if left is None else batch[:left]
            yield kept
            left = None if left is None else left - len(kept)
            if left == 0:
                return
        start, after = start + size, None


def stored_chunks(
    snapshot: Snapshot,
    documents: pa.Table,
    *,
    keys: frozenset[bytes] | None = None,
    after: bytes | None = None,
    vectors: bool = False,
) -> Iterator[list[StoredChunk]]:
    """The chunks of these document rows in batches; only those with one of `keys`, and behind the one with `after`."""
    chunks = chunk_list(documents)
    names, titles = (documents.column(name).to_pylist() for name in ("document", "title"))
    metadata = [readable(fields) for fields in metadata_of_all(documents)]
    row_keys = [key.tobytes() for key in chunks.keys]
    first = 0 if after is None else row_keys.index(after) + 1
    for start in range(first, len(row_keys), BATCH):
        block = slice(start, min(start + BATCH, len(row_keys)))
        kept = [i for i in range(block.start, block.stop) if keys is None or row_keys[i] in keys]
        if not kept:
            continue
        texts = snapshot.texts(chunks.keys[kept])
        places = {name: column.to_pylist() for name, column in chunks.positions(block).items()}
        beside = _vectors(snapshot, chunks.keys[kept]) if vectors else [None] * len(kept)
        yield [
            StoredChunk(
                document=names[chunks.owners[i]],
                key=row_keys[i].hex(),
                span=(int(chunks.starts[i]), int(chunks.ends[i])),
                text=text,
                title=titles[chunks.owners[i]],
                metadata=with_part(places["part"][i - start], metadata[chunks.owners[i]]),
                vector=vector,
                headings=tuple(places["headings"][i - start] or ()),
                header=places["header"][i - start] or "",
                page=places["page"][i - start],
                sheet=places["sheet"][i - start],
                line=places["line"][i - start],
            )
            for i, text, vector in zip(kept, texts, beside, strict=True)
        ]


def one_chunk(snapshot: Snapshot, key: Any, context: int = 0) -> StoredChunk:
    """The chunk with this key; with `context`, the text of so many neighbours on either side around it.

    Raises NotFoundError, InvalidInputError.
    """
    check_chunk(key, context)
    chunk = snapshot.chunk(*place_of_chunk(snapshot, key))
    around = snapshot.context(chunk.key, chunk.document, context) if context else None
    return StoredChunk(
        document=chunk.document,
        key=key.lower(),
        span=chunk.span,
        text=chunk.text,
        title=chunk.title,
        metadata=readable(chunk.metadata),
        headings=chunk.position.headings,
        header=chunk.position.header,
        page=chunk.position.page,
        sheet=chunk.position.sheet,
        line=chunk.position.line,
        context=around,
    )


def with_part(part: str | None, metadata: Json) -> Json:
    """A chunk's metadata: those of the part of the document that it holds (as JSON), and the document's, which win."""
    return {**readable(json.loads(part)), **metadata} if part else metadata


def _vectors(snapshot: Snapshot, keys: Any) -> Any:
    vectors = snapshot.vectors_at(*snapshot.find_chunks(keys))
    return [np.ascontiguousarray(vector) for vector in vectors]
