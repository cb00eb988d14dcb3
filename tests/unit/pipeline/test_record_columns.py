"""Records read in columns are, record by record, those that are read one by one: digests, values, failures, errors."""

from __future__ import annotations

import copy
import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecver.errors import InvalidInputError
from vecver.model import Failure, Original, Records, singly
from vecver.pipeline.sources import record_columns, records
from vecver.pipeline.sources.origin import check_id

COUNT = 40
VECTORS = np.random.default_rng(1).standard_normal((COUNT, 4)).astype(np.float32)
ODD = ["ü 漢字 🎈", 'quote " and \\', "line\nend\t\r", "\x00\x1f\x7f", "\u2028", "é", "  lead"]


def table(**columns: Any) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.reshape(-1)), 4)
    texts = [f"{ODD[i % 7]} {i}" for i in range(COUNT)]
    plain = {"id": [f"d{i}" for i in range(COUNT)], "text": texts, "vector": vectors}
    return pa.table({name: column for name, column in {**plain, **columns}.items() if column is not None})


def some(values: Any, kind: pa.DataType | None = None) -> pa.Array:
    """The values, every third of them null."""
    return pa.array([None if i % 3 == 0 else value for i, value in enumerate(values)], kind)


def described(items: Any) -> list[Any]:
    """Everything that is known of each item."""
    rows: list[Any] = []
    for item in items:
        if isinstance(item, Original):
            vector = None if item.vector is None else item.vector.tobytes()
            rows.append((item.document, item.source, item.digest, item.text, item.title, dict(item.metadata), vector))
        else:
            assert isinstance(item, Failure)
            rows.append(item)
    return rows


def read(values: Any, few: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[list[Any], list[Any]]:
    """(what is read of the values, what it is record by record); an error counts as the last item."""
    monkeypatch.setattr(records, "FEW", few)
    items: list[Any] = []
    try:
        items.extend(records.read_values(values, label="s", **options))
    except InvalidInputError as error:
        return items, [*described(singly(items)), (error.code, str(error), error.hint)]
    return items, described(singly(items))


NUMBERS = range(COUNT)
COLUMNS: dict[str, Any] = {
    "int": some(NUMBERS, pa.int16()),
    "uint": pa.array(NUMBERS, pa.uint64()),
    "float": some([n / 3 for n in NUMBERS], pa.float32()),
    "double": some([1e300, -0.0, 1e16, 1e-7] * 10),
    "half": pa.array(np.arange(COUNT, dtype=np.float16)),
    "bool": some([n % 2 == 0 for n in NUMBERS]),
    "string": some([ODD[n % 7] for n in NUMBERS]),
    "large": some([ODD[n % 7] for n in NUMBERS], pa.large_string()),
    "view": pa.array([ODD[n % 7] for n in NUMBERS], pa.string_view()),
    "code": some([ODD[n % 7] for n in NUMBERS]).dictionary_encode(),
    "coded numbers": some(NUMBERS).dictionary_encode(),
    "coded nulls": pa.DictionaryArray.from_arrays(pa.array([0] * COUNT), pa.array([None], pa.string())),
    "nothing": pa.nulls(COUNT),
    "no strings": pa.nulls(COUNT, pa.string()),
    "list": some([[n, None] for n in NUMBERS]),
    "words": some([["a", ODD[n % 7]] for n in NUMBERS]),
    "struct": some([{"x": n, "y": None} for n in NUMBERS]),
    "time": some([datetime.datetime(2020, 1, 1, n % 24) for n in NUMBERS], pa.timestamp("ns")),
    "day": some([datetime.date(2020, 1, 1)] * COUNT),
    "decimal": some([decimal.Decimal("12345678901234567.89")] * COUNT),
    "_id": pa.array(ODD[:1] * COUNT),
    'na"me.ü': pa.array(ODD[:1] * COUNT),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_type(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = table(**{name: COLUMNS[name]}).slice(3, 30)
    items, in_columns = read(values, 1, monkeypatch)
    assert [type(item) for item in items] == [Records] and in_columns == read(values, COUNT, monkeypatch)[1]


GOOD: dict[str, pa.Table] = {
    "integer ids": table(id=pa.array(NUMBERS)),
    "coded ids": table(id=table()["id"].dictionary_encode()),
    "_id": table().rename_columns(["_id", "text", "vector"]),
    "titles": table(title=some([ODD[n % 7] for n in NUMBERS])),
    "no titles": table(title=pa.nulls(COUNT)),
    "float64": table(vector=pa.array(VECTORS.astype(float).tolist())),
    "integers": table(vector=pa.array((VECTORS * 100).astype(int).tolist())),
    "large lists": table(vector=pa.array(VECTORS.tolist(), pa.large_list(pa.float16()))),
    "no vectors": table(vector=None),
    "null vectors": table(vector=pa.nulls(COUNT, pa.list_(pa.float32()))),
}


@pytest.mark.parametrize("prefix", ["", "p/"])
@pytest.mark.parametrize("name", GOOD)
def test_tables_of_every_shape(name: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items, in_columns = read(GOOD[name], 1, monkeypatch, prefix=prefix)
    assert [type(item) for item in items] == [Records]
    assert in_columns == read(GOOD[name], COUNT, monkeypatch, prefix=prefix)[1]


def with_row(name: str, row: int, value: Any, kind: pa.DataType | None = None) -> pa.Table:
    values = table(m=pa.array([1.0] * COUNT))
    column = values[name].to_pylist()
    column[row] = value
    return values.set_column(values.column_names.index(name), name, pa.array(column, kind))


BAD_IDS = [None, "", "/x", "a/../b", ".", "x\u2028", "x\x7f", "a\x85", "y" * 1025, "a/./b", "..", "d3"]
BAD = {
    **{f"id {number}": with_row("id", 17, value) for number, value in enumerate(BAD_IDS)},
    "no text": with_row("text", 17, None),
    "no vector": with_row("vector", 17, None, pa.list_(pa.float32())),
    "NaN in a vector": with_row("vector", 17, [float("nan")] * 4, pa.list_(pa.float32())),
    "beyond float32": with_row("vector", 17, [1e300] * 4, pa.list_(pa.float64())),
    "null in a vector": with_row("vector", 17, [1.0, None, 1.0, 1.0], pa.list_(pa.float32())),
    "another dimension": with_row("vector", 17, [1.0], pa.list_(pa.float32())),
    "NaN": with_row("m", 17, float("nan")),
    "infinity": with_row("m", 17, float("inf"), pa.float32()),
    "a large integer": table(m=pa.array([2**64 - 1 if n == 17 else n for n in NUMBERS], pa.uint64())),
    "twice": pa.concat_tables([table().slice(0, 30), table().slice(20)]),
    "titles of numbers": table(title=pa.array(NUMBERS)),
    "texts of numbers": table(text=pa.array(NUMBERS)),
    "no column of texts": table(text=None),
    "no column of ids": table(id=None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_fails_as_it_does_alone_and_the_others_stay_in_columns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, in_columns = read(BAD[name], 4, monkeypatch)
    assert in_columns == read(BAD[name], COUNT, monkeypatch)[1]
    if name.startswith("id") and name != "id 11":
        assert sum(len(item) for item in items if isinstance(item, Records)) >= COUNT - 5


def test_blank_texts_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for blank in ("", " \u3000\n", "\x1c"):
        items, in_columns = read(with_row("text", 17, blank), 4, monkeypatch)
        assert in_columns == read(with_row("text", 17, blank), COUNT, monkeypatch)[1]
        assert all(isinstance(item, Original) == (not isinstance(item, Records)) for item in items)
        assert all(text.strip() for item in items if isinstance(item, Records) for text in item.texts.to_pylist())


def test_invalid_utf8_is_never_read_in_columns() -> None:
    ends = pa.py_buffer(np.arange(COUNT + 1, dtype=np.int32))
    texts = pa.Array.from_buffers(pa.string(), COUNT, [None, ends, pa.py_buffer(b"\xff" * COUNT)])
    (batch,) = table(text=texts).to_batches()
    assert record_columns.records_of(batch, "s") is None


def rows(**fields: Any) -> list[dict[str, Any]]:
    """Dicts; a field is what gives its value for each number, and a value that is a string of no value is left out."""
    made = [{"id": f"d{n}", "text": ODD[n % 7] + str(n), "vector": VECTORS[n].tolist()} for n in NUMBERS]
    return [{**row, **{name: value(n) for name, value in fields.items()}} for n, row in enumerate(made)]


ROWS: dict[str, list[Any]] = {
    "plain": rows(n=lambda n: n, s=lambda n: ODD[n % 7], f=lambda n: n / 3, b=lambda n: n % 2 == 0, x=lambda n: None),
    "arrays": rows(vector=lambda n: VECTORS[n].astype([np.float64, np.float16, np.float32][n % 3])),
    "large integers in vectors": rows(vector=lambda n: [1, 2, 2**60 + n] if n % 2 else [0.5, 1, 2]),
    "mixed types": rows(m=lambda n: [n, float(n), n % 2 == 0, "s", ["a"], {"b": [n]}, None, []][n % 8]),
    "numbers of numpy": rows(a=lambda n: np.float64(n), b=lambda n: np.int32(n), c=lambda n: np.str_("s")),
    "decimals": rows(m=lambda n: decimal.Decimal(n), d=lambda n: {"$decimal": "12345678901234567890.5"}),
    "dates": rows(m=lambda n: datetime.date(2020, 1, 1), d=lambda n: datetime.timedelta(seconds=n)),
    "fields that some lack": [{k: v for k, v in row.items() if k != "z" or n % 3} for n, row in enumerate(rows(z=str))],
    "integer ids": rows(id=lambda n: n),
}
ROWS_WITH_A_BAD_ONE: dict[str, list[Any]] = {
    "booleans in a vector": rows(vector=lambda n: [True, False] if n == 17 else [1.0, 2.0]),
    "a decimal in a vector": rows(vector=lambda n: [decimal.Decimal(1), 1.0] if n == 17 else [1.0, 2.0]),
    "a vector of vectors": rows(vector=lambda n: [[1.0]] if n == 17 else [1.0]),
    "a vector of letters": rows(vector=lambda n: "abc"),
    "half of a surrogate pair": rows(m=lambda n: "\ud800" if n == 17 else "s"),
    "such a text": rows(text=lambda n: "\udfff" if n == 17 else "s"),
    "such a name": [{**row, **({"\ud800": 1} if n == 17 else {})} for n, row in enumerate(rows())],
    "a large integer": rows(m=lambda n: 2**70 if n == 17 else n),
    "NaN": rows(m=lambda n: float("nan") if n == 17 else 1.0),
    "a set": rows(m=lambda n: {1} if n == 17 else [1]),
    "ids of two types": rows(id=lambda n: n if n % 2 else f"d{n}"),
    "a boolean id": rows(id=lambda n: True if n == 17 else f"d{n}"),
    "no dict": [7 if n == 17 else row for n, row in enumerate(rows())],
    "a name that is no string": [{**row, **({5: 1} if n == 17 else {})} for n, row in enumerate(rows())],
    "id and _id": [{"_id" if k == "id" and n % 2 else k: v for k, v in row.items()} for n, row in enumerate(rows())],
    "an id twice": rows(id=lambda n: f"d{n % 39}"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_shape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items, in_columns = read(ROWS[name], 1, monkeypatch)
    assert [type(item) for item in items] == [Records] and in_columns == read(ROWS[name], COUNT, monkeypatch)[1]


@pytest.mark.parametrize("name", ROWS_WITH_A_BAD_ONE)
def test_a_bad_dict_fails_as_it_does_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ROWS_WITH_A_BAD_ONE[name]
    assert read(values, 1, monkeypatch)[1] == read(values, COUNT, monkeypatch)[1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=5, unique=True))
def test_ids_are_refused_as_check_id_refuses_them(ids: list[str]) -> None:
    batch = pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.string()), "text": ["t"] * len(ids)})
    assert (record_columns.records_of(batch, "s") is not None) == (not any(map(check_id, ids)))


def test_part_of_records_has_all_their_columns() -> None:
    (batch,) = table(n=some(NUMBERS), j=some([[n] for n in NUMBERS])).to_batches()
    records_read = record_columns.records_of(batch, "s")
    assert records_read and described(singly([records_read.take(np.array([7, 2]))])) == [
        described(singly([records_read]))[row] for row in (7, 2)
    ]


def reused_rows(kind: str) -> Iterator[dict[str, Any]]:
    """Rows of a generator that changes and gives the same object again."""
    row: dict[str, Any] = {}
    numbers, tags, place = [0.0] * 4, ["a", ["b"]], {"page": 0}
    array = np.zeros(4, np.float32)
    for i in range(COUNT):
        numbers[:], tags[1], place["page"], array[:] = VECTORS[i].tolist(), [f"tag {i}"], i, VECTORS[i]
        fresh = {"id": f"d{i}", "text": f"text {i}", "vector": VECTORS[i]}
        row.update(fresh)
        yield {
            "row": row,
            "list": {**fresh, "vector": numbers},
            "array": {**fresh, "vector": array},
            "nested": {**fresh, "tags": tags, "place": place},
        }[kind]


@pytest.mark.parametrize("kind", ["row", "list", "array", "nested"])
@pytest.mark.parametrize("added", [False, True])
def test_a_generator_may_give_the_same_object_again(kind: str, added: bool) -> None:
    rows = [copy.deepcopy(row) for row in reused_rows(kind)]
    expected = described(singly(records.read_values(rows, label="s", added=added)))
    assert described(singly(records.read_values(reused_rows(kind), label="s", added=added))) == expected
    assert len({row[0] for row in expected}) == COUNT


def test_a_row_nested_too_deep_fails_alone() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    rows = [{"id": f"d{i}", "text": "one", "deep": deep if i == 3 else [1]} for i in range(COUNT)]
    *others, failure = sorted(records.read_values(iter(rows), label="s"), key=lambda item: isinstance(item, Failure))
    assert isinstance(failure, Failure) and failure.document == "d3" and len(others) == COUNT - 1
