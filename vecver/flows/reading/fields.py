"""Fields: what filters may name in a version. Metadata, the places of chunks, and what every document has.

Values are counted, and the most frequent ones become examples; of lists the items, as filters compare them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from vecver import index
from vecver.decimals import readable
from vecver.flows.searching.filter_fields import FIELDS
from vecver.model import Field, Fields
from vecver.repo import POSITION, Snapshot, metadata_columns, named_positions

_EXAMPLES = 3
_LONGEST = 100  # characters of an example
_KINDS: Final = {"page": "int", "line": "int", "sheet": "str", "headings": "strs"}


class _Column(NamedTuple):
    """The values of a field that have one type."""

    type: str
    documents: int  # that have one
    values: pa.ChunkedArray  # one a document, or a chunk


def fields_of(snapshot: Snapshot) -> Fields:
    """Every field in which a live document, or a part of one, has a value, and those that every document has."""
    columns: dict[str, list[_Column]] = {}
    for name, column in (*_metadata(snapshot), *_parts(snapshot)):
        columns.setdefault(name, []).append(column)
    metadata = [_field(name, "metadata", columns[name]) for name in sorted(columns)]
    positions = sorted(_positions(snapshot).items())
    places = [_field(name, "position", [column]) for name, column in positions if name not in columns]
    built_in = [_field(name, "built-in", [column]) for name, column in sorted(_built_in(snapshot).items())]
    return Fields((*metadata, *places, *built_in))


def _field(name: str, kind: str, columns: list[_Column]) -> Field:
    documents = sum(column.documents for column in columns)
    examples = [value for column in columns for value in _frequent(column)]
    types = tuple(sorted({column.type for column in columns}))
    return Field(name, kind, types, documents, tuple(examples[:_EXAMPLES]))


def _metadata(snapshot: Snapshot) -> Iterator[tuple[str, _Column]]:
    """(field, values) of each column of metadata."""
    for name in snapshot.metadata:
        column = snapshot.order.table(slice(None), [name]).column(0).drop_null()
        _, kind, field = name.split(".", 2)
        yield field, _Column(kind, len(column), column)


def _parts(snapshot: Snapshot) -> Iterator[tuple[str, _Column]]:
    """The same of the parts of documents (mails of a mailbox), as chunks have them."""
    if POSITION + "part" not in snapshot.positions:
        return
    table = snapshot.order.table(slice(None), [POSITION + "parts"])
    lists = table.column(0).to_pylist()
    parts = [(row, json.loads(part)) for row, parts_of_row in enumerate(lists) for part in parts_of_row or ()]
    for name, column in metadata_columns([part for _, part in parts]).items():
        _, kind, field = name.split(".", 2)
        holders = {row for row, part in parts if field in part}
        yield field, _Column(kind, len(holders), pa.chunked_array([column]).drop_null())


def _positions(snapshot: Snapshot) -> dict[str, _Column]:
    """Field -> values of where chunks stand."""
    fields = {}
    for field in FIELDS:
        if POSITION + field in snapshot.positions:
            names = [name for name in snapshot.positions if name.startswith(POSITION)]
            table = snapshot.order.table(slice(None), ["chunks", *names])
            column = named_positions(table, field)
            assert column, f"no column {field}"
            documents = int(np.count_nonzero(table.column(POSITION + field).is_valid().to_numpy()))
            values = column.values.take(pa.array(column.of[column.of >= 0], pa.int64()))
            fields[field] = _Column(_KINDS[field], documents, pa.chunked_array([values]))
    return fields


def _built_in(snapshot: Snapshot) -> dict[str, _Column]:
    """Field -> values of what every document has; in an exported version not all are there."""
    import pyarrow.compute as pc

    fields = {}
    for field in index.BUILT_IN:
        table = snapshot.order.table(slice(None), ["document" if field == "$path" else field[1:]])
        if table.num_columns:
            values = table.column(0).filter(pc.not_equal(table.column(0), ""))
            fields[field] = _Column("str", len(values), values)
    return fields


def _frequent(column: _Column) -> Iterable[Any]:
    """The most frequent values, at most 3; of equally many the least first."""
    import pyarrow.compute as pc

    kind = column.type
    values = pc.list_flatten(column.values) if kind == "strs" else column.values
    if kind in ("str", "strs", "json"):
        values = values.filter(pc.less_equal(pc.utf8_length(values), _LONGEST))
    counts = values.value_counts()
    table = pa.table({"value": counts.field("values"), "count": counts.field("counts")})
    if kind == "bool":
        ranked = sorted(table.to_pylist(), key=lambda row: -row["count"])
        return [row["value"] for row in ranked]
    order = pc.sort_indices(table, [("count", "descending"), ("value", "ascending")])[:_EXAMPLES]
    first = table.column("value").take(order).to_pylist()
    return [readable(json.loads(value)) for value in first] if kind == "json" else first
