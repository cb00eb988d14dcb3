"""Reads rows that a program adds: dicts, plain texts, a table, or a file of records.

Decisions
1. If an id is repeated, its last row wins, as if the rows were added one after another. All rows are held in memory to
   know which one is the last. To add more than fits, ingest a file of records with `keep_missing`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vecver.digest import KEY_BYTES, text_key
from vecver.errors import InvalidInputError
from vecver.key_log import are_distinct
from vecver.model import Failure, Original, Records, singly
from vecver.pipeline.sources.fields import added_row
from vecver.pipeline.sources.records import read_file, read_values

_PANDAS_INDEX: Final = re.compile(r"__index_level_\d+__")  # what a DataFrame's row numbers become


@dataclass(frozen=True)
class Additions:
    """The added documents: each id once, ordered by its last row."""

    items: tuple[Original | Failure | Records, ...]
    repeated: int  # rows dropped because a later row has the same id


def read_additions(rows: Any, *, label: str, prefix: str = "", vectors: Any = None) -> Additions:
    """Reads rows as documents of the source `label`. `rows`: the path of a file of records (or "-"), or values.

    Values are dicts with `id`, `text`, perhaps `title` and `vector`, and metadata (beside these, or as one dict under
    `metadata`); texts, whose ids are digests; or a table. `vectors`, `(n, dim)` float32: one a row, in their order.

    Raises InvalidInputError: `invalid_rows` (these are no rows), `invalid_vectors`, and as `records.read_file`.
    """
    if isinstance(rows, str | os.PathLike):
        items = read_file(os.fspath(rows), label=label, prefix=prefix, added=True)
    else:
        items = read_values(_with_vectors(_values(rows), vectors), label=label, prefix=prefix, added=True)
    rows_read = tuple(items)
    if _are_distinct(rows_read):
        return Additions(rows_read, 0)
    kept: dict[str, Original | Failure] = {}
    count = 0
    for item in singly(rows_read):
        count += 1
        kept.pop(item.document, None)  # move it to the position of its last row
        kept[item.document] = item
    return Additions(tuple(kept.values()), count - len(kept))


def _are_distinct(items: Sequence[Original | Failure | Records]) -> bool:
    """True if no id comes twice."""
    single = b"".join(text_key(item.document) for item in items if not isinstance(item, Records))
    columns = (item.keys for item in items if isinstance(item, Records))
    return are_distinct(np.concatenate([np.frombuffer(single, np.uint8).reshape(-1, KEY_BYTES), *columns]))


def check_rows(rows: Any) -> None:
    """Raises InvalidInputError (`invalid_rows`: a single value instead of a list of rows)."""
    if isinstance(rows, str | bytes | os.PathLike):
        raise InvalidInputError(
            "rows are a list, and this is one text",
            code="invalid_rows",
            hint="for one text write docs.upsert([text]); files and folders are added with docs.add(path)",
        )
    if isinstance(rows, Mapping) or not (isinstance(rows, Iterable) or hasattr(rows, "__arrow_c_stream__")):
        raise InvalidInputError(
            f"rows are a list, and this is one {type(rows).__name__}",
            code="invalid_rows",
            hint='write docs.upsert([{"id": "...", "text": "..."}]); a table or a DataFrame is a list of rows too',
        )


def _values(rows: Any) -> Any:
    """`rows`, or for a table, the table without pandas' row numbers."""
    if not hasattr(rows, "__arrow_c_stream__"):
        return rows
    import pyarrow as pa

    table = pa.RecordBatchReader.from_stream(rows).read_all()
    return table.drop_columns([name for name in table.column_names if _PANDAS_INDEX.fullmatch(name)])


def _with_vectors(rows: Any, vectors: Any) -> Any:
    if vectors is None:
        return rows
    try:
        array = np.asarray(vectors)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or (len(array) and not array.shape[1]):
        raise _invalid_vectors(
            f"vectors are one table of numbers, (rows, dimensions), and this is {array.dtype} {array.shape}"
        )
    if not hasattr(rows, "append_column"):
        return _paired(rows, array)
    import pyarrow as pa

    _check_count(len(rows), len(array))
    if "vector" in rows.column_names:
        raise _two_vectors()
    with np.errstate(over="ignore"):
        values = pa.array(array.astype(np.float32).reshape(-1))
    return rows.append_column("vector", pa.FixedSizeListArray.from_arrays(values, array.shape[1]))


def _paired(rows: Any, vectors: np.ndarray[Any, Any]) -> Iterator[Any]:
    values = list(rows)
    _check_count(len(values), len(vectors))
    for value, vector in zip(values, vectors, strict=True):
        row = added_row(value) if isinstance(value, str) else value
        if isinstance(row, Mapping) and row.get("vector") is not None:
            raise _two_vectors()
        yield {**row, "vector": vector} if isinstance(row, Mapping) else row


def _check_count(rows: int, vectors: int) -> None:
    if rows != vectors:
        raise _invalid_vectors(f"{rows} rows came with {vectors} vectors")


def _two_vectors() -> InvalidInputError:
    return _invalid_vectors("a row brings a vector of its own, and another one stands in vectors=")


def _invalid_vectors(message: str) -> InvalidInputError:
    return InvalidInputError(
        message, code="invalid_vectors", hint="give one vector for each row, in the order of the rows, as float32"
    )
