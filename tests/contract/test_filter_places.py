"""Filters on where a chunk stands in its document: pages, sections and headings, beside metadata."""

from __future__ import annotations

from typing import Any

import pytest
from filter_reference import Refused, matches, names_in
from helpers import open_on
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import versions_of
from standing import cut_at_lines, line

import vecver
from vecver.errors import InvalidInputError
from vecver.store import MemoryStore

# -- where a chunk stands -----------------------------------------------------------------------

PAGED: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {  # metadata, and where its chunks stand
    "a": ({"year": 2023}, [{"page": 1, "headings": ["Install"]}, {"page": 2, "headings": ["Install", "Linux"]}, {}]),
    "b": ({"year": 2024}, [{"sheet": "Prices", "page": 2}, {"sheet": "Notes"}]),
    "c": ({"page": "iv", "year": 2024}, [{"page": 2, "line": 41}, {"line": 7}]),
    "d": ({"headings": ["Linux"], "page": 3}, [{"headings": ["Install"]}, {"page": 1}]),
    "e": ({}, [{}]),
}


def paged(documents: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]], **how: Any) -> vecver.Dataset:
    docs = open_on(MemoryStore(), **how).dataset("d")
    records = []
    for id, (metadata, positions) in documents.items():
        rows = [line(f"{id}{number}", **position) for number, position in enumerate(positions)]
        records.append({"id": id, "text": "\n".join(rows), **metadata})
    docs.ingest(records, embedder="hashing")
    return docs


def texts(docs: vecver.Dataset, filter: Any, **how: Any) -> list[str]:
    return sorted(hit.text for hit in docs.search("a0", k=100, filter=filter, **how))


def told_by_chunk(documents: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """What filters see of each chunk: where it stands, and its document's metadata, which win."""
    found = {}
    for id, (metadata, positions) in documents.items():
        for number, position in enumerate(positions):
            found[f"{id}{number}"] = {**position, **metadata}
    return found


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ({"page": {"$gte": 2}}, ["a1", "b0", "d0", "d1"]),
        ({"page": 2}, ["a1", "b0"]),
        ({"page": "iv"}, ["c0", "c1"]),
        ({"page": {"$ne": 2}}, ["a0", "a2", "b1", "c0", "c1", "d0", "d1", "e0"]),
        ({"page": {"$exists": False}}, ["a2", "b1", "e0"]),
        ({"sheet": "Prices"}, ["b0"]),
        ({"sheet": {"$exists": True}}, ["b0", "b1"]),
        ({"line": {"$in": [7, 8]}}, ["c1"]),
        ({"line": {"$lt": 40.5}}, ["c1"]),
        ({"headings": "Install"}, ["a0", "a1"]),
        ({"headings": {"$in": ["Linux", "Mac"]}}, ["a1", "d0", "d1"]),
        ({"headings": {"$nin": ["Linux"]}}, ["a0", "a2", "b0", "b1", "c0", "c1", "e0"]),
        ({"headings": "Install", "page": {"$lt": 2}}, ["a0"]),
        ({"$or": [{"year": 2024, "page": 2}, {"headings": "Linux"}]}, ["a1", "b0", "d0", "d1"]),
        ({"$and": [{"year": {"$exists": True}}, {"$or": [{"sheet": "Notes"}, {"line": 41}]}]}, ["b1", "c0"]),
        ({"year": 2024}, ["b0", "b1", "c0", "c1"]),
    ],
)
def test_a_chunk_is_found_by_where_it_stands(monkeypatch: pytest.MonkeyPatch, filter: Any, wanted: list[str]) -> None:
    cut_at_lines(monkeypatch)
    docs = paged(PAGED)
    assert texts(docs, filter) == texts(docs, filter, exact=True) == wanted
    answer = docs.search("a0", k=100, filter=filter)
    assert vecver.replay(vecver.Repository(versions_of(docs)), answer.receipt).identical


@pytest.mark.parametrize(
    ("filter", "code"),
    [
        ({"page": "2026-11-21T00:00Z", "year": 2024}, None),  # "iv" is a string: instants count as one type with it
        ({"line": "41"}, "invalid_filter"),
        ({"line": True}, "invalid_filter"),
        ({"sheet": 3}, "invalid_filter"),
        ({"headings": {"$gt": 3}}, "invalid_filter"),
        ({"sheet": {"$like": "P"}}, "invalid_filter"),
        ({"header": "| a |"}, "unknown_field"),
    ],
)
def test_bad_filters_on_places_are_refused(monkeypatch: pytest.MonkeyPatch, filter: Any, code: str | None) -> None:
    cut_at_lines(monkeypatch)
    docs = paged(PAGED)
    if code is None:
        assert texts(docs, filter) == []
        return
    with pytest.raises(InvalidInputError) as caught:
        texts(docs, filter)
    assert caught.value.code == code and caught.value.hint


def test_a_place_that_no_live_chunk_has_is_an_unknown_field(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_at_lines(monkeypatch)
    docs = paged({"a": ({}, [{"page": 1}]), "b": ({}, [{}])})
    docs.ingest([{"id": "a", "text": line("a0")}, {"id": "b", "text": line("b0")}])
    with pytest.raises(InvalidInputError) as caught:
        texts(docs, {"page": 1})
    assert caught.value.code == "unknown_field"
    assert texts(docs, {"page": 1}, at="main~1") == ["a0"]


_POSITIONS = st.fixed_dictionaries(
    {},
    optional={
        "page": st.integers(1, 3),
        "line": st.integers(1, 3),
        "sheet": st.sampled_from(["x", "y"]),
        "headings": st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3),
    },
)
_METADATA = st.fixed_dictionaries(
    {},
    optional={
        "year": st.integers(1, 3),
        "page": st.sampled_from([1, 2, "x", 2.5]),
        "sheet": st.sampled_from(["x", 1]),
        "headings": st.sampled_from(["x", ["y"], [1], []]),
    },
)
_PAGED = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(_METADATA, st.lists(_POSITIONS, min_size=1, max_size=4)), min_size=1
)
_VALUE = st.one_of(st.integers(0, 4), st.sampled_from(["x", "y", 2.5]))
_CONDITION = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), _VALUE),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(_VALUE, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
).map(lambda pair: dict([pair]))
_LEAF = st.dictionaries(
    st.sampled_from(["page", "line", "sheet", "headings", "year"]), _CONDITION, min_size=1, max_size=2
)
_FILTERS = st.recursive(
    _LEAF,
    lambda inner: st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)).map(
        lambda pair: dict([pair])
    ),
    max_leaves=4,
)


@given(documents=_PAGED, filters=st.lists(_FILTERS, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_places_and_metadata_match_as_plain_python_would(documents: Any, filters: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        cut_at_lines(patch)
        docs = paged(documents)
        rows = told_by_chunk(documents)
        for filter in filters:
            known = {name for fields in rows.values() for name in fields}
            try:
                flags = matches(filter, list(rows.values()))
            except Refused:
                flags = None
            if flags is None or not names_in(filter) <= known:
                with pytest.raises(InvalidInputError):
                    texts(docs, filter)
            else:
                wanted = [name for name, flag in zip(rows, flags, strict=True) if flag]
                assert texts(docs, filter) == sorted(wanted), filter
