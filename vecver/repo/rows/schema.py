"""Schema: the columns of documents and chunks, and the bytes by which a row enters a root.

    documents   id · document · source · digest · recipe · media_type · title · chunks · starts · ends ·
                metadata.* · position.* · origin.*
    chunks      key · document · text · embedded

`id` is the 16-byte key of the document's name; `chunks` has the keys of its chunks in order, `starts` and `ends` their
spans in characters, `position.*` where else they stand (`repo.rows.positions`). `embedded` is the 16-byte digest of
what was embedded. `origin.*` (bucket, key, e_tag, version) names the object of a bucket that a document was read of.
The roots do not cover it: the same document read of a folder is the same row of a version.

Decisions
1. A metadata field has one column per *type* of its values (`metadata.int.year`, `metadata.str.year`). So every value
   is returned exactly as it was given, filters stay vectorised, and a field that changes its type is no error. With
   one column a field, 1 becomes 1.0 or "1" when a batch mixes them, and a row's digest depends on its batch.
2. There is no stored text digest: `key` is made from it, and hashing the texts of ten hits takes 10 us.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.digest import KEY_BYTES, canonical_json, key
from vecver.repo.rows.cells import METADATA as METADATA
from vecver.repo.rows.cells import ORIGIN
from vecver.repo.rows.cells import document_id as document_id
from vecver.repo.rows.positions import positions_json

if TYPE_CHECKING:
    from vecver.model import Json

KEY = pa.binary(KEY_BYTES)
DOCUMENTS = pa.schema(
    [
        ("id", KEY),
        ("document", pa.string()),
        ("source", pa.string()),
        ("digest", pa.binary(32)),
        ("recipe", KEY),
        ("media_type", pa.string()),
        ("title", pa.string()),
        ("chunks", pa.list_(KEY)),
        ("starts", pa.list_(pa.int32())),
        ("ends", pa.list_(pa.int32())),
    ]
)
CHUNKS = pa.schema([("key", KEY), ("document", pa.string()), ("text", pa.string()), ("embedded", KEY)])

_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "strs": pa.list_(pa.string()),
    "json": pa.string(),  # canonical JSON of anything else
}


def chunk_key(document: str, text: str, number: int) -> bytes:
    """The key of the `number`-th chunk with this text in this document: the same wherever the text stands in it."""
    return key(document.encode(), hashlib.sha256(text.encode()).digest(), number.to_bytes(4, "little"))


def keys_array(column: pa.ChunkedArray | pa.Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A column of 16-byte keys as `(n, 16)` uint8; no copy where the column has one piece."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            pieces = [keys_array(piece) for piece in column.chunks]
            return np.concatenate(pieces) if pieces else np.zeros((0, KEY_BYTES), np.uint8)
        column = column.chunk(0)
    data = np.frombuffer(column.buffers()[1], np.uint8) if len(column) else np.zeros(0, np.uint8)
    return data[column.offset * KEY_BYTES : (column.offset + len(column)) * KEY_BYTES].reshape(-1, KEY_BYTES)


def byte_rows(column: pa.Array) -> npt.NDArray[np.uint8]:
    """A column of byte strings of one length, without nulls, `(n, length)`; no copy."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8) if len(column) else np.zeros(0, np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def byte_column(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """Rows of bytes, `(n, length)`, as a column of byte strings of one length."""
    count, width = rows.shape
    return pa.Array.from_buffers(pa.binary(width), count, [None, pa.py_buffer(np.ascontiguousarray(rows))])


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; not copied if it is one already, as Arrow itself would."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def integers(column: pa.Array) -> npt.NDArray[np.int32]:
    """An int32 column without nulls, `(n,)`; no copy, and no import of pandas where that is installed (0.2 s)."""
    data = np.frombuffer(column.buffers()[1], np.int32) if len(column) else np.zeros(0, np.int32)
    return data[column.offset : column.offset + len(column)]


def items(lists: pa.Array) -> pa.Array:
    """The items of lists without nulls, one after the other; `flatten` would import `pyarrow.compute` (0.03 s)."""
    ends = integers(lists.offsets) if len(lists) else np.zeros(1, np.int32)
    return lists.values.slice(ends[0], ends[-1] - ends[0])


def row_numbers(rows: npt.NDArray[np.int64]) -> pa.Array:
    """Row numbers as pyarrow takes them; `pa.array` would import pandas where that is installed (0.3 s)."""
    numbers = np.ascontiguousarray(rows, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def taken(table: pa.Table, rows: npt.NDArray[np.int64]) -> pa.Table:
    """These rows of a table, in this order: a part of it where they follow one another, else a copy.

    It is made batch by batch: Arrow's `take` first joins all batches of a column, even for one row, which takes 0.1 to
    0.9 s for a table of 200,000 rows (pyarrow 26).
    """
    if not len(rows):
        return table.slice(0, 0)
    if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return table.slice(int(rows[0]), len(rows))  # `take` would import `pyarrow.compute` (0.03 s)
    batches = table.to_batches()
    if len(batches) < 2:
        return table.take(row_numbers(rows))
    starts = np.cumsum([0, *(len(batch) for batch in batches)])
    batch_of = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(batch_of, kind="stable")
    numbers, firsts = np.unique(batch_of[order], return_index=True)
    pieces = [
        batches[number].take(row_numbers(rows[mine] - starts[number]))
        for number, mine in zip(numbers, np.split(order, firsts[1:]), strict=True)
    ]
    picked = pa.Table.from_batches(pieces, table.schema)
    return picked if (np.diff(batch_of) >= 0).all() else picked.take(pa.array(np.argsort(order)))


# -- metadata -----------------------------------------------------------------------------------


def metadata_columns(values: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """The columns `metadata.TYPE.FIELD` that hold these metadata, one value a document."""
    cells: dict[str, list[Any]] = {}
    for row, fields in enumerate(values):
        for name, value in fields.items():
            kind = _kind(value)
            column = cells.setdefault(f"{METADATA}{kind}.{name}", [None] * len(values))
            column[row] = canonical_json(value).decode() if kind == "json" else value
    return {name: pa.array(cells[name], _TYPES[name.split(".")[1]]) for name in sorted(cells)}


def field_columns(fields: Mapping[str, pa.Array | list[Any]], rows: int) -> dict[str, pa.Array]:
    """As `metadata_columns`, of whole fields: columns of strings, int64, float64 or booleans, or lists of values."""
    kinds = {pa.string(): "str", pa.int64(): "int", pa.float64(): "float", pa.bool_(): "bool"}
    lists = {name: values for name, values in fields.items() if isinstance(values, list)}
    columns = {f"{METADATA}{kinds[v.type]}.{name}": v for name, v in fields.items() if not isinstance(v, list)}
    values = [{name: v[row] for name, v in lists.items() if v[row] is not None} for row in range(rows if lists else 0)]
    return dict(sorted({**columns, **metadata_columns(values)}.items()))


def metadata_of(table: pa.Table, row: int) -> Json:
    """The metadata of one document, exactly as given."""
    metadata: Json = {}
    for name in table.column_names:
        if name.startswith(METADATA):
            value = table.column(name)[row].as_py()
            if value is not None:
                _, kind, field = name.split(".", 2)
                metadata[field] = json.loads(value) if kind == "json" else value
    return dict(sorted(metadata.items()))


def origin_of(table: pa.Table, row: int) -> dict[str, str]:
    """Of which object of a bucket one document was read; empty for all others."""
    values = {
        name.removeprefix(ORIGIN): table.column(name)[row].as_py()
        for name in table.column_names
        if name.startswith(ORIGIN)
    }
    return {name: value for name, value in values.items() if value is not None}


def metadata_of_all(table: pa.Table) -> list[Json]:
    """The metadata of every document of a table."""
    metadata: list[Json] = [{} for _ in range(len(table))]
    for name in table.column_names:
        if name.startswith(METADATA):
            _, kind, field = name.split(".", 2)
            for row, value in enumerate(table.column(name).to_pylist()):
                if value is not None:
                    metadata[row][field] = json.loads(value) if kind == "json" else value
    return metadata


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "strs"
    return "json"


# -- what a row adds to the roots ---------------------------------------------------------------


def document_bytes(documents: pa.Table, rows: Sequence[int]) -> Iterator[bytes]:
    """Canonical bytes of document rows, for the content root; with the positions of a document that has any."""
    picked = taken(documents, np.asarray(rows, np.int64))
    columns = ["document", "digest", "media_type", "title", "chunks", "starts", "ends"]
    values = [picked.column(name).to_pylist() for name in columns]
    described = zip(metadata_of_all(picked), positions_json(picked), strict=True)
    for fields, (metadata, positions) in zip(zip(*values, strict=True), described, strict=True):
        document, digest, media_type, title, chunks, starts, ends = fields
        identity = [document, digest.hex(), media_type, title, [c.hex() for c in chunks], starts, ends]
        yield b"document\0" + canonical_json([*identity, metadata, *([positions] if positions else [])])


def chunk_bytes(chunks: pa.Table, rows: Sequence[int]) -> Iterator[bytes]:
    """Canonical bytes of chunk rows, for the content root: key and text."""
    picked = taken(chunks.select(["key", "text"]), np.asarray(rows, np.int64))
    for name, text in zip(picked.column("key").to_pylist(), picked.column("text").to_pylist(), strict=True):
        yield b"chunk\0" + name + text.encode()


def vector_bytes(keys: npt.NDArray[np.uint8], vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Canonical bytes of chunk rows, for the vector root: key and little-endian float32 bits, `(n, 23 + 4 * dim)`."""
    before, width = 7 + KEY_BYTES, 4 * vectors.shape[1]
    rows = np.empty((len(keys), before + width), np.uint8)
    rows[:, :7], rows[:, 7:before] = np.frombuffer(b"vector\0", np.uint8), keys
    rows[:, before:] = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
    return rows
