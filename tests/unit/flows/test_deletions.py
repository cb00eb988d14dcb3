"""Delete: which documents go, what is refused, and what an empty version still does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ingest, records, texts_of, vector_of

import vecver
from vecver.errors import ConflictError, InvalidInputError, NotFoundError, VecverError

NUMBERS = {"a": "one", "b": "two", "c": "three", "d": "four"}


@pytest.fixture
def docs(tmp_path: Path) -> vecver.Dataset:
    docs = vecver.open(tmp_path / "kb", create=True, author="test").dataset("d")
    docs.ingest([{**row, "size": i} for i, row in enumerate(records(NUMBERS))], space="test", metric="ip")
    return docs


def test_documents_go_by_their_ids(docs: vecver.Dataset) -> None:
    before = docs.resolve()
    report = docs.delete(["a", "c", "a"], message="Old")
    assert report.documents == {"added": 0, "changed": 0, "removed": 2, "unchanged": 0, "failed": 0}
    assert report.names["removed"] == ("a", "c") and report.chunks == {
        "live": 2,
        "embedded": 0,
        "reused": 0,
        "removed": 2,
    }
    assert texts_of(docs) == {"b": "two", "d": "four"} and texts_of(docs, before) == NUMBERS
    commit = docs.show()
    assert (commit.message, commit.operation["kind"], commit.counts["documents"]) == ("Old", "delete", 2)
    assert docs.delete("b").documents["removed"] == 1 and docs.documents() == ["d"]
    assert docs.rollback("main", before).after and texts_of(docs) == NUMBERS


def test_unknown_ids_are_said(docs: vecver.Dataset) -> None:
    report = docs.delete(["a", "nope", "never"])
    assert report.unknown == ("nope", "never") and "no document 'nope', 'never'" in report.notes[0]
    before = docs.resolve()
    report = docs.delete(["nope", "a"])
    assert (report.commit, report.changed, report.unknown) == (before, False, ("nope", "a"))
    assert (
        docs.delete([]).notes == ("no ids were given: nothing to do, no commit was made",) and docs.resolve() == before
    )


def test_documents_go_by_a_filter(docs: vecver.Dataset) -> None:
    assert docs.delete(where={"size": {"$gte": 2}}, dry_run=True).names["removed"] == ("c", "d")
    assert len(docs.documents()) == 4
    report = docs.delete(where={"size": {"$gte": 2}})
    assert report.names["removed"] == ("c", "d") and docs.show().operation["where"] == {"size": {"$gte": 2}}
    before = docs.resolve()
    assert docs.delete(where={"size": 77}).notes == ("no document matches: nothing to do, no commit was made",)
    assert docs.resolve() == before


BAD: list[tuple[Callable[[vecver.Dataset], Any], type[VecverError], str]] = [
    (lambda docs: docs.delete(), InvalidInputError, "no_documents_named"),
    (lambda docs: docs.delete(None, where=None), InvalidInputError, "no_documents_named"),
    (lambda docs: docs.delete(where={}), InvalidInputError, "empty_filter"),
    (lambda docs: docs.delete(["a"], where={"size": 1}), InvalidInputError, "conflicting_options"),
    (lambda docs: docs.delete(where=["a"]), InvalidInputError, "invalid_filter"),  # type: ignore[arg-type]
    (lambda docs: docs.delete(where={"nothing": 1}), InvalidInputError, "unknown_field"),
    (lambda docs: docs.delete("tag", "v1"), InvalidInputError, "invalid_ids"),
    (lambda docs: docs.delete("branch", "main"), InvalidInputError, "invalid_ids"),
    (lambda docs: docs.delete("a", "b"), InvalidInputError, "invalid_ids"),
    (lambda docs: docs.delete([None]), InvalidInputError, "invalid_ids"),  # type: ignore[list-item]
    (lambda docs: docs.delete([True]), InvalidInputError, "invalid_ids"),  # type: ignore[list-item]
    (lambda docs: docs.delete(2.5), InvalidInputError, "invalid_ids"),  # type: ignore[arg-type]
    (lambda docs: docs.delete({"a": 1}), InvalidInputError, "invalid_ids"),
    (lambda docs: docs.delete("a", branch="nowhere"), NotFoundError, "branch_not_found"),
    (lambda docs: docs.delete("a", expected="a" * 64), ConflictError, "ref_moved"),
    (lambda docs: docs.repository.dataset("e").delete("a"), NotFoundError, "dataset_not_found"),
]


@pytest.mark.parametrize(("call", "kind", "code"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_input_changes_nothing(
    docs: vecver.Dataset, call: Callable[[vecver.Dataset], Any], kind: type[VecverError], code: str
) -> None:
    docs.tag("v1")
    before = docs.resolve()
    with pytest.raises(kind) as raised:
        call(docs)
    assert raised.value.code == code and raised.value.hint
    assert docs.resolve() == before and docs.tags() == {"v1": before}


def test_a_filter_on_chunks_is_refused(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    docs.upsert([{"id": "a", "text": "# Head\n\none\n"}], embedder="hashing")
    with pytest.raises(InvalidInputError) as raised:
        docs.delete(where={"line": 1})
    assert raised.value.code == "chunk_filter" and docs.documents() == ["a"]


def test_what_a_source_still_holds_comes_back(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    (tmp_path / "handbook").mkdir()
    for name in ("one", "two"):
        (tmp_path / "handbook" / f"{name}.md").write_text(f"Page {name}.\n", "utf-8")
    docs.ingest(tmp_path / "handbook", embedder="hashing")
    report = docs.delete("one.md")
    assert "the source 'handbook': its next ingest brings it back" in report.notes[0]
    assert docs.status(tmp_path / "handbook")["added"] == ["one.md"]
    again = docs.ingest(tmp_path / "handbook")
    assert again.names["added"] == ("one.md",) and again.chunks["embedded"] == 0


def test_a_mistyped_id_is_told_with_what_resembles_it(docs: vecver.Dataset) -> None:
    docs.upsert(records({"guide/heating.md": "five"}))
    assert docs.delete("heating.md").notes[0].endswith("no document 'heating.md'; did you mean 'guide/heating.md'?")


# -- an empty version -----------------------------------------------------------------------------


@pytest.fixture
def empty(docs: vecver.Dataset) -> vecver.Dataset:
    docs.delete(docs.documents())
    return docs


def test_an_empty_version_answers_nothing_and_can_be_filled(empty: vecver.Dataset, tmp_path: Path) -> None:
    assert empty.documents() == [] and empty.show().counts == {"documents": 0, "chunks": 0}
    for exact in (True, False):
        assert empty.search(vector_of("one"), exact=exact).hits == ()
    many = empty.search([vector_of("one"), vector_of("two")])
    assert [answer.hits for answer in many] == [(), ()]
    assert vecver.replay(empty.repository, empty.search(vector_of("one")).receipt).identical
    assert set(empty.diff("main~1", "main").removed) == set(NUMBERS)
    assert empty.diff("main", "main~1").chunks_added == 4 and empty.partial_reads() == {}
    assert empty.delete("a").changed is False
    assert empty.repository.check().clean
    empty.optimize()
    empty.repository.gc(grace=timedelta(0), apply=True)
    assert empty.search(vector_of("one")).hits == () and empty.repository.check().clean
    empty.tag("void")
    empty.upsert(records({"e": "five"}))
    assert texts_of(empty) == {"e": "five"} and empty.search(vector_of("one"), at="void").hits == ()


def test_an_empty_version_may_be_filled_in_another_space(empty: vecver.Dataset) -> None:
    empty.upsert([{"id": "e", "text": "five"}], embedder="hashing")
    assert empty.search("five")[0].document == "e"


def test_an_empty_version_is_exported_and_searched(empty: vecver.Dataset, tmp_path: Path) -> None:
    export = empty.snapshot("main", tmp_path / "export")
    assert (export.documents, export.chunks) == (0, 0)
    assert vecver.open_snapshot(tmp_path / "export").search(np.zeros(8, np.float32) + 1).hits == ()


def test_the_recall_of_an_empty_version_is_an_error_that_says_so(empty: vecver.Dataset) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        empty.recall()


# -- at once ------------------------------------------------------------------------------------


def test_deleting_at_once(tmp_path: Path) -> None:
    docs = vecver.open(tmp_path / "kb", create=True).dataset("d")
    ingest(docs, {f"doc {number}": f"text {number}" for number in range(20)})
    start, failed = threading.Barrier(8), list[BaseException]()

    def work(number: int) -> None:
        here = vecver.open(tmp_path / "kb").dataset("d")
        start.wait()
        try:
            here.delete([f"doc {number}", f"doc {number + 8}", "doc 19"])
            here.upsert(records({f"new {number}": f"text {number}"}))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed
    assert docs.documents() == sorted(["doc 16", "doc 17", "doc 18", *(f"new {number}" for number in range(8))])


def test_a_retention_lets_versions_of_upserts_and_deletes_go(docs: vecver.Dataset) -> None:
    """As those of ingests: only what other moves stood on of late is kept beside the newest."""
    for number in range(3):
        docs.upsert(records({"again": f"text {number}"}))
        docs.delete("again")
    plan = docs.repository.gc(keep_last=1)
    assert (plan.kept_versions, len(plan.forgotten)) == (1, 6)
