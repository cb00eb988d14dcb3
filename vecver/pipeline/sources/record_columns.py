"""Reads many records at once into columns, if each of them is usable and of an ordinary shape.

It refuses to explain: where something is wrong with a record, or a value is of no ordinary type, it gives nothing, and
`records` reads the rows one by one. Both ways give the same digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vecver.digest import canonical_json
from vecver.json_columns import content_of, joined, numbers_json, objects_json, quoted, row_digests, row_keys
from vecver.key_log import are_distinct
from vecver.model import Records, Vectors
from vecver.pipeline.sources.fields import FIELDS, Unusable, name_of, plain
from vecver.pipeline.sources.ids import check_id

_LARGEST: Final = 1 << 28  # bytes of a column of strings: what is joined of them must fit in one Arrow column
_ID_BYTES: Final = 1024
_FORBIDDEN_ID: Final = r"^/|[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]|(^|/)\.\.?(/|$)"  # as `check_id`
_LETTERS: Final = np.array([0x21 <= byte <= 0x7E for byte in range(256)])
_TYPES: Final = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_NO_TYPE: Final = type(None)

Column = Any  # an Arrow array, or a list of JSON values


class _Unsuited(Exception):
    """These records must be read one by one."""


def records_of(values: Any, label: str, prefix: str = "", *, added: bool = False) -> Records | None:
    """A record batch or a list of rows as `Records`; None if they must be read one by one.

    `added`: a program adds them, so a field `metadata` may hold fields.
    """
    try:
        columns = _table_columns(values) if isinstance(values, pa.RecordBatch) else _row_columns(values)
        if added and "metadata" in columns:
            return None
        return _records(columns, label, prefix)
    except (_Unsuited, Unusable, pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
        return None


def _records(columns: Mapping[str, Any], label: str, prefix: str) -> Records:
    name = "id" if "id" in columns else "_id"
    if name not in columns or "text" not in columns:
        raise _Unsuited
    documents, texts = _documents(_strings(columns[name], numbers=True), prefix), _texts(_strings(columns["text"]))
    titles = _titles(columns.get("title"), len(texts))
    vectors = _vectors(columns.get("vector"))
    fields = {field: _field(field, column) for field, column in columns.items() if field not in FIELDS | {name}}
    metadata = {field: column for field, column in fields.items() if column is not None and not _is_empty(column)}
    keys = row_keys(documents.cast(pa.binary()))
    if not are_distinct(keys):
        raise _Unsuited
    digests = _digests(documents, texts, titles, metadata)
    return Records(label, documents, keys, digests, texts, titles, metadata, vectors)


# -- digests ------------------------------------------------------------------------------------


def _digests(documents: pa.Array, texts: pa.Array, titles: pa.Array, metadata: Mapping[str, Column]) -> Any:
    """The digest of each record's canonical JSON, `(n, 32)`."""
    fields = {name: [_json_of(column)] for name, column in metadata.items()}
    return row_digests(
        joined(
            b'{"id":',
            quoted(documents),
            b',"metadata":',
            objects_json(fields, len(documents)),
            b',"text":',
            quoted(texts),
            b',"title":',
            quoted(titles),
            b"}",
        )
    )


def _json_of(column: Column) -> pa.Array:
    if isinstance(column, list):
        return pa.array([None if value is None else canonical_json(value) for value in column], pa.binary())
    return quoted(column) if pa.types.is_string(column.type) else numbers_json(column)


# -- fields -------------------------------------------------------------------------------------


def _documents(ids: pa.Array, prefix: str) -> pa.Array:
    _check_ids(ids)
    if not prefix:
        return ids
    documents = joined(prefix.encode(), ids.cast(pa.binary())).cast(pa.string())
    _check_ids(documents)
    return documents


def _check_ids(ids: pa.Array) -> None:
    """Raises _Unsuited if an id could be none."""
    import pyarrow.compute as pc

    lengths = np.diff(content_of(ids)[1], prepend=0)
    if not lengths.all() or pc.any(pc.match_substring_regex(ids, _FORBIDDEN_ID)).as_py():
        raise _Unsuited
    for row in np.flatnonzero(lengths > _ID_BYTES).tolist():
        if check_id(ids[row].as_py()):
            raise _Unsuited


def _texts(texts: pa.Array) -> pa.Array:
    """The texts, none of them blank."""
    content, ends = content_of(texts)
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    if (starts == ends).any():
        raise _Unsuited
    is_letter = _LETTERS[np.frombuffer(content, np.uint8)[starts]]
    if not all(texts[row].as_py().strip() for row in np.flatnonzero(~is_letter).tolist()):
        raise _Unsuited
    return texts


def _titles(column: Any, count: int) -> pa.Array:
    if column is None or _is_empty(column):
        return pa.array([""] * count, pa.string())
    return _strings(column, nulls=True).fill_null("")


def _strings(column: Any, *, numbers: bool = False, nulls: bool = False) -> pa.Array:
    """A column of strings in one piece that begins at 0, valid UTF-8; with `numbers`, integers as strings."""
    if isinstance(column, list):
        column = _plain_column(column)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and not (numbers and pa.types.is_integer(kind)):
        raise _Unsuited
    if column.null_count and not nulls:
        raise _Unsuited
    if column.nbytes > _LARGEST:
        raise _Unsuited
    strings = column.cast(pa.string())
    strings.validate(full=True)
    return strings


def _field(name: str, column: Any) -> Column | None:
    """The values of a metadata field; None if no record has it."""
    if _is_empty(column):
        return None
    if isinstance(column, list):
        kinds = set(map(type, column)) - {_NO_TYPE}
        if len(kinds) > 1 or not kinds <= _TYPES.keys():
            return _json_values(name_of(name), column)
        column = _plain_column(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind, types = column.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        strings = _strings(column, nulls=True)
        return pa.array(strings.to_pylist(), pa.string()) if strings.null_count else strings
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind):
        return _numbers(column)
    return _json_values(name, in_microseconds(column).to_pylist())


def _numbers(column: pa.Array) -> pa.Array:
    """A column of booleans, int64 or finite float64, with zero under its nulls."""
    import pyarrow.compute as pc

    types = pa.types
    if types.is_boolean(column.type):
        return pa.array(column.to_pylist()) if column.null_count else column
    is_float = types.is_floating(column.type)
    column = column.cast(pa.float64() if is_float else pa.int64())
    if is_float and not pc.all(pc.is_finite(column)).as_py():
        raise _Unsuited
    if not column.null_count:
        return column
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(values, column.type, mask=~np.asarray(column.is_valid()))


def _json_values(name: str, values: Sequence[Any]) -> list[Any]:
    return [None if value is None else plain(name, value) for value in values]


def _is_empty(column: Any) -> bool:
    if isinstance(column, list):
        return all(value is None for value in column)
    return column.null_count == len(column)


# -- columns of tables --------------------------------------------------------------------------


def _table_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def vector_values(column: Any) -> tuple[Vectors, Any] | None:
    """A column's numbers as float32, and the length of each row's list (0 for null); None if it holds no such lists."""
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return None
    if not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        return None
    with np.errstate(over="ignore"):
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return values, pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)


def in_microseconds(column: Any) -> Any:
    """`column` with nanoseconds cut to microseconds, the resolution of Python's datetime."""
    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    zone = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else None
    return column.cast(zone or (pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")), safe=False)


def _vectors(column: Any) -> Vectors | None:
    """`(n, dim)` float32, finite; None if no record brings a vector."""
    if column is None or _is_empty(column):
        return None
    if isinstance(column, list):
        vectors = _stacked(column)
    else:
        pair = vector_values(getattr(column, "storage", column))
        if pair is None or column.null_count or not (pair[1] == pair[1][0]).all() or not pair[1][0]:
            raise _Unsuited
        vectors = np.ascontiguousarray(pair[0]).reshape(len(column), -1)
    if not np.isfinite(vectors).all():
        raise _Unsuited
    return vectors


# -- columns of rows ----------------------------------------------------------------------------


def _row_columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """The fields of dicts as columns."""
    if not all(type(row) is dict for row in rows):
        raise _Unsuited
    named = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    if "id" in named and not all("id" in row for row in rows):
        raise _Unsuited
    return named


def _plain_column(values: list[Any]) -> pa.Array:
    """Values of one type, or None, as a column."""
    kinds = set(map(type, values)) - {_NO_TYPE}
    if len(kinds) != 1 or not kinds <= _TYPES.keys():
        raise _Unsuited
    return pa.array(values, _TYPES[kinds.pop()])


def _stacked(values: list[Any]) -> Vectors:
    """Vectors as `fields.vector_of` reads them, if they are of one dimension."""
    first = np.asarray(values[0])
    vectors = np.empty((len(values), first.size), np.float32)
    with np.errstate(over="ignore"):
        for row, value in enumerate(values):
            array = np.asarray(value)
            if array.shape != first.shape or array.ndim != 1 or array.dtype.kind not in "fiu" or not array.size:
                raise _Unsuited
            vectors[row] = array
    return vectors
