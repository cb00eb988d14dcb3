"""Filters: every operator and type, against the same filter written out in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers import open_on, vector_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vecver
from vecver.errors import InvalidInputError
from vecver.index import check_filter, evaluate
from vecver.repo.rows import metadata_columns
from vecver.store import MemoryStore

ONES = np.ones(8, np.float32)
DOCUMENTS: dict[str, dict[str, Any]] = {
    "a": {"year": 2023, "lang": "en", "tags": ["x", "y"], "draft": True, "size": 1.5},
    "b": {"year": 2024, "lang": "de", "tags": ["y"], "draft": False, "größe.ü": 3},
    "c": {"year": 2025.5, "lang": "en", "day": "2026-11-21"},
    "d": {"year": "2024", "tags": "x", "nested": {"year": 2024}, "mixed": [1, 2]},
    "e": {},
}


def dataset(*versions: dict[str, dict[str, Any]]) -> vecver.Dataset:
    docs = open_on(MemoryStore()).dataset("d")
    for documents in versions:
        records = [{"id": id, "text": id, "vector": vector_of(id), **fields} for id, fields in documents.items()]
        docs.ingest(records, space="test", metric="ip")
    return docs


def found(docs: vecver.Dataset, filter: Any, **how: Any) -> str:
    """The documents that match, as one word in order."""
    return "".join(sorted(hit.document for hit in docs.search(ONES, k=100, filter=filter, **how)))


@pytest.fixture(scope="module")
def docs() -> vecver.Dataset:
    return dataset(DOCUMENTS)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        (None, "abcde"),
        ({}, "abcde"),
        ({"year": 2024}, "b"),
        ({"year": 2024.0}, "b"),
        ({"year": {"$ne": 2024}}, "acde"),
        ({"year": {"$gt": 2023, "$lt": 2026}}, "bc"),
        ({"year": {"$gte": 2024.5}}, "c"),
        ({"year": {"$lte": 2024}}, "ab"),
        ({"year": {"$in": [2023, "2024"]}}, "ad"),
        ({"year": {"$nin": [2023, "2024"]}}, "bce"),
        ({"year": {"$in": []}}, ""),
        ({"year": {"$nin": []}}, "abcde"),
        ({"year": {"$exists": True}}, "abcd"),
        ({"year": {"$exists": False}}, "e"),
        ({"year": {"$gt": "2"}}, "d"),
        ({"lang": {"$gte": "e"}}, "ac"),
        ({"day": {"$lt": "2026-12"}}, "c"),
        ({"draft": True}, "a"),
        ({"draft": False}, "b"),
        ({"draft": {"$lt": True}}, "b"),
        ({"draft": 1}, ""),
        ({"year": True}, ""),
        ({"size": {"$gt": 1}}, "a"),
        ({"tags": "x"}, "ad"),
        ({"tags": {"$ne": "x"}}, "bce"),
        ({"tags": {"$in": ["x", "z"]}}, "ad"),
        ({"tags": {"$gt": "x"}}, "ab"),
        ({"nested": {"$exists": True}}, "d"),
        ({"mixed": 1}, ""),
        ({"größe.ü": {"$gte": 3}}, "b"),
        ({"lang": "en", "year": {"$lt": 2025}}, "a"),
        ({"$or": [{"lang": "de"}, {"$and": [{"lang": "en"}, {"year": {"$gt": 2024}}]}]}, "bc"),
        ({"$and": [{"$or": [{"draft": True}, {"draft": False}]}, {"tags": "y"}], "lang": "en"}, "a"),
        ({"lang": "fr"}, ""),
    ],
)
def test_each_operator_by_hand(docs: vecver.Dataset, filter: Any, wanted: str) -> None:
    assert found(docs, filter) == found(docs, filter, exact=True) == wanted


@pytest.mark.parametrize(
    ("filter", "code"),
    [
        ({"jahr": 1}, "unknown_field"),
        ({"$or": [{"year": 1}, {"jahr": 1}]}, "unknown_field"),
        ({"year": {"$near": 1}}, "invalid_filter"),
        ({"year": {"gte": 1}}, "invalid_filter"),
        ({"$not": {"year": 1}}, "invalid_filter"),
        ({"$or": {}}, "invalid_filter"),
        ({"$and": []}, "invalid_filter"),
        ({"$and": ["year"]}, "invalid_filter"),
        ({"year": {}}, "invalid_filter"),
        ({"year": None}, "invalid_filter"),
        ({"year": [2023, 2024]}, "invalid_filter"),
        ({"year": {"$in": 2023}}, "invalid_filter"),
        ({"year": {"$in": [None]}}, "invalid_filter"),
        ({"year": {"$exists": 1}}, "invalid_filter"),
        ({"year": float("nan")}, "invalid_filter"),
        ({"year": {"$lt": float("inf")}}, "invalid_filter"),
        ({"lang": "\ud800"}, "invalid_filter"),
        ({"year": np.int64(1)}, "invalid_filter"),
        ({1: 2}, "invalid_filter"),
        ([], "invalid_filter"),
        ("year", "invalid_filter"),
        (0, "invalid_filter"),
    ],
)
def test_bad_filters_say_what_to_do(docs: vecver.Dataset, filter: Any, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        found(docs, filter)
    assert caught.value.code == code and caught.value.hint


def test_unknown_fields_are_listed(docs: vecver.Dataset) -> None:
    with pytest.raises(InvalidInputError) as caught:
        found(docs, {"jahr": 1})
    assert "day, draft, größe.ü, lang, mixed, nested, size, tags, year" in caught.value.hint


def test_a_field_that_only_dead_rows_have_is_unknown() -> None:
    """What a filter may name depends on the version, not on the segments that it shares with others."""
    docs = dataset({"a": {"year": 2023}, "b": {}}, {"a": {}, "b": {}})  # b's row lies beside the year still
    assert found(docs, {"year": {"$exists": False}}, at="main~1") == "b"
    with pytest.raises(InvalidInputError) as caught:
        found(docs, {"year": {"$exists": False}})
    assert caught.value.code == "unknown_field"


def test_numbers_compare_by_their_exact_values() -> None:
    """2^53 and 2^53 + 1 are one number in float64."""
    docs = dataset({"a": {"n": 2**53}, "b": {"n": 2**53 + 1}, "c": {"n": 2.0**53}, "d": {"n": -(2**63)}})
    assert found(docs, {"n": 2**53}) == found(docs, {"n": 2.0**53}) == "ac"
    assert found(docs, {"n": {"$gt": 2.0**53}}) == "b"
    assert found(docs, {"n": {"$gte": 2**53 + 1}}) == "b"
    assert found(docs, {"n": {"$lt": 2**70}}) == "abcd"
    assert found(docs, {"n": {"$lt": -(2.0**63)}}) == found(docs, {"n": 10**400}) == ""
    assert found(docs, {"n": {"$lt": 0.5}}) == "d"


def test_across_segments_with_other_columns_and_edits_of_metadata_only() -> None:
    """A document's chunk stays where it lies when only its metadata changes; the filter follows the document."""
    first = {"a": {"lang": "en"}, "b": {"year": 1}}
    second = {"a": {"lang": "en"}, "b": {"year": 2, "lang": "de"}, "c": {"other": True}}
    docs = dataset(first, second)
    embedded = docs.show("main").operation["chunks"]
    assert embedded["reused"] + embedded["embedded"] >= 1
    assert found(docs, {"year": 1}, at="main~1") == "b" and found(docs, {"year": 1}) == ""
    assert found(docs, {"year": 2}) == "b" and found(docs, {"lang": {"$exists": True}}) == "ab"
    assert found(docs, {"lang": {"$ne": "en"}}) == "bc" and found(docs, {"other": True}) == "c"
    with pytest.raises(InvalidInputError):
        found(docs, {"other": True}, at="main~1")


# -- against plain Python -----------------------------------------------------------------------

numbers = st.one_of(st.integers(-3, 3), st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63)]), st.floats(-3, 3))
scalars = st.one_of(st.booleans(), numbers, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from("aäz𝄞"))
values = st.one_of(scalars, st.lists(st.sampled_from("aäz"), max_size=3), st.just({"x": 1}))
names = st.sampled_from(["f", "g.h", "ü"])
comparing = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
conditions = st.one_of(
    scalars,
    st.dictionaries(comparing, scalars, min_size=1),
    st.builds(
        lambda operator, items: {operator: items}, st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=3)
    ),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
)
filters = st.recursive(
    st.dictionaries(names, conditions, min_size=1),
    lambda inner: st.dictionaries(
        st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3), min_size=1
    ),
    max_leaves=4,
)


def holds(filter: dict[str, Any], fields: dict[str, Any]) -> bool:
    """The words of the module's docstring, document by document."""
    for name, condition in filter.items():
        if name == "$and" or name == "$or":
            if not (all if name == "$and" else any)(holds(part, fields) for part in condition):
                return False
            continue
        for operator, value in condition.items() if isinstance(condition, dict) else [("$eq", condition)]:
            if not one(operator, value, name in fields, fields.get(name)):
                return False
    return True


def one(operator: str, value: Any, there: bool, own: Any) -> bool:
    if operator == "$exists":
        return there is value
    if operator in ("$ne", "$nin"):
        return not one({"$ne": "$eq", "$nin": "$in"}[operator], value, there, own)
    if operator == "$in":
        return any(one("$eq", item, there, own) for item in value)
    items = own if isinstance(own, list) else [own]
    return any(kind(item) == kind(value) and compares(operator, item, value) for item in items)


def kind(value: Any) -> str:
    return {bool: "bool", int: "number", float: "number", str: "str"}.get(type(value), "other")


def compares(operator: str, own: Any, value: Any) -> bool:
    return bool(
        {"$eq": own == value, "$gt": own > value, "$gte": own >= value, "$lt": own < value}.get(operator, own <= value)
    )


documents = st.lists(st.dictionaries(names, values), min_size=1, max_size=6)


@given(documents, filters)
@settings(max_examples=400, deadline=None)
def test_as_plain_python_would(documents: list[dict[str, Any]], filter: dict[str, Any]) -> None:
    typed = {tuple(name.split(".", 2)[1:]): column for name, column in metadata_columns(documents).items()}

    def columns(field: str) -> dict[str, Any]:
        return {kind: pa.chunked_array([column]) for (kind, own), column in typed.items() if own == field}

    check_filter(filter, ["f", "g.h", "ü"])
    assert evaluate(filter, columns, len(documents)).tolist() == [holds(filter, fields) for fields in documents]


@given(documents, filters)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_repository_as_plain_python_would(documents: list[dict[str, Any]], filter: dict[str, Any]) -> None:
    """The same through the door, with the documents in two segments and one of the first version removed."""
    every = {"f": 0, "g.h": 0, "ü": 0}
    named = {chr(ord("a") + i): fields for i, fields in enumerate(documents)}
    docs = dataset({**named, "z": every}, {**named, "y": every})
    assert found(docs, filter) == "".join(sorted(id for id, f in {**named, "y": every}.items() if holds(filter, f)))
