"""Root rows: what many rows add to the roots, from whole columns. `schema` defines the bytes of a row, row by row.

Decisions
1. Fewer than FEW rows are written row by row, since importing `pyarrow.compute` takes 0.03 s. So are blocks of more
   than LARGEST bytes, which one Arrow column may not hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.digest import canonical_json
from vecver.json_columns import (
    hex_of,
    joined,
    lists_json,
    numbers_json,
    objects_json,
    quoted,
    row_digests,
    rows_of_matrix,
)
from vecver.repo.rows import schema
from vecver.repo.rows.kernel.loading import LANES, Lanes
from vecver.repo.rows.positions import positions_json
from vecver.repo.rows.roots import lanes_of, lanes_of_rows

FEW: Final = 64
LARGEST: Final = 1 << 28  # control characters take six times their bytes in JSON
BLOCK_ROWS: Final = 16384  # rows whose canonical bytes are in memory at once

Rows = npt.NDArray[np.int64]


def document_lanes(documents: pa.Table, rows: Rows) -> Lanes:
    """The sum of these document rows in the content root, `(1024,)` uint16."""
    return _lanes(documents, rows, document_rows, schema.document_bytes)


def chunk_lanes(chunks: pa.Table, rows: Rows) -> Lanes:
    """The sum of these chunk rows in the content root, `(1024,)` uint16."""
    return _lanes(chunks.select(["key", "text"]), rows, chunk_rows, schema.chunk_bytes)


def _lanes(
    table: pa.Table,
    rows: Rows,
    column_of: Callable[[pa.Table], pa.Array],
    bytes_of: Callable[[pa.Table, Sequence[int]], Iterator[bytes]],
) -> Lanes:
    if not len(rows):
        return np.zeros(LANES, "<u2")
    if len(rows) < FEW:
        return lanes_of(bytes_of(table, rows.tolist()))
    total = np.zeros(LANES, "<u2")
    for start in range(0, len(rows), BLOCK_ROWS):
        block = schema.taken(table, rows[start : start + BLOCK_ROWS])
        if block.nbytes < LARGEST:
            total += lanes_of_rows(column_of(block))
        else:
            total += lanes_of(bytes_of(block, range(len(block))))
    return total


def document_digests(documents: pa.Table, rows: Rows) -> tuple[np.ndarray[Any, Any], list[str], list[bytes]]:
    """(sha256 of what each of these document rows adds to the content root, `(n, 32)`; sources; recipes)."""
    digests = [np.zeros((0, 32), np.uint8)]
    for start in range(0, len(rows), BLOCK_ROWS):
        digests.append(_block_digests(documents, rows[start : start + BLOCK_ROWS]))
    others = schema.taken(documents.select(["source", "recipe"]), rows)
    return np.concatenate(digests), others.column("source").to_pylist(), others.column("recipe").to_pylist()


def _block_digests(documents: pa.Table, rows: Rows) -> np.ndarray[Any, Any]:
    if len(rows) >= FEW:
        block = schema.taken(documents, rows)
        if block.nbytes < LARGEST:
            return row_digests(document_rows(block))
    content = (hashlib.sha256(row).digest() for row in schema.document_bytes(documents, rows.tolist()))
    return np.frombuffer(b"".join(content), np.uint8).reshape(-1, 32)


def document_rows(picked: pa.Table) -> pa.Array:
    """The canonical bytes of document rows, as `schema.document_bytes` gives them."""
    columns = {name: schema.whole(picked.column(name)) for name in picked.column_names}
    return joined(
        b"document\0[",
        quoted(columns["document"]),
        b',"',
        rows_of_matrix(hex_of(schema.byte_rows(columns["digest"]))),
        b'",',
        quoted(columns["media_type"]),
        b",",
        quoted(columns["title"]),
        b",",
        lists_json(columns["chunks"], _quoted_keys(schema.items(columns["chunks"]))),
        b",",
        lists_json(columns["starts"], numbers_json(schema.items(columns["starts"]))),
        b",",
        lists_json(columns["ends"], numbers_json(schema.items(columns["ends"]))),
        b",",
        _metadata_json(columns, len(picked)),
        *_positions_json(picked),
        b"]",
    )


def chunk_rows(picked: pa.Table) -> pa.Array:
    """The canonical bytes of chunk rows, as `schema.chunk_bytes` gives them."""
    texts = schema.whole(picked.column("text")).cast(pa.binary())
    return joined(b"chunk\0", rows_of_matrix(schema.keys_array(picked.column("key"))), texts)


def _quoted_keys(keys: pa.Array) -> pa.Array:
    """Keys as the JSON strings of their hex characters."""
    digits = hex_of(schema.keys_array(keys))
    quotes = np.full((len(digits), 1), ord('"'), np.uint8)
    return rows_of_matrix(np.hstack([quotes, digits, quotes]))


def _metadata_json(columns: dict[str, Any], rows: int) -> pa.Array:
    fields: dict[str, list[pa.Array]] = {}
    for name, column in columns.items():
        if name.startswith(schema.METADATA):
            _, kind, field = name.split(".", 2)
            fields.setdefault(field, []).append(_values_json(kind, column))
    return objects_json(fields, rows)


def _values_json(kind: str, column: pa.Array) -> pa.Array:
    if kind == "str":
        return quoted(column)
    if kind in ("bool", "int", "float"):
        return numbers_json(column)
    values = column.to_pylist()
    if kind == "json":
        values = [None if value is None else json.loads(value) for value in values]
    return pa.array([None if value is None else canonical_json(value) for value in values], pa.binary())


def _positions_json(documents: pa.Table) -> list[pa.Array]:
    """What follows the metadata of the documents that have positions; nothing where none has."""
    positions = positions_json(documents)
    if not any(positions):
        return []
    return [pa.array([b"," + canonical_json(value) if value else b"" for value in positions], pa.binary())]
