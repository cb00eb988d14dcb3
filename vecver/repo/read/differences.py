"""Differences between two versions, found from their layouts; reads only rows that one side lacks.

Equal (segment, mask) pairs are skipped unread, shared segments are compared by their masks, and only the rows that are
left are compared, by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from vecver.errors import NotFoundError, say
from vecver.model import ChunkCounts, ChunkDiff, Diff, DocumentDiff, Json
from vecver.model.differences import Change, ChunkChange
from vecver.near import near
from vecver.repo.read.snapshot import ChunkRow, Snapshot
from vecver.repo.rows import schema
from vecver.repo.rows.layout import rows_of
from vecver.repo.rows.segment import Segment
from vecver.repo.rows.sorted_keys import Keys, Rows, as_keys

Row = tuple[bytes, Segment, int]
T = TypeVar("T")


def diff(before: Snapshot, after: Snapshot) -> Diff:
    """Documents and chunks of `after` against `before`."""
    old, new = _chunk_keys(before, after), _chunk_keys(after, before)
    of_documents = diff_documents(before, after)
    return replace(of_documents, chunks_added=len(_without(new, old)), chunks_removed=len(_without(old, new)))


def diff_documents(before: Snapshot, after: Snapshot) -> Diff:
    """As `diff`, from the rows of documents alone, which list their chunks: no text and no vector is read."""
    old, new = lacking_documents(before, after), lacking_documents(after, before)
    common = old.keys() & new.keys()
    changed = _changed(old, new, common)
    added, removed = (tuple(sorted(names - common)) for names in (new.keys(), old.keys()))
    counts = _chunk_counts(old, new, sorted([*added, *changed, *removed]))
    return Diff(
        before=before.commit.id,
        after=after.commit.id,
        added=added,
        changed=changed,
        removed=removed,
        chunks_added=sum(of_document.added for of_document in counts.values()),
        chunks_removed=sum(of_document.removed for of_document in counts.values()),
        chunks_of=counts,
    )


def diff_document(before: Snapshot, after: Snapshot, document: str) -> DocumentDiff:
    """One document of `after` against the same of `before`; reads that document alone.

    Raises NotFoundError if neither has it.
    """
    old, new = _Document.of(before, document), _Document.of(after, document)
    if old is None and new is None:
        raise _in_neither(before, after, document)
    fields = _fields(old, new) if old and new else {}
    chunks = tuple(_merged(_rows_of(before, old), _rows_of(after, new)))
    return DocumentDiff(before.commit.id, after.commit.id, document, _change(old, new), chunks, fields)


def _change(old: _Document | None, new: _Document | None) -> Change:
    if old is None or new is None:
        return "added" if old is None else "removed"
    return "unchanged" if old.identity == new.identity else "changed"


def lacking(snapshot: Snapshot, other: Snapshot) -> Iterator[tuple[Segment, Rows, Rows]]:
    """For each segment of `snapshot` its (segment, chunk rows, document rows) that are not live in `other`."""
    others = {live.segment: live for live in other.layout.segments}
    for segment, live in zip(snapshot.segments, snapshot.layout.segments, strict=True):
        same = others.get(live.segment)
        if same == live:
            continue
        chunks = live.chunks - same.chunks if same else live.chunks
        documents = live.documents - same.documents if same else live.documents
        yield segment, rows_of(chunks), rows_of(documents)


def lacking_documents(snapshot: Snapshot, other: Snapshot) -> dict[str, Row]:
    """name -> (source digest, segment, row), for the document rows of `snapshot` that are not live in `other`."""
    documents: dict[str, Row] = {}
    for segment, _, rows in lacking(snapshot, other):
        if not len(rows):  # nor is the table read
            continue
        picked = segment.documents.select(["document", "digest"]).take(schema.row_numbers(rows))
        names, digests = (picked.column(name).to_pylist() for name in ("document", "digest"))
        documents.update(zip(names, zip(digests, repeat(segment), rows.tolist(), strict=False), strict=True))
    return documents


def _changed(old: dict[str, Row], new: dict[str, Row], common: set[str]) -> tuple[str, ...]:
    """The documents whose rows differ; where the digests of their sources are equal, the rows are compared."""
    same = [name for name in common if old[name][0] == new[name][0]]
    read = schema.document_bytes
    pairs = zip(same, read_documents(old, same, read), read_documents(new, same, read), strict=True)
    return tuple(sorted(common - {name for name, a, b in pairs if a == b}))


def read_documents(
    rows: dict[str, Row], names: Sequence[str], read: Callable[[pa.Table, list[int]], Iterable[T]]
) -> list[T]:
    """The results of `read` for these documents, in the order of `names`; it is called once for each segment."""
    places: dict[Segment, list[tuple[str, int]]] = {}
    for name in names:
        _, segment, row = rows[name]
        places.setdefault(segment, []).append((name, row))
    results: dict[str, T] = {}
    for segment, documents in places.items():
        values = read(segment.documents, [row for _, row in documents])
        results.update(zip([name for name, _ in documents], values, strict=True))
    return [results[name] for name in names]


def _chunk_counts(old: dict[str, Row], new: dict[str, Row], names: Sequence[str]) -> dict[str, ChunkCounts]:
    """For each of these documents how many chunks it has before, after, only after and only before."""
    before, after = _keys_by_name(old, names), _keys_by_name(new, names)
    pairs = ((name, set(before.get(name, ())), set(after.get(name, ()))) for name in names)
    return {name: ChunkCounts(len(a), len(b), len(b - a), len(a - b)) for name, a, b in pairs}


def _keys_by_name(rows: dict[str, Row], names: Sequence[str]) -> dict[str, list[bytes]]:
    """The chunk keys of those of these documents that have a row."""
    present = [name for name in names if name in rows]
    return dict(zip(present, read_documents(rows, present, _keys_of), strict=True))


def _keys_of(documents: pa.Table, rows: list[int]) -> Iterable[list[bytes]]:
    picked = schema.taken(documents.select(["chunks"]), np.asarray(rows, np.int64))
    return picked.column(0).to_pylist()


@dataclass(frozen=True)
class _Document:
    """One document of a version: the keys of its chunks in order, and the other fields of its row."""

    keys: list[bytes]
    fields: Json
    identity: bytes  # all but its source: `diff` compares two versions of a document by it

    @classmethod
    def of(cls, snapshot: Snapshot, name: str) -> _Document | None:
        (number,), (row,) = snapshot.find_documents(as_keys([schema.document_id(name)]))
        if number < 0:
            return None
        segment, place = snapshot.segments[number], int(row)
        fields = {field: segment.documents.column(field)[place].as_py() for field in ("title", "media_type", "source")}
        (identity,) = schema.document_bytes(segment.documents, [place])
        keys = segment.documents.column("chunks")[place].as_py()
        return cls(keys, {**fields, "metadata": segment.metadata(place)}, identity)


def _fields(old: _Document, new: _Document) -> dict[str, tuple[Any, Any]]:
    """field -> (before, after) of the fields that differ, without the text; one of metadata is `metadata.year`."""
    before, after = ({**side.fields, **_dotted(side.fields["metadata"])} for side in (old, new))
    names = sorted((before.keys() | after.keys()) - {"metadata"})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _dotted(metadata: Json) -> Json:
    return {f"{schema.METADATA}{name}": value for name, value in metadata.items()}


def _rows_of(snapshot: Snapshot, document: _Document | None) -> dict[bytes, ChunkRow]:
    """key -> chunk, of all chunks of a document, in reading order."""
    if document is None or not document.keys:
        return {}
    numbers, rows = snapshot.find_chunks(as_keys(document.keys))
    places = zip(numbers.tolist(), rows.tolist(), strict=True)
    return {chunk.key: chunk for chunk in snapshot.chunks(list(places))}


def _merged(before: dict[bytes, ChunkRow], after: dict[bytes, ChunkRow]) -> Iterator[ChunkDiff]:
    """The chunks of both sides in reading order; a removed chunk comes before the kept chunk that followed it."""
    waiting: list[bytes] = []
    removed_before: dict[bytes, list[bytes]] = {}
    for key in before:
        if key in after:
            removed_before[key], waiting = waiting, []
        else:
            waiting.append(key)
    for key, row in after.items():
        yield from (_chunk("removed", before[gone]) for gone in removed_before.get(key, ()))
        yield _chunk("kept" if key in before else "added", row)
    yield from (_chunk("removed", before[gone]) for gone in waiting)


def _chunk(change: ChunkChange, row: ChunkRow) -> ChunkDiff:
    return ChunkDiff(change, row.key.hex(), row.text, row.span, row.position)


def _in_neither(before: Snapshot, after: Snapshot, document: str) -> NotFoundError:
    names = [name for side in (after, before) for name in side.documents(["document"]).column(0).to_pylist()]
    return NotFoundError(
        f"neither version has a document {document!r}",
        code="document_not_found",
        hint=say(
            "`docs.diff(before, after)` names the documents that differ",
            cli=f"`vecver diff {after.dataset} A B` lists the documents that differ",
            http="leave out `document`: the answer names the documents that differ",
        ),
        document=document,
        did_you_mean=near(document, names),
    )


def _chunk_keys(snapshot: Snapshot, other: Snapshot) -> Keys:
    keys = [segment.keys[rows] for segment, rows, _ in lacking(snapshot, other)]
    return np.concatenate(keys) if keys else np.zeros((0, 16), np.uint8)


def _without(keys: Keys, others: Keys) -> set[bytes]:
    """The keys that are not among the others."""
    return {key.tobytes() for key in keys} - {key.tobytes() for key in others}
