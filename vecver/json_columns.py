"""Canonical JSON of Arrow columns, and digests of their rows: whole columns at once, no Python object for a value.

The bytes are those of `digest.canonical_json`, value by value; tests compare the two. Columns are Arrow arrays in one
piece. An array of rows here is a `pa.BinaryArray` without nulls, one byte string a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

from vecver.digest import KEY_BYTES

Matrix = npt.NDArray[np.uint8]

_HEX: Final = np.frombuffer(b"".join(b"%02x" % value for value in range(256)), "<u2")
_PLAIN: Final = np.array(
    [value >= 0x20 and value not in b'"\\' for value in range(256)]
)  # JSON writes them as they are


def joined(*parts: pa.Array | bytes) -> pa.Array:
    """Rows made of these parts, one after the other; bytes stand in every row. A null counts as nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [pa.scalar(part, pa.binary()) if isinstance(part, bytes) else part for part in parts]
    empty = pa.scalar(b"", pa.binary())
    return pc.binary_join_element_wise(*columns, empty, null_handling="replace", null_replacement="")


def rows_of_matrix(matrix: Matrix) -> pa.Array:
    """The rows of a matrix of bytes, `(n, width)`, each row one byte string. Not copied if it is C-contiguous."""
    import pyarrow as pa

    count, width = matrix.shape
    ends = pa.py_buffer(np.arange(count + 1, dtype=np.int32) * width)
    return pa.Array.from_buffers(pa.binary(), count, [None, ends, pa.py_buffer(np.ascontiguousarray(matrix))])


def hex_of(matrix: Matrix) -> Matrix:
    """The lower-case hex characters of a matrix of bytes, `(n, 2 * width)`."""
    return _HEX[matrix].view(np.uint8).reshape(len(matrix), 2 * matrix.shape[1])


def content_of(rows: pa.Array) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """The bytes of the rows, one after the other, and where each ends, `(n,)`."""
    if not len(rows):
        return memoryview(b""), np.zeros(0, np.int64)
    ends = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1].astype(np.int64)
    content = rows.buffers()[2]
    return memoryview(content or b"")[ends[0] : ends[-1]], ends[1:] - ends[0]


def row_digests(rows: pa.Array) -> Matrix:
    """The sha256 of each row, `(n, 32)`."""
    content, ends = content_of(rows)
    spans = pairwise([0, *ends.tolist()])
    digests = b"".join([hashlib.sha256(content[start:end]).digest() for start, end in spans])
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def row_keys(*parts: pa.Array | bytes) -> Matrix:
    """`digest.key` of each row's parts, `(n, 16)`; bytes are a part of every row."""

    framed: list[pa.Array | bytes] = []
    for part in parts:
        framed += [len(part).to_bytes(8, "little") if isinstance(part, bytes) else _lengths(part), part]
    return row_digests(joined(*framed))[:, :KEY_BYTES]


def _lengths(rows: pa.Array) -> pa.Array:
    """The length of each row as 8 little-endian bytes."""
    return rows_of_matrix(np.diff(content_of(rows)[1], prepend=0).astype("<u8").view(np.uint8).reshape(-1, 8))


def quoted(strings: pa.Array) -> pa.Array:
    """A column of strings as JSON, with their quotes; null stays null."""
    import pyarrow as pa

    if _PLAIN[np.frombuffer(content_of(strings)[0], np.uint8)].all():
        return _around(b'"', strings.cast(pa.binary()), b'"')
    values = [None if value is None else encode_basestring(value) for value in strings.to_pylist()]
    return pa.array(values, pa.string()).cast(pa.binary())


def numbers_json(numbers: pa.Array) -> pa.Array:
    """A column of integers, floats or booleans as JSON; null stays null. Floats are finite."""
    import pyarrow as pa

    if pa.types.is_floating(numbers.type):
        values = [None if value is None else float.__repr__(value) for value in numbers.to_pylist()]
        return pa.array(values, pa.string()).cast(pa.binary())
    return numbers.cast(pa.string()).cast(pa.binary())


def lists_json(lists: pa.ListArray, items: pa.Array) -> pa.Array:
    """Lists without nulls as JSON arrays; `items`: the JSON of all their items, one after the other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.frombuffer(lists.offsets.buffers()[1], np.int32)[lists.offsets.offset :][: len(lists) + 1]
    offsets = pa.array(offsets - offsets[0]) if len(lists) else pa.array([0], pa.int32())
    return joined(b"[", pc.binary_join(pa.ListArray.from_arrays(offsets, items), pa.scalar(b",", pa.binary())), b"]")


def objects_json(fields: Mapping[str, Sequence[pa.Array]], rows: int) -> pa.Array:
    """One JSON object a row. `fields`: the JSON of each field's values; null: the row lacks it.

    A field may have several columns, of which each row has a value in one at most.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not fields:
        return pa.array([b"{}"] * rows, pa.binary())
    values = {name: pc.coalesce(*columns) for name, columns in sorted(fields.items())}
    members = [_around(f",{encode_basestring(name)}:".encode(), column, b"") for name, column in values.items()]
    return joined(pc.binary_replace_slice(joined(*members), 0, 1, b"{"), b"}")


def _around(before: bytes, values: pa.Array, after: bytes) -> pa.Array:
    """Values between two byte strings; null stays null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    scalars = [pa.scalar(part, pa.binary()) for part in (before, after, b"")]
    return pc.binary_join_element_wise(scalars[0], values, scalars[1], scalars[2])
