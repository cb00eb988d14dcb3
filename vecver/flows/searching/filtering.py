"""Filters on a version: which of its documents or chunks match, and what a Milvus is asked for.

A filter that names only metadata is evaluated over documents. One that asks where a chunk stands (`page`, `sheet`,
`line`, `headings`), or for metadata of a part of its document (a mail of a mailbox), is evaluated over the chunks that
the documents list, entry by entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver import index
from vecver.digest import KEY_BYTES
from vecver.flows.searching.opened_indexes import index_of, view_of
from vecver.model import Json, Part
from vecver.repo import (
    METADATA,
    POSITION,
    SearchPart,
    Snapshot,
    chunk_owners,
    metadata_columns,
    named_positions,
)

FIELDS: Final = ("page", "sheet", "line", "headings")  # of a chunk, that filters may name
_KINDS: Final = {"page": "int", "line": "int", "sheet": "str", "headings": "strs"}  # as metadata would be stored

# What filters have worked out of each field of a segment's documents, for as long as the segment is open.
_VALUES: WeakKeyDictionary[Any, dict[str, index.FieldValues]] = WeakKeyDictionary()
_CHUNK_VALUES: WeakKeyDictionary[Any, dict[str, index.SharedValues]] = WeakKeyDictionary()
_PARTS: WeakKeyDictionary[Any, list[Json]] = WeakKeyDictionary()
_PART_FIELDS: WeakKeyDictionary[Any, dict[str, npt.NDArray[np.bool_]]] = WeakKeyDictionary()
_OWNERS: WeakKeyDictionary[Any, npt.NDArray[np.int64]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Selection:
    """The chunks whose value in a column of chunk rows is one of some, but for a few."""

    column: str  # "document": names of documents, or "key"
    values: Any  # an Arrow array; None: all chunks
    without: pa.Array | None = None  # keys of chunks that are not selected
    without_documents: tuple[str, ...] = ()  # whose chunks are not selected

    def mask(self, column_of: Callable[[str], pa.Array | pa.ChunkedArray]) -> npt.NDArray[np.bool_]:
        """Which chunk rows are selected, `(n,)`. `column_of`: the rows' values in a column, `document` or `key`."""
        import pyarrow.compute as pc

        if self.values is None:
            mask = np.ones(len(column_of("key")), bool)
        else:
            mask = np.asarray(pc.is_in(column_of(self.column), value_set=self.values), dtype=bool)
        if self.without is not None:
            mask &= ~np.asarray(pc.is_in(column_of("key"), value_set=self.without), dtype=bool)
        if self.without_documents:
            names = pa.array(self.without_documents, pa.string())
            mask &= ~np.asarray(pc.is_in(column_of("document"), value_set=names), dtype=bool)
        return mask


def leaving_out(selection: Selection | None, documents: Sequence[str]) -> Selection | None:
    """A selection (None: all chunks) without the chunks of some documents."""
    if not documents:
        return selection
    return replace(selection or Selection("key", None), without_documents=tuple(documents))


def key_column(keys: npt.NDArray[np.uint8]) -> pa.Array:
    """Keys, `(n, 16)`, as a column of chunk rows holds them."""
    return pa.Array.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, pa.py_buffer(keys.tobytes())])


def matching(
    snapshot: Snapshot, filter: Json | None, *, refuse: bool = True, allow_unknown: bool = False
) -> Selection | None:
    """The live chunks that match, by their documents where all chunks of a document match alike; None for no filter.

    `refuse`: a value that cannot be compared with those of its field is an error; else it equals none of them.
    `allow_unknown`: a field that no document has is a field without values; else it is an error.
    Raises InvalidInputError.
    """
    if filter is None or filter == {}:
        return None
    unknown = set(unknown_fields(snapshot, filter)) if allow_unknown else set[str]()
    standing, types = _standing(snapshot), _types(snapshot, unknown)
    index.check_filter(filter, _fields(snapshot, filter) | unknown, types if refuse else None)
    resolved = index.resolved(filter, types)
    by_chunk = not standing.isdisjoint(index.fields_of(filter))
    return (_matching_chunks if by_chunk else _matching_documents)(snapshot, resolved)


def unknown_fields(snapshot: Snapshot, filter: Json | None) -> list[str]:
    """The fields of a filter that no document of the version has, sorted. Raises InvalidInputError (its form)."""
    return sorted(index.fields_of(filter) - _fields(snapshot, filter)) if filter else []


def filtered(snapshot: Snapshot, selection: Selection | None) -> list[Part]:
    """The snapshot's parts with the indexes opened so far, and only the rows of a selection; None: all."""
    if selection is None:
        return [_indexed(snapshot, part, part.part) for part in snapshot.parts]
    parts = []
    for place in snapshot.parts:
        mask = selection.mask(partial(snapshot.chunk_column, place))
        parts.append(_indexed(snapshot, place, snapshot.narrowed(place, mask)))
    return parts


def _indexed(snapshot: Snapshot, place: SearchPart, part: Part) -> Part:
    """A part with its segment's index under the part's mask; none for gathered rows, or while it was not opened."""
    if place.segment < 0:
        return part
    if part is place.part:
        return replace(part, index=view_of(snapshot, place.segment, part))
    opened = index_of(snapshot.segments[place.segment])
    return replace(part, index=opened and index.faiss.View(opened, part.live, part.live_count))


def _matching_documents(snapshot: Snapshot, filter: Json) -> Selection:
    found: list[pa.Array] = []
    for number, rows in snapshot.document_rows():
        segment = snapshot.segments[number]
        mask = index.evaluate(filter, partial(_values, segment), segment.document_count)
        found += segment.documents.column("document").take(pa.array(rows[mask[rows]])).chunks
    return Selection("document", pa.chunked_array(found, pa.string()).combine_chunks())


def _matching_chunks(snapshot: Snapshot, filter: Json) -> Selection:
    import pyarrow.compute as pc

    standing = _standing(snapshot)
    found: list[pa.Array] = []
    for number, rows in snapshot.document_rows():
        segment = snapshot.segments[number]
        live = _chunks_of(segment, rows)
        mask = index.evaluate(filter, partial(_chunk_values, segment, standing), len(live)) & live
        found += pc.list_flatten(segment.documents.column("chunks")).filter(pa.array(mask)).chunks
    return Selection("key", pa.chunked_array(found, pa.binary(KEY_BYTES)).combine_chunks())


def milvus_expression(snapshot: Snapshot, filter: Json | None) -> str:
    """What selects the rows that match in a Milvus, and perhaps more; "": all. The filter was checked."""
    if not filter:
        return ""
    return index.expression(index.resolved(filter, _types(snapshot, ())), _kinds(snapshot))


# -- fields of a version ------------------------------------------------------------------------


def _columns(snapshot: Snapshot) -> list[tuple[str, str]]:
    """(field, stored type) of every metadata column in which a live document has a value."""
    return [(field, kind) for name in snapshot.metadata for _, kind, field in [name.split(".", 2)]]


def _fields(snapshot: Snapshot, filter: Json) -> set[str]:
    """What this filter may name. An exported version does not say where its documents came from."""
    known = {field for field, _ in _columns(snapshot)} | _standing(snapshot) | set(index.BUILT_IN)
    no_source = "$source" in index.fields_of(filter) and not _has_sources(snapshot)
    return known - {"$source"} if no_source else known


def _has_sources(snapshot: Snapshot) -> bool:
    return any(
        _values(snapshot.segments[number], "$source").exists(snapshot.segments[number].document_count)[rows].any()
        for number, rows in snapshot.document_rows()
    )


def _standing(snapshot: Snapshot) -> set[str]:
    """The fields of a chunk's place that a live document's chunks have."""
    there = {field for field in FIELDS if POSITION + field in snapshot.positions}
    if POSITION + "part" in snapshot.positions:
        for number, rows in snapshot.document_rows():
            fields = _part_fields(snapshot.segments[number])
            there |= {field for field, holders in fields.items() if holders[rows].any()}
    return there


def _types(snapshot: Snapshot, unknown: Collection[str]) -> Callable[[str], index.FieldTypes]:
    """The types that a field's values have in a version; `unknown` fields take values of every type."""
    standing = _standing(snapshot)

    @cache
    def types(field: str) -> index.FieldTypes:
        if field in unknown:
            return index.FieldTypes(has_empty_lists=True)
        if field in index.BUILT_IN:
            return index.FieldTypes(frozenset(("text",)))
        parts = []
        for number, rows in snapshot.document_rows():
            segment = snapshot.segments[number]
            if field in standing:
                parts.append(_chunk_values(segment, standing, field).types(_chunks_of(segment, rows)))
            else:
                parts.append(_values(segment, field).types(_mask(segment.document_count, rows)))
        return index.FieldTypes.union(parts)

    return types


def _kinds(snapshot: Snapshot) -> Callable[[str], Collection[str] | None]:
    """The stored types that a field's values have in a version, as `index.expression` asks for them."""
    columns, types, standing = _columns(snapshot), _types(snapshot, ()), _standing(snapshot)

    def kinds(field: str) -> Collection[str] | None:
        if field in standing:
            return None
        stored = {kind for own, kind in columns if own == field}
        if "json" in stored and not types(field).has_comparable_json:
            stored ^= {"json", "object"}
        return stored

    return kinds


# -- fields of a segment ------------------------------------------------------------------------


def _values(segment: Any, field: str) -> index.FieldValues:
    """A field's values in a segment's documents."""
    fields = _VALUES.setdefault(segment, {})
    if field not in fields and field in index.BUILT_IN:
        fields[field] = _built_in_values(segment, field)
    if field not in fields:
        table = segment.documents
        names = _names(table, field)
        fields[field] = index.FieldValues({name.split(".", 2)[1]: table.column(name) for name in names})
    return fields[field]


def _built_in_values(segment: Any, field: str) -> index.FieldValues:
    import pyarrow.compute as pc

    name = "document" if field == "$path" else field[1:]
    if name not in segment.documents.column_names:  # an export has no sources
        return index.FieldValues({})
    column = segment.documents.column(name)
    filled = pc.if_else(pc.not_equal(column, ""), column, pa.scalar(None, pa.string()))
    return index.FieldValues({"str": filled}, are_names=True, are_paths=field == "$path")


def _chunk_values(segment: Any, standing: Collection[str], field: str) -> index.SharedValues:
    """A field's values in the chunks that a segment's documents list, in their order."""
    fields = _CHUNK_VALUES.setdefault(segment, {})
    if field not in fields:
        own = index.Held(_values(segment, field), segment.document_count, _owners(segment))
        standing_values = () if field in index.BUILT_IN else _held(segment, field)
        fields[field] = index.SharedValues([own, *standing_values])
    held = fields[field]
    return held if field in standing else index.SharedValues(held.held[:1])


def _held(segment: Any, field: str) -> Iterable[index.Held]:
    """Where the chunks stand, of documents whose metadata has no such field."""
    owners = _owners(segment)
    column = named_positions(segment.documents, field if field in FIELDS else "part", owners)
    if column:
        has_metadata = _values(segment, field).exists(segment.document_count)
        stored = {_KINDS[field]: column.values} if field in FIELDS else _part_columns(segment, field)
        values = index.FieldValues({kind: pa.chunked_array([array]) for kind, array in stored.items()})
        yield index.Held(values, len(column.values), np.where(has_metadata[owners], -1, column.of))


def _parts(segment: Any) -> list[Json]:
    """The metadata of all parts of a segment's documents, in their order."""
    if segment not in _PARTS:
        column = named_positions(segment.documents, "part", _owners(segment))
        _PARTS[segment] = [json.loads(part) for part in column.values.to_pylist()] if column else []
    return _PARTS[segment]


def _part_columns(segment: Any, field: str) -> dict[str, pa.Array]:
    """The values that a field has in these parts, `(parts,)` each, by the type under which metadata would be stored."""
    rows = [{field: part[field]} if field in part else {} for part in _parts(segment)]
    return {name.split(".", 2)[1]: array for name, array in metadata_columns(rows).items()}


def _part_fields(segment: Any) -> dict[str, npt.NDArray[np.bool_]]:
    """Field of parts -> which of the segment's documents have it, `(documents,)`."""
    if segment not in _PART_FIELDS:
        found: dict[str, npt.NDArray[np.bool_]] = {}
        name = POSITION + "parts"
        table = segment.documents
        counts = table.column(name).combine_chunks().value_lengths().fill_null(0) if name in table.column_names else []
        holders = np.repeat(np.arange(len(counts)), np.asarray(counts, np.int64))
        for row, part in zip(holders.tolist(), _parts(segment), strict=True):
            for field in part:
                found.setdefault(field, np.zeros(len(counts), bool))[row] = True
        _PART_FIELDS[segment] = found
    return _PART_FIELDS[segment]


def _owners(segment: Any) -> npt.NDArray[np.int64]:
    if segment not in _OWNERS:
        _OWNERS[segment] = chunk_owners(segment.documents)
    return _OWNERS[segment]


def _chunks_of(segment: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the chunks that a segment's documents list are of these documents."""
    return _mask(segment.document_count, rows)[_owners(segment)]


def _mask(count: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def _names(table: pa.Table, field: str) -> list[str]:
    return [name for name in table.column_names if name.startswith(METADATA) and name.split(".", 2)[2] == field]
