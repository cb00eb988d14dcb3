"""Landing: writers of one branch all land where they change different documents; else the error names the documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import SPACE, open_on, records, texts_of
from landing import Act, add, disputed, overtaken

import vecver
from vecver.errors import ConflictError
from vecver.store import MemoryStore


@pytest.fixture
def docs() -> vecver.Dataset:
    return open_on(MemoryStore()).dataset("d")


# -- what is disputed -------------------------------------------------------------------------------


def test_a_change_of_other_documents_lands_after_the_winner(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    add(docs, {"c": "three"}, "y")
    rival = lambda other: add(other, {"c": "changed", "d": "new"}, "y")  # noqa: E731
    report = overtaken(docs, rival, lambda: add(docs, {"a": "other", "e": "five"}, "x"))
    assert texts_of(docs) == {"a": "other", "c": "changed", "d": "new", "e": "five"}
    commit = docs.show()
    assert (report.commit, report.changed, commit.author) == (commit.id, True, "tester")
    assert commit.parents == (docs.resolve("main~1"),) and docs.show("main~1").author == "rival"
    assert report.documents == {"added": 1, "changed": 1, "removed": 1, "unchanged": 0, "failed": 0}
    assert report.documents == commit.operation["documents"]
    assert report.chunks["live"] == commit.counts["chunks"] == 4 and report.chunks["removed"] == 2
    found = docs.diff("main~1", "main")
    assert (found.added, found.changed, found.removed) == (("e",), ("a",), ("b",))
    assert [move.after for move in docs.moves("branch", "main")] == [c.id for c in docs.log()]
    assert docs.repository.check().clean


RIVALS: list[tuple[str, Act, list[str]]] = [
    ("changes what I change", lambda d: add(d, {"a": "theirs"}, "x", keep=True), ["a"]),
    ("changes what I remove", lambda d: add(d, {"b": "theirs"}, "x", keep=True), ["b"]),
    ("removes what I change", lambda d: add(d, {"b": "two", "same": "s"}, "x"), ["a"]),
    ("changes what I found unchanged", lambda d: add(d, {"same": "theirs"}, "x", keep=True), ["same"]),
    ("removes what I found unchanged", lambda d: add(d, {"a": "one", "b": "two"}, "x"), ["same"]),
    ("adds what I add", lambda d: add(d, {"new": "theirs"}, "x", keep=True), ["new"]),
    ("adds it to another source", lambda d: add(d, {"new": "mine"}, "z"), ["new"]),
    ("adds to my source", lambda d: add(d, {"late": "l"}, "x", keep=True), ["late"]),
    ("does all of it", lambda d: add(d, {"a": "theirs", "new": "n", "late": "l"}, "x"), ["a", "late", "new", "same"]),
]  # fmt: skip


@pytest.mark.parametrize(("rival", "expected"), [rest for _, *rest in RIVALS], ids=[name for name, *_ in RIVALS])
def test_a_real_conflict_names_the_documents(docs: vecver.Dataset, rival: Act, expected: list[str]) -> None:
    add(docs, {"a": "one", "b": "two", "same": "s"}, "x")
    add(docs, {"c": "three"}, "y")
    assert disputed(docs, rival, lambda: add(docs, {"a": "mine", "same": "s", "new": "mine"}, "x")) == expected


def test_ingesting_part_of_a_source_keeps_the_changes_of_others_to_the_rest(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    rival = lambda other: add(other, {"b": "theirs", "late": "l"}, "x", keep=True)  # noqa: E731
    overtaken(docs, rival, lambda: add(docs, {"a": "mine"}, "x", keep=True))
    assert texts_of(docs) == {"a": "mine", "b": "theirs", "late": "l"} and docs.repository.check().clean


def test_a_document_that_failed_keeps_the_version_that_it_has_by_now(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    broken = [*records({"a": "mine"}), {"id": "b", "text": "no vector"}]
    rival = lambda other: add(other, {"b": "theirs"}, "x", keep=True)  # noqa: E731
    report = overtaken(docs, rival, lambda: docs.ingest(broken, space=SPACE, label="x"))
    assert report.documents["failed"] == 1
    assert texts_of(docs) == {"a": "mine", "b": "theirs"} and docs.repository.check().clean


def test_what_both_did_is_no_conflict_and_no_second_commit(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")
    same = lambda d: add(d, {"a": "changed", "c": "new"}, "x")  # noqa: E731
    report = overtaken(docs, same, lambda: same(docs))
    assert (report.changed, report.commit) == (False, docs.resolve()) and len(list(docs.log())) == 2
    assert report.documents == {"added": 0, "changed": 0, "removed": 0, "unchanged": 2, "failed": 0}
    more = lambda d: add(d, {"a": "changed", "c": "other", "d": "more"}, "x")  # noqa: E731
    report = overtaken(docs, lambda d: add(d, {"c": "other"}, "x", keep=True), lambda: more(docs))
    assert report.names == {"added": ("d",), "changed": (), "removed": ()}
    assert texts_of(docs) == {"a": "changed", "c": "other", "d": "more"} and docs.repository.check().clean


def test_a_change_that_was_taken_back_is_none(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one", "b": "two"}, "x")

    def there_and_back(other: vecver.Dataset) -> None:
        add(other, {"a": "theirs", "late": "l"}, "x")
        other.rollback("main")

    overtaken(docs, there_and_back, lambda: add(docs, {"a": "mine", "b": "two"}, "x"))
    assert texts_of(docs) == {"a": "mine", "b": "two"} and docs.repository.check().clean
    earlier = docs.resolve("main~3")
    assert disputed(docs, lambda d: d.rollback("main", to=earlier), lambda: add(docs, {"a": "next"}, "x")) == ["a"]


def test_another_space_is_a_conflict_where_documents_would_stay_in_it(docs: vecver.Dataset) -> None:
    wide = [{"id": "a", "text": "one", "vector": np.ones(3, np.float32)}]
    elsewhere = lambda d: d.ingest(wide, space="wide", label="x")  # noqa: E731
    add(docs, {"a": "one"}, "x")
    assert disputed(docs, lambda d: add(d, {"c": "three"}, "y"), lambda: elsewhere(docs)) == []
    docs.rollback("main")
    assert disputed(docs, elsewhere, lambda: add(docs, {"b": "two"}, "y")) == []
    docs.rollback("main")
    overtaken(docs, lambda d: add(d, {"c": "three"}, "y"), lambda: add(docs, {"b": "two"}, "z"))
    assert docs.documents() == ["a", "b", "c"] and docs.repository.check().clean


def test_a_branch_that_was_deleted_is_not_made_again(docs: vecver.Dataset) -> None:
    add(docs, {"a": "one"}, "x")
    docs.branch("work")
    with pytest.raises(ConflictError) as caught:
        overtaken(docs, lambda d: d.delete_branch("work"), lambda: add(docs, {"b": "two"}, "y", branch="work"))
    assert (caught.value.code, caught.value.context["found"]) == ("ref_moved", None)
    assert "work" not in docs.branches()


def test_a_name_that_is_no_branch_by_now_is_a_conflict(docs: vecver.Dataset) -> None:
    def elsewhere(other: vecver.Dataset) -> None:
        add(other, {"b": "two"}, "y", branch="other")
        other.tag("main", "other")

    with pytest.raises(ConflictError) as caught:
        overtaken(docs, elsewhere, lambda: add(docs, {"a": "one"}, "x"))
    assert caught.value.code == "name_taken" and docs.branches().keys() == {"other"}


def test_a_chosen_recipe_stays_when_the_next_ingest_chooses_none(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.ingest([{"id": "a", "text": "one"}], label="x", embedder="hashing")
    whole = lambda d: d.ingest([{"id": "b", "text": "two"}], label="y", chunker="whole")  # noqa: E731
    overtaken(docs, whole, lambda: docs.ingest([{"id": "c", "text": "three"}], label="z"))
    assert docs.documents() == ["a", "b", "c"] and docs.show().recipe.chunker["name"] == "whole"
    asked = lambda: docs.ingest([{"id": "d", "text": "four"}], label="w", chunker="structure", chunk_tokens=9)  # noqa: E731
    other = lambda d: d.ingest([{"id": "b", "text": "2"}], label="y", chunker="structure", chunk_tokens=8)  # noqa: E731
    overtaken(docs, other, asked)
    assert docs.show().recipe.chunker["max_tokens"] == 9 and docs.repository.check().clean
