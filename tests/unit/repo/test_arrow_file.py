"""Single values of an Arrow file, read without pyarrow, are those that pyarrow reads; damaged bytes only raise."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vecver.repo.rows.arrow_file import MALFORMED, open_columns

TABLE = pa.table(
    {
        "key": pa.array([bytes([i] * 16) for i in range(40)], pa.binary(16)),
        "text": ["", "äöü", "x" * 1000, None] * 10,
        "int": pa.array([1, None, -(2**63), 2**63 - 1] * 10, pa.int64()),
        "small": pa.array([[1, None, 3], [], None, [7]] * 10, pa.list_(pa.int32())),
        "float": pa.array([0.1, None, float("inf"), -0.0] * 10, pa.float64()),
        "bool": pa.array([True, None, False, True] * 10, pa.bool_()),
        "strings": pa.array([["a", None, ""], None, [], ["ß"]] * 10, pa.list_(pa.string())),
        "paths": pa.array([[["a", "b"], []], [None], None, []] * 10, pa.list_(pa.list_(pa.string()))),
        "keys": pa.array([[bytes(16), b"k" * 16], [], [b"z" * 16], []] * 10, pa.list_(pa.binary(16))),
    }
)


def file_of(table: pa.Table, rows: int = 1000, **options: Any) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, **options) as file:
        file.write_table(table, max_chunksize=rows)
    return memoryview(sink.getvalue())


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_every_value_is_the_one_that_pyarrow_reads(rows: int) -> None:
    columns = open_columns(file_of(TABLE, rows))
    assert list(columns) == TABLE.column_names
    for name, column in columns.items():
        assert [column[row] for row in range(len(TABLE))] == TABLE.column(name).to_pylist()
        valid = [column.is_valid(row) for row in range(len(TABLE))]
        assert valid == TABLE.column(name).is_valid().to_pylist()
    assert columns["key"].whole().tobytes() == b"".join(TABLE.column("key").to_pylist())
    starts, listed = columns["keys"].lists()
    assert listed.tobytes() == b"".join(key for keys in TABLE.column("keys").to_pylist() for key in keys)
    assert np.diff(starts).tolist() == [len(keys) for keys in TABLE.column("keys").to_pylist()]
    items, first, last = columns["keys"].items(0)
    assert items.values[first:last].tobytes() == bytes(16) + b"k" * 16


def test_a_table_without_rows_has_columns_without_values() -> None:
    for table in (TABLE.slice(0, 0), TABLE.schema.empty_table()):
        columns = open_columns(file_of(table))
        assert columns["key"].whole().shape == columns["keys"].lists()[1].shape == (0, 16)
        for column in columns.values():
            with pytest.raises(IndexError):
                column[0]


def test_what_segments_never_hold_is_refused() -> None:
    compressed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pytest.raises(ValueError, match="compressed"):
        open_columns(file_of(TABLE, options=compressed))
    with pytest.raises(ValueError, match="do not have"):
        open_columns(file_of(pa.table({"when": pa.array([1], pa.timestamp("s"))})))
    with pytest.raises(ValueError, match="do not have"):
        open_columns(file_of(pa.table({"name": pa.array(["a"]).dictionary_encode()})))


def test_damaged_bytes_raise_or_give_other_values_and_nothing_else() -> None:
    sound, chance = bytes(file_of(TABLE, 16)), random.Random(4)
    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        cut = memoryview(bytes(damaged))[: chance.choice([len(damaged), chance.randrange(len(damaged))])]
        try:
            for column in open_columns(cut).values():
                for row in chance.sample(range(len(TABLE)), 3):
                    column[row]
        except MALFORMED:
            continue


def test_keys_in_one_batch_are_not_copied() -> None:
    content = file_of(TABLE)
    whole = open_columns(content)["key"].whole()
    assert np.shares_memory(whole, np.frombuffer(content, np.uint8))
