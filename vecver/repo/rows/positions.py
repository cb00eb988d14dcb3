"""Positions: the columns of a document row that say where each of its chunks stands, and how to read them.

    position.page · position.line                            list<int32>, one item a chunk; null where it has none
    position.sheet · position.header · position.headings     list<int32>, one item a chunk: its number in a list below
    position.part                                            likewise: metadata of a part, such as a mail of a mailbox
    position.sheets · position.headers · position.parts      list<string>, each string once, in the order of the chunks
    position.paths                                           list<list<string>>, each path of headings once, likewise

Decisions
1. Positions belong to the document's row, as spans do: an edit moves the page and line of everything behind it, and a
   chunk whose own text stayed the same must keep its row.
2. A document names each sheet, header row and path of headings once, and its chunks refer to it by number: 10,000
   chunks under 50 headings take 50 strings and 40 kB of numbers, where a list of strings a chunk takes 600 kB.
3. The columns are optional. A segment lacks those that none of its documents has, as all older segments do; a document
   without positions has null there and the same canonical bytes as before there were positions. So old roots hold.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecver.repo.rows.cells import NAMES, POSITION

if TYPE_CHECKING:
    from vecver.model import Json, Position

FIELDS: Final = ("page", "sheet", "line", "headings", "header", "part")  # of a chunk
_NUMBERS: Final = ("page", "line")
_PATHS: Final = pa.list_(pa.string())
_LISTS: Final = pa.list_(pa.int32())
_TYPES: Final = {
    "page": pa.int32(),
    "line": pa.int32(),
    "sheet": pa.string(),
    "header": pa.string(),
    "headings": _PATHS,
    "part": pa.string(),  # JSON
}

Rows = npt.NDArray[np.int64]


# -- writing ------------------------------------------------------------------------------------


def position_columns(documents: Sequence[Sequence[Position]]) -> dict[str, pa.Array]:
    """The columns that hold these positions, one list a document; a field that no chunk has makes no column."""
    columns: dict[str, pa.Array] = {}
    if not any(documents):
        return columns
    for field in FIELDS:
        values = [[getattr(position, field) or None for position in positions] for positions in documents]
        if not any(value is not None for of_document in values for value in of_document):
            continue
        if field in _NUMBERS:
            columns[POSITION + field] = pa.array([_unless_empty(of_document) for of_document in values], _LISTS)
            continue
        names = [dict[Hashable, int]() for _ in values]
        numbers = [
            [_number(value, of_document) for value in own_values]
            for own_values, of_document in zip(values, names, strict=True)
        ]
        columns[POSITION + field] = pa.array([_unless_empty(of_document) for of_document in numbers], _LISTS)
        lists = [list(of_document) or None for of_document in names]
        columns[POSITION + NAMES[field]] = pa.array(lists, pa.list_(_TYPES[field]))
    return dict(sorted(columns.items()))


def _unless_empty(values: list[int | None]) -> list[int | None] | None:
    return values if any(value is not None for value in values) else None


def _number(value: Hashable | None, numbers: dict[Hashable, int]) -> int | None:
    """The number of a value among those of its document; a new value gets the next number."""
    return None if value is None else numbers.setdefault(value, len(numbers))


# -- reading ------------------------------------------------------------------------------------


def columns_of(documents: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The position columns that a table of documents has, by name without the prefix."""
    return {name.removeprefix(POSITION): documents.column(name) for name in column_names(documents.schema)}


def column_names(schema: pa.Schema) -> list[str]:
    """The names of the position columns, sorted."""
    return sorted(name for name in schema.names if name.startswith(POSITION))


def positions_json(documents: pa.Table) -> list[Json]:
    """The positions that each document has, for its canonical bytes; without the columns in which it has none."""
    positions: list[Json] = [{} for _ in range(len(documents))]
    for name, column in columns_of(documents).items():
        for row in np.flatnonzero(np.asarray(column.is_valid())).tolist():
            positions[row][name] = column[row].as_py()
    return positions


# -- every chunk of a table ---------------------------------------------------------------------


class Named(NamedTuple):
    """A field of all chunks of a table of documents, in the order of the documents and of their chunks."""

    values: pa.Array  # each string, path or number, once a document
    of: Rows  # (chunks,) the number of the chunk's value among them; -1: none


def chunk_owners(documents: pa.Table) -> Rows:
    """The row of each chunk's document, `(chunks,)`."""
    import pyarrow.compute as pc

    lengths = np.asarray(pc.list_value_length(documents.column("chunks")), np.int64)
    return np.repeat(np.arange(len(documents)), lengths)


def named_positions(documents: pa.Table, field: str, owners: Rows | None = None) -> Named | None:
    """A field of the chunks of these documents; None if the table has no such column."""
    import pyarrow.compute as pc

    if POSITION + field not in documents.column_names:
        return None
    owners = chunk_owners(documents) if owners is None else owners
    numbers = documents.column(POSITION + field).combine_chunks()
    items = _flat(numbers)
    has_list = np.asarray(numbers.is_valid())[owners]
    of = np.full(len(owners), -1, np.int64)
    valid = np.asarray(items.is_valid())
    if field in _NUMBERS:
        of[has_list] = np.where(valid, np.arange(len(items)), -1)
        return Named(items, of)
    names = documents.column(POSITION + NAMES[field]).combine_chunks()
    firsts = np.cumsum([0, *np.asarray(pc.fill_null(pc.list_value_length(names), 0))])[:-1]  # of each document
    local = np.asarray(pc.fill_null(items, 0), np.int64)
    of[has_list] = np.where(valid, firsts[owners[has_list]] + local, -1)
    return Named(_flat(names), of)


def chunk_columns(documents: pa.Table, fields: Sequence[str]) -> Callable[[slice], dict[str, pa.Array]]:
    """Reads these fields of a block of the chunks of these documents, as plain columns with null for none."""
    owners = chunk_owners(documents)
    columns = {field: named_positions(documents, field, owners) for field in fields}

    def block(chunks: slice) -> dict[str, pa.Array]:
        return {
            field: pa.nulls(len(owners[chunks]), _TYPES[field]) if column is None else _picked(column, chunks)
            for field, column in columns.items()
        }

    return block


def column_type(field: str) -> pa.DataType:
    """The type of a field as a plain column."""
    return _TYPES[field]


def _picked(column: Named, chunks: slice) -> pa.Array:
    of = column.of[chunks]
    return column.values.take(pa.array(of, pa.int64(), mask=of < 0))


def _flat(lists: pa.Array) -> pa.Array:
    """The items of lists one after the other; null lists have none."""
    return lists.flatten()
