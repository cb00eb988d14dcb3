"""Filters on a version: which of its documents match, and what a Milvus is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from vecver import index
from vecver.model import Json
from vecver.repo import METADATA, Snapshot

# What filters have worked out of each field of a segment's documents, for as long as the segment is open.
_VALUES: WeakKeyDictionary[Any, dict[str, index.FieldValues]] = WeakKeyDictionary()


def matching_documents(snapshot: Snapshot, filter: Json | None, *, refuse: bool = True) -> Any:
    """The names of the live documents that match, an Arrow array; None for no filter.

    `refuse`: a value that cannot be compared with those of its field is an error; else it equals none of them.
    Raises InvalidInputError.
    """
    if filter is None or filter == {}:
        return None
    columns = _columns(snapshot)
    types = _types(snapshot)
    index.check_filter(filter, {field for field, _ in columns}, types if refuse else None)
    resolved, matching = index.resolved(filter, types), []
    for number, rows in snapshot.document_rows():
        segment = snapshot.segments[number]
        mask = index.evaluate(resolved, partial(_values, segment), segment.document_count)
        matching += segment.documents.column("document").take(pa.array(rows[mask[rows]])).chunks
    return pa.chunked_array(matching, pa.string()).combine_chunks()


def milvus_expression(snapshot: Snapshot, filter: Json | None) -> str:
    """What selects the rows that match in a Milvus, and perhaps more; "": all. The filter was checked."""
    if not filter:
        return ""
    return index.expression(index.resolved(filter, _types(snapshot)), _kinds(snapshot))


def _columns(snapshot: Snapshot) -> list[tuple[str, str]]:
    """(field, stored type) of every metadata column in which a live document has a value."""
    return [(field, kind) for name in snapshot.metadata for _, kind, field in [name.split(".", 2)]]


def _types(snapshot: Snapshot) -> Callable[[str], index.FieldTypes]:
    """The types that a field's values have in a version."""

    @cache
    def types(field: str) -> index.FieldTypes:
        parts = []
        for number, rows in snapshot.document_rows():
            segment = snapshot.segments[number]
            live = np.zeros(segment.document_count, bool)
            live[rows] = True
            parts.append(_values(segment, field).types(live))
        return index.FieldTypes.union(parts)

    return types


def _kinds(snapshot: Snapshot) -> Callable[[str], Collection[str]]:
    """The stored types that a field's values have in a version, as `index.expression` asks for them."""
    columns, types = _columns(snapshot), _types(snapshot)

    def kinds(field: str) -> Collection[str]:
        stored = {kind for own, kind in columns if own == field}
        if "json" in stored and not types(field).has_comparable_json:
            stored ^= {"json", "object"}
        return stored

    return kinds


def _values(segment: Any, field: str) -> index.FieldValues:
    """A field's values in a segment's documents."""
    fields = _VALUES.setdefault(segment, {})
    if field not in fields:
        table = segment.documents
        names = [name for name in table.column_names if name.startswith(METADATA) and name.split(".", 2)[2] == field]
        fields[field] = index.FieldValues({name.split(".", 2)[1]: table.column(name) for name in names})
    return fields[field]
