"""The versions that changed a document: as reading it at every version says, however its rows were laid since."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from helpers import Ticking, ingest, open_on, records
from version_histories import collect

import vecver
from vecver.errors import IntegrityError, NotFoundError
from vecver.store import MemoryStore


def reread(docs: vecver.Dataset, document: str, at: str = "main") -> list[str]:
    """The same by reading the document at every version."""
    ids = [commit.id for commit in docs.log(at)]
    seen = [docs.get(document, at=id, missing="skip") for id in ids]
    told = [(each.digest, each.title, each.metadata, each.text) if each else None for each in seen]
    changed = [newer for newer, (now, before) in zip(ids, pairwise([*told, None]), strict=True) if now != before]
    return changed


def changed(docs: vecver.Dataset, document: str, at: str = "main", **how: Any) -> list[str]:
    return [commit.id for commit in docs.log(at, document=document, **how)]


@pytest.fixture
def docs() -> vecver.Dataset:
    """Ten versions: `a` is added, edited, left, edited back, removed, and comes again; `b` gets another year alone."""
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    texts = {"b": "boiler", **{f"other {n}": f"text {n}" for n in range(6)}}
    for n, text in enumerate((None, "one", "two", "two", "one", None, None, "one")):
        ingest(docs, {**texts, **({"a": text} if text else {}), "other 0": f"edit {n}"})
    docs.upsert(records({"b": "boiler"}, year=2026))
    docs.rollback("main", to="main~4")
    return docs


def test_the_versions_that_changed_a_document_are_those_that_reading_it_names(docs: vecver.Dataset) -> None:
    ids = [commit.id for commit in docs.log()]
    assert changed(docs, "a") == [ids[place] for place in (2, 4, 5, 7, 8)] == reread(docs, "a")
    assert changed(docs, "b") == [ids[0], ids[1], ids[9]] == reread(docs, "b"), "a year is a change"
    for document in docs.documents():
        for at in ("main", "main~3", "main~9"):
            if docs.get(document, at=at, missing="skip"):
                assert changed(docs, document, at) == reread(docs, document, at), (document, at)


def test_since_leaves_out_what_came_before(docs: vecver.Dataset) -> None:
    whole = changed(docs, "a")
    ids = [commit.id for commit in docs.log()]
    assert [commit.id for commit in docs.log(since="main~4")] == ids[:4]
    assert changed(docs, "a", since="main~4") == [ids[2]]
    assert changed(docs, "a", since="main~5") == [ids[2], ids[4]]
    assert changed(docs, "a", since=ids[0]) == [] and list(docs.log(since="main")) == []
    assert changed(docs, "a", "main~5", since="main") == [id for id in whole if id in ids[5:]], "never met"


def test_rows_that_optimize_moved_are_no_change(docs: vecver.Dataset) -> None:
    before = {document: changed(docs, document) for document in ("a", "b", "other 0", "other 3")}
    docs.optimize()
    collect(docs, keep_last=20)
    again = open_on(docs.repository._versions.store).dataset("d")
    assert {document: changed(again, document) for document in before} == before


def test_versions_whose_rows_gc_let_go_of_are_passed_over(docs: vecver.Dataset) -> None:
    ids = [commit.id for commit in docs.log()]
    docs.tag("kept", ids[8])
    collect(docs, keep_last=2)
    with pytest.raises(NotFoundError):
        docs.get("a", at=ids[3])
    assert changed(docs, "b") == [ids[0], ids[1], ids[8]], "what the first version did shows at the oldest that is left"
    assert changed(docs, "other 0") == [ids[0], ids[1], ids[8]]


def test_a_document_that_no_version_has_is_named_with_those_like_it(docs: vecver.Dataset) -> None:
    for how in ({}, {"since": "main~2"}):
        with pytest.raises(NotFoundError) as caught:
            list(docs.log(document="othr 3", **how))
        assert caught.value.code == "document_not_found" and "other 3" in caught.value.context["did_you_mean"]
    with pytest.raises(vecver.errors.InvalidInputError):
        list(docs.log(document=""))


def test_a_damaged_version_is_named(docs: vecver.Dataset) -> None:
    store = docs.repository._versions.store
    layout = f"layouts/{docs.resolve('main~3')}"
    store.put(layout, store.get(layout)[:-3])
    with pytest.raises(IntegrityError, match=layout):
        changed(docs, "a")
