"""Filters as Milvus expressions: the rows that a Milvus selects by them, against those that match."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from milvus_server import client_of

from vecver.index import FieldValues, check_filter, evaluate, expression
from vecver.repo.rows.schema import metadata_columns

Rows = list[dict[str, Any]]
SERVER = "VECVER_TEST_MILVUS"  # the URI of a real server
F = 'metadata["f"]'


# -- the text -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "kinds", "wanted"),
    [
        ({}, "", ""),
        ({"f": "en"}, "str", f'{F} == "en"'),
        ({"f": "en"}, "int", f'{F} < ""'),
        ({"f": 'a"b\\c\n'}, "str", f'{F} == "a\\"b\\\\c\\n"'),
        ({"f": "en"}, "str strs", f'(json_contains_any({F}, ["en"]) or {F} == "en")'),
        ({"f": {"$gt": "en"}}, "strs", f'{F}[0] >= ""'),
        ({"f": {"$gte": 2024, "$lt": 2026}}, "int", f"({F} >= 2024 and {F} < 2026)"),
        ({"f": {"$ne": 2}}, "int", f"(not (exists {F}) or not ({F} == 2))"),
        ({"f": {"$ne": 2}}, "str", ""),
        ({"f": {"$ne": 1}}, "int bool", ""),
        ({"f": {"$ne": "en"}}, "strs json", ""),
        ({"f": {"$ne": 2**53}}, "int", f"(not (exists {F}) or not ({F} == {2**53}))"),
        ({"f": {"$ne": 2**53}}, "int float", ""),
        ({"f": {"$gt": 2.0**53}}, "int", f"{F} >= 9007199254740992.0"),
        ({"f": {"$gt": 10**400}}, "int", f"{F} >= 1.7976931348623157e+308"),
        ({"f": {"$in": []}}, "int", f'{F} < ""'),
        ({"f": {"$in": [*range(65)]}}, "int", f"({F} >= 0 and {F} <= 64)"),
        ({"f": {"$in": [3, True, "x"]}}, "int bool", f"({F} == true or {F} == 3)"),
        ({"f": {"$nin": []}}, "int", ""),
        ({"f": {"$exists": True}}, "int", f"(exists {F})"),
        ({"f": {"$exists": True}}, "int json", ""),
        ({"f": {"$exists": False}}, "json", f"not (exists {F})"),
        ({"a][b": 1}, "int", ""),
        ({"$or": [{"f": 2}, {"": 2}]}, "int", ""),
        ({"$and": [{"f": 2}, {"": 2}]}, "int", f"{F} == 2"),
        ({"f": {"$exists": True}}, "int object", ""),
        ({"f": {"$ne": "en"}}, "strs object", f'(not (exists {F}) or not json_contains_any({F}, ["en"]))'),
        ({"f": 7}, "json", f"json_contains_any({F}, [7.0])"),
        ({"f": {"$nin": [7]}}, "json", f'(not (exists {F}) or ({F} >= "" or not json_contains_any({F}, [7.0])))'),
        ({"f": {"$nin": [1]}}, "json", ""),
        ({"f": 2**53}, "json", f"(json_contains_any({F}, [{2.0**53}]) or json_contains_any({F}, [{2**53}]))"),
        ({"f": {"$in": ["a", True]}}, "json", f'(json_contains_any({F}, ["a"]) or json_contains_any({F}, [true]))'),
        ({"f": {"$gt": 7}}, "int json", ""),
        ({"f": {"$decimal": "0.1"}}, "float json", ""),
        ({"f": {"$decimal": "0.1"}}, "float", f"{F} == 0.1"),
        ({"f": {"$ne": {"$decimal": "0.1"}}}, "float", ""),
        ({"f": {"$gt": {"$decimal": "0.1"}}}, "float", f"{F} >= 0.1"),
        ({"f": "2026-10-25T00:30+14:00"}, "str", f'({F} >= "2026-10-23" and {F} < "2026-10-26")'),
        ({"f": {"$ne": "2026-10-25T00:30+14:00"}}, "str", ""),
        ({"f": {"$gt": "2026-10-25T00:30Z"}}, "str", f'{F} >= "2026-10-24"'),
        ({"f": {"$lte": "2026-10-25T00:30Z"}}, "str", f'{F} < "2026-10-27"'),
        ({"f": "2026-10-25T00:30Z"}, "strs", f'{F}[0] >= ""'),
        ({"f": "2026-10-25T00:30Z"}, "str json", ""),
        ({"$or": [{"f": n} for n in (1, 2, 3)]}, "int", f"({F} == 1 or ({F} == 2 or {F} == 3))"),
    ],
)
def test_the_text(filter: Any, kinds: str, wanted: str) -> None:
    assert expression(filter, lambda field: kinds.split()) == wanted


def nested(filter: Any, levels: int) -> Any:
    for _ in range(levels):
        filter = {"$or": [{"$and": [filter, {"f": 1}]}, {"f": "()"}]}
    return filter


def test_a_filter_too_deep_for_milvus_gives_no_expression() -> None:
    def depth(levels: int) -> int:
        text = expression(nested({"f": {"$ne": 1}}, levels), lambda field: ["int", "str"])
        return text.count("(")

    assert depth(19) > 40 and depth(20) == 0


# -- what it selects ----------------------------------------------------------------------------

SCALARS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, 1, -1, 2, 7, 2**53, 2**53 + 1, 2**62 + 1, 2**63 - 1, -(2**63), -(2**63) + 1],
    "float": [0.0, -0.0, 1.0, 1.5, -2.5, 2.0**53, 2.0**53 + 2, 2.0**63, 1e300, -1e300, 5e-324],
    "str": [
        *("", "a", "ab", "b", "é", "e\u0301", "𝄞", "\uffff", "1", "true", "()", '"', "'", 'a"b', "a\\b", "a\nb", "\\"),
        *("a\\nb", '\\"', "\\u0041", "A", "\t", "\r", "\0", "\x07", "\x0b", "\x1f", "\x7f", "\x85", "\u2028", "%"),
        *("a%", "2026-11-21", '["a"]', "[1]", "{}", "null", "$x", "x" * 500),
    ],
}
VALUES = [
    *(value for values in SCALARS.values() for value in values),
    *(["a"], ["a", "b"], ["b", "é"], ["", "z"], ['a"b', "a\nb"], ["()"], ["["]),
    *(["2026-10-25T02:30:00+02:00"], "2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z", "2026-10-24T20:30-04:00"),
    *({"$decimal": "12345678901234567.89"}, [{"$decimal": "12345678901234567.89"}, 7], [7, 8], [2**53 + 1], [2.0**53]),
    *(None, [], [1], [1.0], [True], [None], [["a"]], ["a", 1], [1, "a"], {}, {"f": 1}, {"0": "b"}, {"a": "a"}),
]
NAMES = [
    *("a b", "a.b", "a-b", "-", "ü", "𝄞", "a$b", "and", "a/b", "a~b", "~0", "a'b", 'a"b', "'", '"', "a\\b", "\\"),
    *("a\\n", "a\nb", "a\tb", "a\r", "a[b", "a]b", "[", "]", "[0]", "0", "-1", " ", "a,b", "(", ")", "%", "A"),
    *("\x7f", "\x85", "\u2028", "{}", "#", "x" * 300, "metadata", "a\\"),
]
UNSAYABLE = ["", "a][b", "\0", "a\x07", "\x0b", "\x1f", "\\u0041"]
POOL: Rows = [
    {},
    *({"f": value} for value in VALUES),
    *({name: 1} for name in [*NAMES, *UNSAYABLE]),
    *({"n": n} for n in (0, 1, -5, 2024, 2**53, 2**53 + 1, 2**63 - 1, -(2**63))),
    *({"x": x} for x in (0.5, -0.0, 2.0**53, 1e300, -1e300)),
    *({"s": s, "b": s < "b"} for s in SCALARS["str"]),
    *({"t": t} for t in (["a"], ["a", "b"], ["é", ""], ['"', "\\"])),
    *({"ts": t} for t in ("a", ["a"], '["a"]', ["b", "a"], "b")),
]
IDS = [f"{row:04d}" for row in range(len(POOL))]
TITLES = [SCALARS["str"][row % len(SCALARS["str"])] for row in range(len(POOL))]  # "" is none
DOCUMENTS = [f"{title}/{id}" for title, id in zip(TITLES, IDS, strict=True)]
NAMED = {
    "$title": FieldValues({"str": pa.chunked_array([[title or None for title in TITLES]])}, are_names=True),
    "$document": FieldValues({"str": pa.chunked_array([DOCUMENTS])}, are_names=True),
    "$path": FieldValues({"str": pa.chunked_array([DOCUMENTS])}, are_paths=True),
}


def typed(rows: Rows) -> Callable[[str], dict[str, pa.ChunkedArray]]:
    """The columns of these metadata, as a version gives them."""
    columns: dict[str, dict[str, pa.ChunkedArray]] = {}
    for name, column in metadata_columns(rows).items():
        _, kind, field = name.split(".", 2)
        columns.setdefault(field, {})[kind] = pa.chunked_array([column])
    return lambda field: columns.get(field, {})


COLUMNS = typed(POOL)


def own_columns(field: str) -> Any:
    return NAMED.get(field) or COLUMNS(field)


FIELDS = sorted({field for row in POOL for field in row})


class Engine:
    """A Milvus that holds the pool, one row a document."""

    def __init__(self, uri: str) -> None:
        from pymilvus import DataType, MilvusClient

        self.client, self.name = client_of(uri), "vecver_test_expressions"
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        schema.add_field("metadata", DataType.JSON)
        for field in ("document", "title"):
            schema.add_field(field, DataType.VARCHAR, max_length=4096)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self.client.drop_collection(self.name)
        self.client.create_collection(self.name, schema=schema, index_params=index)
        columns = zip(IDS, POOL, DOCUMENTS, TITLES, strict=True)
        rows = [dict(zip(("id", "metadata", "document", "title"), row, strict=True)) for row in columns]
        self.client.upsert(self.name, [{**row, "vector": [1.0, 0.0]} for row in rows])
        self.client.load_collection(self.name)
        assert self.selected("") == IDS

    def selected(self, text: str) -> list[str]:
        """Rows that a search finds, under conditions of the kind that a publication adds."""
        pinned = 'id >= "0" and id < "9"' + (f" and {text}" if text else "")
        hits = self.client.search(
            self.name, [[1.0, 0.0]], filter=pinned, limit=len(POOL), output_fields=["id"], consistency_level="Strong"
        )
        return sorted(hit["id"] for hit in hits[0])

    def close(self) -> None:
        self.client.drop_collection(self.name)
        self.client.close()


@pytest.fixture(scope="module", params=["lite", "server"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    pytest.importorskip("pymilvus", reason="pymilvus is not installed")
    if request.param == "lite":
        pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")
        uri = str(Path(tmp_path_factory.mktemp("milvus")) / "milvus.db")
    else:
        uri = os.environ.get(SERVER, "")
        if not uri:
            pytest.skip(f"{SERVER} names no server")
    engine = Engine(uri)
    yield engine
    engine.close()


def kinds(field: str) -> Collection[str]:
    return COLUMNS(field).keys()


def matching(filter: Any) -> list[str]:
    check_filter(filter, [*FIELDS, *NAMED])
    return [id for id, is_match in zip(IDS, evaluate(filter, own_columns, len(POOL)).tolist(), strict=True) if is_match]


@pytest.mark.parametrize(
    "filter",
    [
        *({"s": value} for value in SCALARS["str"]),
        {"s": {"$ne": 'a"b'}},
        {"s": {"$gt": "a"}},
        {"s": {"$gte": "é", "$lt": "𝄞"}},
        {"s": {"$lte": ""}},
        {"s": {"$in": ["a", "\\", "nowhere"]}},
        {"s": {"$nin": ["a", "\n", "\\u0041"]}},
        {"s": {"$in": []}},
        {"s": 1},
        {"s": {"$ne": 1}},
        {"b": True},
        {"b": {"$ne": True}},
        {"b": {"$gt": False}},
        {"b": {"$gte": False}},
        {"b": {"$lt": False}},
        {"b": 1},
        {"b": {"$in": [True, 0]}},
        *({"n": value} for value in SCALARS["int"] if value > -(2**63)),
        *({"n": {"$ne": value}} for value in SCALARS["int"] if value > -(2**63)),
        *({"n": {"$gt": value}} for value in SCALARS["int"] if value > -(2**63)),
        {"n": {"$lt": 2**53 + 1}},
        {"n": {"$lte": 0.5}},
        {"n": 2024.0},
        {"n": True},
        {"n": 10**400},
        {"n": {"$gte": -(10**400)}},
        *({"x": value} for value in SCALARS["float"]),
        *({"x": {"$lt": value}} for value in SCALARS["float"]),
        {"x": {"$ne": 0}},
        {"t": "a"},
        {"t": {"$ne": "a"}},
        {"t": {"$in": ["b", '"']}},
        {"t": {"$nin": ["", "b"]}},
        {"t": {"$exists": True}},
        {"t": {"$exists": False}},
        {"ts": {"$ne": "a"}},
        {"ts": {"$nin": ["b", "c"]}},
        {"ts": {"$exists": True}},
        {"f": 2},
        {"f": 1.5},
        {"f": "a\nb", "s": {"$exists": False}},
        {"f": {"$nin": [2, 1.5]}},
        {"$or": [{"n": {"$gte": 2024}}, {"s": "a", "b": True}, {"t": "é"}]},
        {"$or": [{"n": {"$ne": 1}}, {"n": 1}]},
        {"$and": [{"n": {"$exists": True}}, {"$or": [{"n": -5}, {"n": {"$gt": 1, "$lt": 2025}}]}]},
        *({name: {"$exists": True}} for name in NAMES),
        *({name: {"$ne": 1}} for name in NAMES),
        {"$not": {"n": 2024}},
        {"$nor": [{"n": {"$gt": 1}, "b": True}, {"s": {"$in": ["a", "b"]}}]} | {"n": {"$exists": True}},
        {"s": {"$not": {"$ne": "a"}}},
        {"s": {"$not": {"$in": ["a", "b"], "$exists": True}}},
        {"$not": {"$not": {"n": {"$gte": 2024}}}},
        {"t": {"$all": ["a", "b"]}},
        {"t": {"$not": {"$all": ["a", "b"]}}},
        {"t": {"$contains": "a"}},
        {"n": {"$exists": True, "$not": {"$exists": False}}},
        *({"$title": title} for title in SCALARS["str"]),
        *({"$title": {"$ne": title}} for title in SCALARS["str"] if len(title) < 99),
        *({"$path": title} for title in SCALARS["str"]),
        *({"$path": {"$ne": title}} for title in SCALARS["str"] if len(title) < 99),
        {"$title": {"$exists": True}},
        {"$title": {"$not": {"$exists": True}}},
        {"$title": {"$gte": "a", "$lt": "é"}},
        {"$title": {"$in": ["a", "", "\\"]}},
        {"$title": {"$nin": ["a", "", "\\"]}},
        {"$title": {"$in": []}},
        {"$document": {"$in": DOCUMENTS[3:9]}},
        {"$document": {"$nin": DOCUMENTS[3:9]}},
        {"$path": {"$in": ["a", "b", "\uffff", "%"]}},
        {"$path": {"$nin": ["a", "b", "\uffff", "%"]}},
        {"$path": {"$in": []}},
    ],
    ids=lambda filter: ascii(filter)[:60],
)
def test_selects_exactly_what_matches(engine: Engine, filter: Any) -> None:
    assert engine.selected(expression(filter, kinds)) == matching(filter)


@pytest.mark.parametrize(
    "filter",
    [
        {"f": {"$gt": 1, "$lt": 7}},  # f has lists, of whose items nothing is said
        {"f": {"$in": [*range(64), *"abc", True]}},
        {"f": {"$in": [*range(-500, 500), *map(str, range(500)), 2**53, 2.0**63, "z"]}},
        {"f": {"$nin": [*range(2, 66), *map(str, range(64))]}},
        {"t": {"$in": [*map(str, range(5000)), "a"]}},
        {"$or": [{"n": {"$gte": n, "$lt": n + 1}} for n in range(200)]},
        {"$and": [{"n": {"$ne": n}} for n in range(200)]},
        nested({"f": {"$ne": 1.5}}, 19),
        nested({"f": {"$ne": 1.5}}, 30),
        {"$document": {"$in": DOCUMENTS}},
        {"$path": {"$nin": DOCUMENTS[:-1]}},
        *({name: 1} for name in UNSAYABLE),
    ],
    ids=[
        "lists",
        *["64", "1000", "-128", "5000", "ranges", "nots", "deep", "deeper", "documents", "paths"],
        *map(ascii, UNSAYABLE),
    ],
)
def test_an_inexact_expression_selects_at_least_what_matches(engine: Engine, filter: Any) -> None:
    assert set(matching(filter)) <= set(engine.selected(expression(filter, kinds)))


OTHERS = [2**64, -(10**400), 3.25, "zz", "2026-10-25T00:30Z", {"$decimal": "12345678901234567.89"}]
scalars = st.sampled_from([value for values in SCALARS.values() for value in values] + OTHERS)
comparing = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
conditions = st.one_of(
    scalars,
    st.dictionaries(comparing, scalars, min_size=1, max_size=3),
    st.builds(
        lambda operator, items: {operator: items}, st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=5)
    ),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$contains": value}, scalars),
    st.builds(lambda values: {"$all": values}, st.lists(scalars, min_size=1, max_size=3)),
)
conditions = st.one_of(
    conditions,
    conditions.filter(lambda one: isinstance(one, dict) and "$decimal" not in one).map(lambda one: {"$not": one}),
)
fields = st.one_of(
    st.just("f"), st.sampled_from(["n", "x", "s", "b", "t", "ts"]), st.sampled_from([*NAMES, *UNSAYABLE])
)
texts = st.sampled_from(SCALARS["str"] + DOCUMENTS[:20])
names = st.one_of(
    texts,
    st.builds(lambda operator, text: {operator: text}, st.sampled_from(["$eq", "$ne", "$contains"]), texts),
    st.builds(lambda operator, some: {operator: some}, st.sampled_from(["$in", "$nin"]), st.lists(texts, max_size=4)),
    st.builds(lambda operator, text: {"$not": {operator: text}}, st.sampled_from(["$eq", "$ne", "$contains"]), texts),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
)
filters = st.recursive(
    st.one_of(
        st.dictionaries(fields, conditions, min_size=1, max_size=2),
        st.dictionaries(st.sampled_from(["$document", "$path", "$title"]), names, min_size=1, max_size=1),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3), min_size=1),
        inner.map(lambda one: {"$not": one}),
    ),
    max_leaves=5,
)


@given(filters)
@example({"f": {"$exists": True}})
@example({"f": {"$ne": "a"}})
@example({"f": {"$nin": [True, 0, "a", 2**53, 2.0**63]}})
@example({"f": {"$gt": 2.0**53}})
@example({"f": {"$lt": 2**53 + 1}})
@example({"f": {"$lte": -(2**63)}})
@settings(max_examples=40, deadline=None)
def test_selects_at_least_what_matches(engine: Engine, filter: Any) -> None:
    assert set(matching(filter)) <= set(engine.selected(expression(filter, kinds)))
