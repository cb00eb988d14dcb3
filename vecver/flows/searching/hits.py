"""Hits: what an answer says of each ranked row. A hit reads its fields from the version when they are first used.

Decisions
1. A hit begins with its rank, score and document. What a receipt holds of it (key, text, score bits), and then all
   else, are each read when the first of them is used: of ten hits' 200 us (beside an index that empties the CPU's
   cache) their documents take 30. Hits with context or vectors are read at once: these are read together; so are those
   of a caller who listens to phases, as the service does, since it sends all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from vecver import index
from vecver.decimals import readable
from vecver.flows.searching.titles import Row
from vecver.model import Hit, Json
from vecver.repo import ChunkRow, Snapshot

_IN_RECEIPTS = ("key", "text", "score_bits")


def read_hits(
    snapshot: Snapshot,
    rows: Sequence[Row],
    first: int = 1,
    context: int = 0,
    vectors: bool = False,
    whole: bool = False,
) -> tuple[Hit, ...]:
    """The hits of a ranking's rows; `first`: the rank of the first, `context`: neighbouring chunks on either side.

    `whole`: read every field now.
    """
    if context or vectors or whole:
        return _whole(snapshot, rows, first, context, vectors)
    hits = []
    for rank, row in enumerate(rows, first):
        number, place = row.place
        document = snapshot.segments[number].owner(place)
        fields = {"rank": rank, "score": row.score, "document": document, "context": None, "by": row.by, "vector": None}
        if row.said:
            fields |= row.said
        hits.append(Hit.unread(fields, partial(_read_field, snapshot, row)))
    return tuple(hits)


def _read_field(snapshot: Snapshot, row: Row, name: str) -> Json:
    """A field of the hit of a row, and those that are read with it; "" reads all."""
    number, place = row.place
    if name in _IN_RECEIPTS:
        segment = snapshot.segments[number]
        key = segment.keys[place].tobytes().hex()
        return {"key": key, "text": segment.text(place), "score_bits": index.bits(row.score)}
    return _fields(row, snapshot.chunk(number, place))


def _whole(snapshot: Snapshot, rows: Sequence[Row], first: int, context: int, vectors: bool) -> tuple[Hit, ...]:
    """Hits with every field."""
    places = [row.place for row in rows]
    hits = tuple(
        _hit(snapshot, rank, row, chunk, context)
        for rank, (row, chunk) in enumerate(zip(rows, snapshot.chunks(places), strict=True), first)
    )
    if not vectors or not places:
        return hits
    stored = snapshot.vectors_at(*(np.array(column) for column in zip(*places, strict=True)))
    return tuple(replace(hit, vector=vector) for hit, vector in zip(hits, stored, strict=True))


def _hit(snapshot: Snapshot, rank: int, row: Row, chunk: ChunkRow, context: int) -> Hit:
    around = snapshot.context(chunk.key, chunk.document, context) if context else None
    fields = {"rank": rank, "score": row.score, **_fields(row, chunk), "context": around, "by": row.by, "vector": None}
    return Hit.made({**fields, **row.said} if row.said else fields)


def _fields(row: Row, chunk: ChunkRow) -> Json:
    """What a hit says of its chunk."""
    position = chunk.position
    return {
        "score_bits": index.bits(row.score),
        "document": chunk.document,
        "key": chunk.key.hex(),
        "span": chunk.span,
        "text": chunk.text,
        "title": chunk.title,
        "metadata": readable(chunk.metadata) if chunk.metadata else {},
        "headings": position.headings,
        "header": position.header,
        "page": position.page,
        "sheet": position.sheet,
        "line": position.line,
    }
