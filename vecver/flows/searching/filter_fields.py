"""The fields that filters may name: their values in a segment's documents and chunks, their types in a version.

What is worked out of a segment or a version is kept for as long as that is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from vecver import index, repo
from vecver.model import Json
from vecver.repo import METADATA, POSITION

if TYPE_CHECKING:
    import pyarrow as pa

    from vecver.repo import Snapshot

FIELDS: Final = ("page", "sheet", "line", "headings")  # of a chunk, that filters may name
_KINDS: Final = {"page": "int", "line": "int", "sheet": "str", "headings": "strs"}  # as metadata would be stored

# Of segments:
_VALUES: WeakKeyDictionary[Any, dict[str, index.FieldValues]] = WeakKeyDictionary()
_CHUNK_VALUES: WeakKeyDictionary[Any, dict[str, index.SharedValues]] = WeakKeyDictionary()
_PARTS: WeakKeyDictionary[Any, list[Json]] = WeakKeyDictionary()
_PART_FIELDS: WeakKeyDictionary[Any, dict[str, npt.NDArray[np.bool_]]] = WeakKeyDictionary()
_OWNERS: WeakKeyDictionary[Any, npt.NDArray[np.int64]] = WeakKeyDictionary()
# Of versions:
_PLACE_FIELDS: WeakKeyDictionary[Snapshot, frozenset[str]] = WeakKeyDictionary()
_HAS_SOURCES: WeakKeyDictionary[Snapshot, bool] = WeakKeyDictionary()
_TYPES: WeakKeyDictionary[Snapshot, dict[str, index.FieldTypes]] = WeakKeyDictionary()


# -- fields of a version ------------------------------------------------------------------------


def _columns(snapshot: Snapshot) -> list[tuple[str, str]]:
    """(field, stored type) of every metadata column in which a live document has a value."""
    return [(field, kind) for name in snapshot.metadata for _, kind, field in [name.split(".", 2)]]


def fields_for(snapshot: Snapshot, filter: Json) -> set[str]:
    """What this filter may name. An exported version does not say where its documents came from."""
    known = {field for field, _ in _columns(snapshot)} | place_fields(snapshot) | set(index.BUILT_IN)
    no_source = "$source" in index.fields_of(filter) and not _has_sources(snapshot)
    return known - {"$source"} if no_source else known


def _has_sources(snapshot: Snapshot) -> bool:
    if snapshot not in _HAS_SOURCES:
        segments = ((snapshot.segments[number], rows) for number, rows in snapshot.document_rows())
        _HAS_SOURCES[snapshot] = any(
            document_values(segment, "$source").exists(segment.document_count)[rows].any() for segment, rows in segments
        )
    return _HAS_SOURCES[snapshot]


def place_fields(snapshot: Snapshot) -> frozenset[str]:
    """The fields of a chunk's place, and of parts of documents, that a live document's chunks have."""
    if snapshot not in _PLACE_FIELDS:
        fields = {field for field in FIELDS if POSITION + field in snapshot.positions}
        if POSITION + "part" in snapshot.positions:
            for number, rows in snapshot.document_rows():
                holders = _part_fields(snapshot.segments[number])
                fields |= {field for field, documents in holders.items() if documents[rows].any()}
        _PLACE_FIELDS[snapshot] = frozenset(fields)
    return _PLACE_FIELDS[snapshot]


def types_in(snapshot: Snapshot, unknown: Collection[str]) -> Callable[[str], index.FieldTypes]:
    """The types that a field's values have in a version; `unknown` fields take values of every type."""

    def types(field: str) -> index.FieldTypes:
        if field in unknown:
            return index.FieldTypes(has_empty_lists=True)
        if field in index.BUILT_IN:
            return index.FieldTypes(frozenset(("text",)))
        known = _TYPES.setdefault(snapshot, {})
        if field not in known:
            known[field] = _types(snapshot, field)
        return known[field]

    return types


def _types(snapshot: Snapshot, field: str) -> index.FieldTypes:
    parts = []
    for number, rows in snapshot.document_rows():
        segment = snapshot.segments[number]
        if field in place_fields(snapshot):
            parts.append(chunk_values(segment, place_fields(snapshot), field).types(listed_by(segment, rows)))
        else:
            parts.append(document_values(segment, field).types(_mask(segment.document_count, rows)))
    return index.FieldTypes.union(parts)


def kinds_in(snapshot: Snapshot) -> Callable[[str], Collection[str] | None]:
    """The stored types that a field's values have in a version, as `index.expression` asks for them."""
    columns, types, places = _columns(snapshot), types_in(snapshot, ()), place_fields(snapshot)

    def kinds(field: str) -> Collection[str] | None:
        if field in places:
            return None
        stored = {kind for name, kind in columns if name == field}
        if "json" in stored and not types(field).has_comparable_json:
            stored ^= {"json", "object"}
        return stored

    return kinds


# -- fields of a segment ------------------------------------------------------------------------


def document_values(segment: Any, field: str) -> index.FieldValues:
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
    import pyarrow as pa
    import pyarrow.compute as pc

    name = "document" if field == "$path" else field[1:]
    if name not in segment.documents.column_names:  # an export has no sources
        return index.FieldValues({})
    column = segment.documents.column(name)
    filled = pc.if_else(pc.not_equal(column, ""), column, pa.scalar(None, pa.string()))
    return index.FieldValues({"str": filled}, are_names=True, are_paths=field == "$path")


def chunk_values(segment: Any, places: Collection[str], field: str) -> index.SharedValues:
    """A field's values in the chunks that a segment's documents list, in their order."""
    fields = _CHUNK_VALUES.setdefault(segment, {})
    if field not in fields:
        of_documents = index.Held(document_values(segment, field), segment.document_count, _owners(segment))
        of_places = () if field in index.BUILT_IN else _values_of_places(segment, field)
        fields[field] = index.SharedValues([of_documents, *of_places])
    values = fields[field]
    return values if field in places else index.SharedValues(values.held[:1])


def _values_of_places(segment: Any, field: str) -> Iterable[index.Held]:
    """The field's values in the places of chunks, of documents whose metadata has no such field."""
    import pyarrow as pa

    owners = _owners(segment)
    column = repo.named_positions(segment.documents, field if field in FIELDS else "part", owners)
    if column:
        has_metadata = document_values(segment, field).exists(segment.document_count)
        stored = {_KINDS[field]: column.values} if field in FIELDS else _part_columns(segment, field)
        values = index.FieldValues({kind: pa.chunked_array([array]) for kind, array in stored.items()})
        yield index.Held(values, len(column.values), np.where(has_metadata[owners], -1, column.of))


def _parts(segment: Any) -> list[Json]:
    """The metadata of all parts of a segment's documents, in their order."""
    if segment not in _PARTS:
        column = repo.named_positions(segment.documents, "part", _owners(segment))
        _PARTS[segment] = [json.loads(part) for part in column.values.to_pylist()] if column else []
    return _PARTS[segment]


def _part_columns(segment: Any, field: str) -> dict[str, pa.Array]:
    """The values that a field has in these parts, `(parts,)` each, by the type under which metadata would be stored."""
    rows = [{field: part[field]} if field in part else {} for part in _parts(segment)]
    return {name.split(".", 2)[1]: array for name, array in repo.metadata_columns(rows).items()}


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
        _OWNERS[segment] = repo.chunk_owners(segment.documents)
    return _OWNERS[segment]


def listed_by(segment: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of the chunks that a segment's documents list are of these documents."""
    return _mask(segment.document_count, rows)[_owners(segment)]


def _mask(count: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def _names(table: pa.Table, field: str) -> list[str]:
    return [name for name in table.column_names if name.startswith(METADATA) and name.split(".", 2)[2] == field]
