"""Reads single values out of a mapped Arrow file without pyarrow, whose import takes 30 ms of a cold search's 150.

    footer -> fields, and where each record batch lies -> of a batch: the buffers of each field -> one value

It reads the types that segments have (fixed-size binary, strings, numbers, booleans, lists of these), uncompressed. The
formats are those of https://arrow.apache.org/docs/format/Columnar.html and https://flatbuffers.dev/internals/.

Decisions
1. Only for values at a few rows, as a search's hits need them. What reads whole columns uses pyarrow.
2. Every offset comes from the file. A damaged one raises one of MALFORMED, or gives wrong values, as with pyarrow,
   until `repo.rows.verifier` has hashed it.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

MALFORMED = (ValueError, IndexError, KeyError, struct.error)  # what damaged bytes raise
_MAGIC = b"ARROW1"
_KINDS = {2: "int", 3: "float", 5: "string", 6: "bool", 12: "list", 15: "fixed"}  # of Schema.fbs
_FLOATS = {1: "<f4", 2: "<f8"}
_BUFFERS = {"int": 2, "float": 2, "string": 3, "bool": 2, "list": 2, "fixed": 2}
_OFFSET = np.dtype("<i4")


class Field(NamedTuple):
    """A field of the schema, or the item of a list."""

    name: str
    kind: str  # of _KINDS
    width: int  # bytes of a value of fixed size
    dtype: str  # numpy's, of numbers
    item: Field | None  # of a list
    node: int  # its place among the nodes of a batch
    buffer: int  # its first place among the buffers of a batch


class Column:
    """One column of a file: `column[row]` is the value there, as pyarrow's `as_py` gives it."""

    def __init__(self, content: memoryview, field: Field, batches: list[Batch], starts: list[int]) -> None:
        self._batches, self._starts = batches, starts
        self._pieces: list[Piece | None] = [None] * len(batches)
        self._content, self._field = content, field

    def __getitem__(self, row: int) -> Any:
        piece, place = self._piece(row)
        return piece[place]

    def is_valid(self, row: int) -> bool:
        """False where there is a null."""
        piece, place = self._piece(row)
        return piece.is_valid(place)

    def items(self, row: int) -> tuple[Piece, int, int]:
        """Of a list: the items of its batch, and which of them the list at `row` has, `[first, last)`."""
        piece, place = self._piece(row)
        first, last = piece.bounds(place)
        return piece.items, first, last

    def whole(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """All values of fixed size without nulls, `(n, width)` uint8; no copy where there is one batch."""
        pieces = [self._at(number).values for number in range(len(self._batches))]
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.zeros((0, self._field.width), np.uint8)

    def lists(self) -> tuple[np.ndarray[Any, np.dtype[np.int32]], np.ndarray[Any, np.dtype[Any]]]:
        """Of lists without nulls: where each begins, `(n + 1,)`, and the values of all their items."""
        pieces = [self._at(number) for number in range(len(self._batches))]
        lengths = [np.diff(piece.offsets) for piece in pieces]
        values = [piece.items.values[piece.offsets[0] : piece.offsets[-1]] for piece in pieces]
        starts = np.cumsum(np.concatenate([np.zeros(1, _OFFSET), *lengths]), dtype=_OFFSET)
        if not values:
            return starts, np.zeros((0, self._field.item.width if self._field.item else 0), np.uint8)
        return starts, values[0] if len(values) == 1 else np.concatenate(values)

    def _piece(self, row: int) -> tuple[Piece, int]:
        number = bisect_right(self._starts, row) - 1
        return self._at(number), row - self._starts[number]

    def _at(self, number: int) -> Piece:
        piece = self._pieces[number]
        if piece is None:
            piece = self._pieces[number] = Piece(self._content, self._field, self._batches[number])
        return piece


class Piece:
    """A field's values in one record batch.

    `values`: those of fixed size, `(count, width)` uint8, or numbers, `(count,)`; without meaning where a null stands.
    """

    values: np.ndarray[Any, np.dtype[Any]]
    offsets: np.ndarray[Any, np.dtype[np.int32]]  # where each string or list begins, `(count + 1,)`
    items: Piece  # of lists

    def __init__(self, content: memoryview, field: Field, batch: Batch) -> None:
        self._field = field
        self.count = int(batch.nodes[field.node, 0])
        has_nulls = batch.nodes[field.node, 1] != 0
        buffers = [
            content[batch.body + start : batch.body + start + size]
            for start, size in batch.buffers[field.buffer : field.buffer + _BUFFERS[field.kind]].tolist()
        ]
        self._valid = buffers[0] if has_nulls else None
        self._data = buffers[-1]
        if field.kind in ("string", "list"):
            offsets = np.frombuffer(buffers[1], _OFFSET) if self.count else np.zeros(1, _OFFSET)
            self.offsets = offsets[: self.count + 1]
        elif field.kind in ("int", "float"):
            self.values = np.frombuffer(buffers[1], field.dtype)[: self.count]
        elif field.kind == "fixed":
            self.values = np.frombuffer(buffers[1], np.uint8)[: self.count * field.width].reshape(-1, field.width)
        if field.item is not None:
            self.items = Piece(content, field.item, batch)

    def bounds(self, place: int) -> tuple[int, int]:
        """Where the string or list at a place begins and ends."""
        return int(self.offsets[place]), int(self.offsets[place + 1])

    def is_valid(self, place: int) -> bool:
        """False where there is a null."""
        if not 0 <= place < self.count:
            raise IndexError(f"row {place} of {self.count}")
        return self._valid is None or bool(self._valid[place >> 3] >> (place & 7) & 1)

    def __getitem__(self, place: int) -> Any:
        if not self.is_valid(place):
            return None
        kind = self._field.kind
        if kind == "string":
            first, last = self.bounds(place)
            return str(self._data[first:last], "utf-8")
        if kind == "list":
            return [self.items[i] for i in range(*self.bounds(place))]
        if kind == "fixed":
            return self.values[place].tobytes()
        if kind == "bool":
            return bool(self._data[place >> 3] >> (place & 7) & 1)
        return self.values[place].item()


class Batch(NamedTuple):
    """Where the buffers of one record batch lie."""

    body: int
    nodes: np.ndarray[Any, np.dtype[np.int64]]  # (nodes, 2): values, nulls
    buffers: np.ndarray[Any, np.dtype[np.int64]]  # (buffers, 2): offset in the body, bytes
    rows: int


def open_columns(content: memoryview) -> dict[str, Column]:
    """The columns of an Arrow file by name. Raises one of MALFORMED for bytes that this room cannot read."""
    (size,) = struct.unpack_from("<i", content, len(content) - 10)
    if content[:6] != _MAGIC or content[-6:] != _MAGIC or not 0 < size <= len(content) - 20:
        raise ValueError("no Arrow file")
    footer = _root(content, len(content) - 10 - size)
    fields = _fields(_table(footer, 1))
    batches = [_batch(content, *block) for block in struct.iter_unpack("<qi4xq", _structs(footer, 3, 24))]
    starts = np.cumsum([0, *(batch.rows for batch in batches)])[:-1].tolist()
    return {field.name: Column(content, field, batches, starts) for field in fields}


# -- what the messages say ----------------------------------------------------------------------


def _fields(schema: _Table | None) -> list[Field]:
    """The top fields of a schema."""
    counts = [0, 0]  # nodes and buffers so far
    return [_field(table, counts) for table in _tables(schema, 1)]


def _field(table: _Table, counts: list[int]) -> Field:
    kind, type = _KINDS.get(_number(table, 2, "B")), _table(table, 3)
    children = _tables(table, 5)
    if kind is None or type is None or _table(table, 4) is not None:  # with a dictionary
        raise ValueError(f"a type that segments do not have: {_number(table, 2, 'B')}")
    node, buffer = counts
    counts[0], counts[1] = node + 1, buffer + _BUFFERS[kind]
    item = _field(children[0], counts) if kind == "list" else None
    width, dtype = 0, ""
    if kind == "int":
        bits, sign = _number(type, 0, "i"), "i" if _number(type, 1, "?") else "u"
        dtype = f"<{sign}{bits // 8}"
    elif kind == "float":
        dtype = _FLOATS[_number(type, 0, "h")]
    elif kind == "fixed":
        width = _number(type, 0, "i")
    return Field(_string(table, 0), kind, width, dtype, item, node, buffer)


def _batch(content: memoryview, start: int, metadata_size: int, body_size: int) -> Batch:
    """The record batch at `start`."""
    if start < 0 or body_size < 0 or start + metadata_size + body_size > len(content):
        raise ValueError("a record batch lies outside of the file")
    batch = _table(_root(content, start + 8), 2)
    if batch is None or _table(batch, 3) is not None:
        raise ValueError("no record batch, or a compressed one")
    nodes, buffers = (np.frombuffer(_structs(batch, slot, 16), "<i8").reshape(-1, 2) for slot in (1, 2))
    if len(buffers) and (buffers.min() < 0 or (buffers.sum(axis=1) > body_size).any()):
        raise ValueError("a buffer lies outside of its record batch")
    return Batch(start + metadata_size, nodes, buffers, _number(batch, 0, "q"))


# -- flatbuffers --------------------------------------------------------------------------------


class _Table(NamedTuple):
    """A table of a flatbuffer: its bytes, where it begins, and where each of its fields lies from there; 0: absent."""

    content: memoryview
    start: int
    slots: tuple[int, ...]


def _root(content: memoryview, start: int) -> _Table:
    return _table_at(content, start + _unsigned(content, start))


def _table_at(content: memoryview, start: int) -> _Table:
    vtable = start - struct.unpack_from("<i", content, start)[0]
    (size,) = struct.unpack_from("<H", content, vtable)
    return _Table(content, start, struct.unpack_from(f"<{(size - 4) // 2}H", content, vtable + 4))


def _place(table: _Table, slot: int) -> int:
    """Where a field lies; 0 where it is absent."""
    offset = table.slots[slot] if slot < len(table.slots) else 0
    return table.start + offset if offset else 0


def _number(table: _Table, slot: int, format: str) -> Any:
    place = _place(table, slot)
    return struct.unpack_from("<" + format, table.content, place)[0] if place else 0


def _target(table: _Table, slot: int) -> int:
    """Where what a field refers to lies; 0 where it is absent."""
    place = _place(table, slot)
    return place + _unsigned(table.content, place) if place else 0


def _table(table: _Table, slot: int) -> _Table | None:
    target = _target(table, slot)
    return _table_at(table.content, target) if target else None


def _tables(table: _Table | None, slot: int) -> list[_Table]:
    target = _target(table, slot) if table else 0
    if not table or not target:
        return []
    places = range(target + 4, target + 4 + 4 * _unsigned(table.content, target), 4)
    return [_table_at(table.content, place + _unsigned(table.content, place)) for place in places]


def _string(table: _Table, slot: int) -> str:
    target = _target(table, slot)
    size = _unsigned(table.content, target) if target else 0
    return str(table.content[target + 4 : target + 4 + size], "utf-8")


def _structs(table: _Table, slot: int, size: int) -> memoryview:
    """The bytes of a vector of structs of `size` bytes."""
    target = _target(table, slot)
    count = _unsigned(table.content, target) if target else 0
    found = table.content[target + 4 : target + 4 + count * size]
    if len(found) != count * size:
        raise ValueError("a vector lies outside of the file")
    return found


def _unsigned(content: memoryview, place: int) -> int:
    return int(struct.unpack_from("<I", content, place)[0])
