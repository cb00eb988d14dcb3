"""Exact searches of a repository through codes of rows: the same answers, within the memory of opened versions."""

from __future__ import annotations

import gc
import weakref

import pytest
from helpers import best, ingest, vector_of
from inside import versions_of

import vecver
from vecver.index import row_codes
from vecver.index.kernel import kernel
from vecver.repo import Segment

pytestmark = pytest.mark.skipif(kernel() is None, reason="the kernel was not compiled: no codes are made")
STATE = {f"d{number:02}": f"text {number}" for number in range(60)}
QUERY = vector_of("query")


@pytest.fixture
def docs(repository: vecver.Repository, monkeypatch: pytest.MonkeyPatch) -> vecver.Dataset:
    """A dataset of one segment, which is large enough for codes."""
    monkeypatch.setattr(row_codes, "FEWEST_ROWS", 1)
    ingest(repository.dataset("d"), STATE)
    return repository.dataset("d")


def segment_of(docs: vecver.Dataset) -> Segment:
    return versions_of(docs).snapshot(docs.resolve()).segments[0]


def search(docs: vecver.Dataset, at: str = "main") -> list[tuple[str, float]]:
    return [(hit.document, hit.score) for hit in docs.search(QUERY, k=5, exact=True, at=at)]


def test_versions_answer_alike_before_and_after(docs: vecver.Dataset) -> None:
    later = {**STATE, "d07": "another text", "new": "new"}
    del later["d20"]
    ingest(docs, later)
    for _ in range(3):
        assert search(docs, "main~1") == best(STATE, QUERY, 5)
        assert search(docs) == best(later, QUERY, 5)
    assert segment_of(docs).row_codes.nbytes > 0
    answer = docs.search(QUERY, k=5, exact=True)
    assert docs.repository.replay(answer.receipt).identical
    filtered = docs.search(QUERY, k=60, exact=True, filter={"$document": {"$in": ["d01", "d02"]}})
    assert {hit.document for hit in filtered} == {"d01", "d02"}
    assert docs.recall(sample=3).at[0].ann_recall == 1


def test_opened_versions_count_their_memory_and_drop_it_first(docs: vecver.Dataset) -> None:
    opened, segment = versions_of(docs).opened, segment_of(docs)
    search(docs)
    before = opened.nbytes
    search(docs)
    held = segment.row_codes.nbytes
    assert held > 0 and opened.nbytes == before + held
    ids = opened.ids()
    opened.open_bytes = opened.nbytes - 1
    other = docs.repository.dataset("e")
    ingest(other, {"a": "one"})
    search(other)
    assert segment.row_codes.nbytes == 0 and set(ids) <= set(opened.ids()), "no version was closed"
    assert search(docs) == best(STATE, QUERY, 5)


def test_none_are_made_without_room(docs: vecver.Dataset) -> None:
    search(docs)
    versions_of(docs).opened.open_bytes = versions_of(docs).opened.nbytes
    for _ in range(4):
        assert search(docs) == best(STATE, QUERY, 5)
    assert segment_of(docs).row_codes.nbytes == 0


def test_closing_lets_their_memory_go(docs: vecver.Dataset) -> None:
    """Without the cycle collector: closed versions that stay in memory would fill it."""
    gc.disable()
    try:
        search(docs)
        search(docs)
        codes = weakref.ref(segment_of(docs).row_codes)
        assert codes() is not None
        versions_of(docs).opened.close_all()
        assert codes() is None
    finally:
        gc.enable()
