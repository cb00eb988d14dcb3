"""Records from Arrow tables, Parquet, Feather and IPC files, with vectors of every type."""

from __future__ import annotations

import decimal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from record_results import codes, originals, pairs, read, refusal

from vecver.model import Failure, Original
from vecver.pipeline.sources import records as reading


@pytest.fixture(autouse=True, params=["one by one", "columns"])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read rows: one by one, as a few are, and in columns."""
    if request.param == "columns":
        monkeypatch.setattr(reading, "FEW", 1)


# -- tables -------------------------------------------------------------------------------------

VECTOR_TYPES = [
    pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.float16(), 2), pa.list_(pa.float64()),
    pa.large_list(pa.float32()), pa.list_(pa.int8()), pa.list_view(pa.float32()),
]  # fmt: skip


def table(count: int = 3, kind: pa.DataType = VECTOR_TYPES[1]) -> pa.Table:
    return pa.table(
        {
            "id": [f"d{n}" for n in range(count)],
            "text": [f"text {n}" for n in range(count)],
            "vector": pa.array([[n, n + 1] for n in range(count)], kind),
            "year": pa.array([2000 + n for n in range(count)], pa.int16()),
        }
    )


def told(results: Iterable[Original | Failure]) -> list[tuple[str, str | None, list[float], Any]]:
    items = originals(results)
    assert all(item.vector is not None and item.vector.dtype == np.float32 for item in items)
    assert all(item.vector is not None and item.vector.flags.c_contiguous for item in items)
    return [(i.document, i.text, [] if i.vector is None else i.vector.tolist(), i.metadata["year"]) for i in items]


EXPECTED = [(f"d{n}", f"text {n}", [float(n), n + 1.0], 2000 + n) for n in range(3)]


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_vectors_of_every_type_are_float32(kind: pa.DataType) -> None:
    assert told(read(table(kind=kind))) == EXPECTED
    assert told(read(table(5, kind).slice(1, 2))) == [(f"d{n}", f"text {n}", [n, n + 1.0], 2000 + n) for n in (1, 2)]


def test_tables_batches_readers_and_dicts_are_the_same_records() -> None:
    whole = table()
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    forms: list[Any] = [
        whole, chunked, whole.to_reader(), whole.to_batches(), iter(chunked.to_batches()), whole.to_batches()[0],
        whole.to_pylist(), (row for row in whole.to_pylist()),
    ]  # fmt: skip
    digests = [[item.digest for item in originals(read(form))] for form in forms]
    assert all(digest == digests[0] for digest in digests) and len(set(digests[0])) == 3


def test_strings_of_every_type() -> None:
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        columns = {
            "id": pa.array(["a", "b"]).cast(kind),
            "text": pa.array(["x", "x"]).cast(kind),
            "lang": pa.array(["en", None]).cast(kind),
        }
        items = originals(read(pa.table(columns)))
        assert pairs(items) == [("a", "x"), ("b", "x")]
        assert [item.metadata for item in items] == [{"lang": "en"}, {}]


def test_rows_of_a_table_that_cannot_be_used() -> None:
    bad = pa.table(
        {
            "id": ["ok", "null text", "nan", "null vector", "short", "null inside", None, "end"],
            "text": ["t", None, "t", "t", "t", "t", "t", "t"],
            "vector": [[1.0, 2.0], [1.0, 2.0], [1.0, float("nan")], None, [1.0], [None, 1.0], [1.0, 2.0], [3.0, 4.0]],
        }
    )
    items = list(read(bad, label="wiki"))
    assert codes(items) == [
        ("ok", "ok"), ("null text", "no_text"), ("nan", "invalid_vector"), ("null vector", "invalid_vector"),
        ("short", "invalid_vector"), ("null inside", "invalid_vector"), ("wiki:7", "invalid_id"), ("end", "ok"),
    ]  # fmt: skip
    assert isinstance(items[1], Failure) and items[1].reason == "Row 2 has null for its text."
    assert isinstance(items[-1], Original) and items[-1].vector is not None and items[-1].vector.tolist() == [3.0, 4.0]


def test_null_vectors_are_no_vectors() -> None:
    assert [item.vector for item in originals(read(table().set_column(2, "vector", pa.nulls(3))))] == [None] * 3


def test_arrow_times_and_numbers_become_json() -> None:
    moment = 1_700_000_000_123_456_789
    columns = {
        "ns": pa.array([moment], pa.timestamp("ns")),
        "tz": pa.array([moment], pa.timestamp("ns", "UTC")),
        "s": pa.array([1_700_000_000], pa.timestamp("s")),
        "day": pa.array([0], pa.date32()),
        "clock": pa.array([3_600_000_000_001], pa.time64("ns")),
        "lasts": pa.array([1_500_000_000], pa.duration("ns")),
        "price": pa.array([decimal.Decimal("1.50")], pa.decimal128(5, 2)),
        "tags": pa.array([["x", "y"]]),
        "deep": pa.array([{"a": 1, "b": None}]),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())),
    }
    (item,) = originals(read(pa.table({"id": ["a"], "text": ["t"], **columns})))
    assert item.metadata == {
        "ns": "2023-11-14T22:13:20.123456", "tz": "2023-11-14T22:13:20.123456+00:00", "s": "2023-11-14T22:13:20",
        "day": "1970-01-01", "clock": "01:00:00", "lasts": 1.5, "price": 1.5, "tags": ["x", "y"],
        "deep": {"a": 1, "b": None}, "map": [["k", 1]],
    }  # fmt: skip
    big = pa.table({"id": ["a", "b"], "text": ["t", "t"], "n": pa.array([1, 2**63], pa.uint64())})
    assert codes(read(big)) == [("a", "ok"), ("b", "invalid_metadata")]
    assert codes(read(pa.table({"id": ["a"], "text": ["t"], "raw": [b"x"]}))) == [("a", "invalid_metadata")]


def test_vectors_are_views_of_the_callers_values() -> None:
    values = np.arange(6, dtype=np.float32)
    batch = pa.record_batch(
        {"id": ["a", "b", "c"], "text": ["", "", ""], "vector": pa.FixedSizeListArray.from_arrays(pa.array(values), 2)}
    )
    for item in originals(read([batch])):
        assert item.vector is not None and np.shares_memory(item.vector, values)


def test_more_rows_than_a_batch_keep_their_order_and_numbers() -> None:
    count = 20_000
    big = table(count)
    items = told(read(big))
    assert [row[0] for row in items] == [f"d{n}" for n in range(count)]
    assert all(row[2] == [n, n + 1.0] for n, row in enumerate(items))
    twice = pa.concat_tables([big, big.slice(5, 1)])
    assert "row 6 and row 20001" in refusal(lambda: read(twice)).message


def test_files_of_tables(tmp_path: Path) -> None:
    whole = table()
    pq.write_table(whole, tmp_path / "r.parquet", row_group_size=2)
    pa.feather.write_feather(whole, str(tmp_path / "r.feather"), compression="lz4")
    with pa.ipc.new_file(tmp_path / "r.arrow", whole.schema) as writer:
        writer.write_table(whole, max_chunksize=2)
    with pa.ipc.new_stream(tmp_path / "r.ipc", whole.schema) as writer:
        writer.write_table(whole)
    for name in ("r.parquet", "r.feather", "r.arrow", "r.ipc"):
        items = list(read(tmp_path / name))
        assert told(items) == EXPECTED and {item.source for item in items if isinstance(item, Original)} == {name}


@pytest.mark.parametrize("name", ["r.parquet", "r.arrow", "r.feather"])
@pytest.mark.parametrize("content", [b"", b"PAR1 or ARROW1, it is neither", b"ARROW1\0\0" + b"\0" * 50])
def test_a_broken_table_file_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(lambda: read(path)).code in {"not_records", "unreadable"}


def test_tables_without_id_or_text_are_refused() -> None:
    for columns in ({"name": ["x"], "text": ["y"]}, {"id": ["x"]}, {"vector": [[1.0]]}):
        error = refusal(lambda columns=columns: read(pa.table(columns)))  # type: ignore[misc]
        assert error.code == "not_records" and str(sorted(columns)) in error.message.replace(
            "'text', 'name'", "'name', 'text'"
        )
    assert list(read(table().slice(0, 0))) == []
