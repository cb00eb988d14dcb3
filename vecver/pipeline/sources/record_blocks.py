"""Blocks: neighbouring rows of a source, as a record batch of a table or as a list of values.

Decisions
1. Arrow files are memory-mapped, since a stored batch may be larger than memory. Truncating such a file during an
   ingest crashes the process; replacing it by a rename is safe.
2. Rows are copied unless they come in a list, with the lists, arrays and mappings in them. A generator may change the
   same dict for each row, or the same list for each vector: without copies, all rows of a block would be its last row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vecver.model import Vectors
from vecver.pipeline.sources.record_columns import in_microseconds, vector_values

Rows = Iterable[tuple[int, Any]]  # number from 1, and the value there: a mapping, if it is valid

BATCH_ROWS: Final = 8192  # 12 MB of vectors at 384 dimensions
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_VALUES: Final = 512  # rows of a list of values: a slow source is embedded in groups of as many, as it comes


@dataclass
class Block:
    """Neighbouring rows of a source, and their numbers: a record batch, or a list of row values."""

    numbers: Sequence[int]
    values: Any

    def __len__(self) -> int:
        return len(self.numbers)

    def halves(self) -> tuple[Block, Block]:
        """The first half and the second."""
        middle = len(self) // 2
        if isinstance(self.values, list):
            values = self.values[:middle], self.values[middle:]
        else:
            values = self.values.slice(0, middle), self.values.slice(middle)
        return Block(self.numbers[:middle], values[0]), Block(self.numbers[middle:], values[1])

    def rows(self) -> Rows:
        """The rows, one at a time."""
        return zip(self.numbers, self.values if isinstance(self.values, list) else batch_rows(self.values), strict=True)


def blocks_of(values: Iterable[Any]) -> Iterator[Block]:
    """The rows of batches, numbered from 1. A value that is not a batch is already a row."""
    number = 1
    if not isinstance(values, list | tuple):
        values = map(_copied_row, values)
    for are_batches, run in groupby(values, lambda value: isinstance(value, pa.RecordBatch)):
        for block in _blocks_of_batches(run, number) if are_batches else blocks_of_rows(zip(count(number), run)):
            yield block
            number += len(block)


def blocks_of_rows(rows: Rows) -> Iterator[Block]:
    """Rows that have their numbers; if reading them fails, first those that were read before."""
    numbers, values = list[int](), list[Any]()
    try:
        for number, value in rows:
            numbers.append(number)
            values.append(value)
            if len(values) == _VALUES:
                yield Block(numbers, values)
                numbers, values = [], []
    except Exception:
        if values:
            yield Block(numbers, values)
        raise
    if values:
        yield Block(numbers, values)


def _copied_row(row: Any) -> Any:
    try:
        return _copied(row)
    except RecursionError:  # it is nested too deep, and fails later
        return row


def _copied(value: Any) -> Any:
    """A value with its mappings, lists and arrays copied; all others are taken to stay as they are."""
    if isinstance(value, Mapping):
        return {name: field if type(field) in _SCALARS else _copied_field(name, field) for name, field in value.items()}
    if isinstance(value, list):
        return value[:] if _SCALARS.issuperset(map(type, value)) else [_copied(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _copied_field(name: Any, field: Any) -> Any:
    if name == "vector" and isinstance(field, list):
        return field[:]  # of numbers; to look at the type of each takes as long as to read them
    return _copied(field)


def _blocks_of_batches(batches: Iterable[pa.RecordBatch], number: int) -> Iterator[Block]:
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = batch.slice(start, BATCH_ROWS)
            yield Block(range(number, number + part.num_rows), part)
            number += part.num_rows


# -- batches --------------------------------------------------------------------------------------


def parquet_batches(path: str) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:  # pre-buffering keeps whole row groups in memory
        yield from file.iter_batches(batch_size=BATCH_ROWS)


def arrow_batches(path: str) -> Iterator[Any]:
    """The batches of an IPC file (which includes Feather 2) or an IPC stream."""
    with open(path, "rb") as file:
        is_file = file.read(6) == b"ARROW1"
    with pa.memory_map(path) as mapped:
        if is_file:
            reader = pa.ipc.open_file(mapped)
            yield from map(reader.get_batch, range(reader.num_record_batches))
        else:
            yield from pa.ipc.open_stream(mapped)


def batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """A batch's rows as dicts; vectors are views of one float32 array."""
    columns = dict(zip(batch.schema.names, map(in_microseconds, batch.columns), strict=True))
    views = _row_views(columns["vector"]) if "vector" in columns else None
    if views is not None:
        columns["vector"] = pa.nulls(len(batch))
    rows = pa.RecordBatch.from_pydict(columns).to_pylist()
    for row, view in zip(rows, views or (), strict=False):
        row["vector"] = view
    yield from rows


def _row_views(column: Any) -> list[Vectors | None] | None:
    """Each row's vector, a view of the column's values as float32; `None` if the column holds no lists of numbers."""
    column = getattr(column, "storage", column)  # of an extension type, such as a fixed-shape tensor
    pair = vector_values(column)
    if pair is None:
        return None
    values, lengths = pair
    ends = np.cumsum(lengths).tolist()
    spans = zip([0, *ends], ends, column.is_valid().to_pylist(), strict=False)
    return [values[start:end] if present else None for start, end, present in spans]
