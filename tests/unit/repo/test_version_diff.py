"""Diffs of two versions: documents and chunks added, changed and removed."""

from __future__ import annotations

import pytest
from helpers import SPACE, ingest, open_on, records
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.store import MemoryStore

BASE = {"a": "one", "b": "two", "c": "three"}
corpora = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three", "four"]), min_size=1)


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


@settings(max_examples=60, deadline=None)
@given(corpora, corpora, corpora)
def test_diff_agrees_with_a_diff_of_dictionaries(
    one: dict[str, str], between: dict[str, str], two: dict[str, str]
) -> None:
    docs = open_on(MemoryStore()).dataset("d")
    before, _, after = ingest(docs, one), ingest(docs, between), ingest(docs, two)
    found = docs.diff(before, after)
    assert found.added == tuple(sorted(two.keys() - one.keys()))
    assert found.removed == tuple(sorted(one.keys() - two.keys()))
    assert found.changed == tuple(sorted(name for name in one.keys() & two.keys() if one[name] != two[name]))
    assert found.chunks_added == len(two.items() - one.items())
    assert found.chunks_removed == len(one.items() - two.items())
    back = docs.diff(after, before)
    assert (back.added, back.chunks_added) == (found.removed, found.chunks_removed)


def test_diff_sees_metadata_and_not_sources(docs: vecver.Dataset) -> None:
    docs.ingest(records(BASE, year=2024), space=SPACE, label="here")
    docs.ingest(
        [*records({"a": "one", "b": "two"}, year=2024), *records({"c": "three"}, year=2025)], space=SPACE, label="here"
    )
    assert str(docs.diff("main~1", "main")).splitlines() == [
        "~ c",
        "0 added, 1 changed, 0 removed documents; 0 chunks added, 0 removed",
    ]


def test_diff_of_unrelated_datasets_rows(docs: vecver.Dataset) -> None:
    """Equal segments are skipped by their ids, wherever they came from."""
    ingest(docs, BASE)
    docs.branch("twin")
    ingest(docs, {**BASE, "d": "four"}, branch="twin")
    ingest(docs, {**BASE, "d": "four"})
    assert docs.diff("twin", "main").to_json()["documents"] == {"added": [], "changed": [], "removed": []}
