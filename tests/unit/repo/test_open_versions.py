"""Snapshots: versions share segments, stay open within a budget, and release their files."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from helpers import best, ingest, open_on, texts_of, vector_of
from inside import versions_of

import vecver
from vecver.store import LocalStore, Store

BASE = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def test_versions_share_their_segments(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {**BASE, "d": "four"})
    versions = versions_of(docs)
    old, new = versions.snapshot(docs.resolve("main~1")), versions.snapshot(docs.resolve())
    assert old.segments[0] is new.segments[0] and versions.snapshot(docs.resolve()) is new


def test_versions_stay_open_within_a_budget_of_bytes(store: Store) -> None:
    """A version holds its look-ups (28 bytes a chunk and document here) and masks; a segment counts once."""
    docs = open_on(store).dataset("d")
    ids = [ingest(docs, {**BASE, "d": str(turn)}).commit for turn in range(4)]
    versions = versions_of(open_on(store))
    for id in ids:
        versions.snapshot(str(id)).document("d")
    assert versions.opened.ids() == ids
    held = versions.opened.nbytes
    assert 0 < sum(versions.snapshot(str(id)).nbytes for id in ids) <= held < 4000
    versions.opened.open_bytes = held - 1
    versions.snapshot(str(docs.rollback("main").after))
    assert ids[0] not in versions.opened.ids() and ids[-1] in versions.opened.ids(), (
        "the one not asked for longest goes"
    )


def test_no_more_than_a_fixed_number_of_versions_stays_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that commits 10,000 times would else map 40,000 files, and count them at every commit."""
    monkeypatch.setattr("vecver.repo.opened.OPEN_VERSIONS", 3)
    docs = open_on(store).dataset("d")
    ids = [ingest(docs, {**BASE, "d": str(turn)}).commit for turn in range(6)]
    for id in ids:
        assert texts_of(docs, str(id))["d"] == str(ids.index(id))
    assert versions_of(docs).opened.ids() == ids[-3:]


def test_segments_are_released_with_the_last_snapshot(docs: vecver.Dataset) -> None:
    versions_of(docs).opened.open_bytes = 0
    for number in range(6):
        ingest(docs, {"a": f"version {number}"})
        docs.search(vector_of("x"), k=1)
    gc.collect()
    assert len(versions_of(docs).opened.ids()) == 1 and versions_of(docs).opened.segment_count <= 2


def test_files_are_unmapped_with_the_last_handle(tmp_path: Path) -> None:
    """Without the cycle collector: deleted files that stay mapped keep their room on a full disk."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("no list of mapped files here")

    def work() -> None:
        docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
        ingest(docs, {str(n): f"text {n} " * 40 for n in range(300)})
        ingest(docs, {"a": "one", "b": "two"})
        docs.search(vector_of("one"), k=2)
        docs.search(vector_of("one"), k=2, at="main~1", exact=True)
        docs.diff("main~1", "main")
        docs.recall(sample=2)
        assert str(tmp_path) in maps.read_text()

    gc.disable()
    try:
        work()
        assert str(tmp_path) not in maps.read_text()
    finally:
        gc.enable()


def test_two_hundred_commits_of_one_chunk_all_answer_right(docs: vecver.Dataset) -> None:
    texts: dict[str, str] = {}
    states = []
    for number in range(200):
        texts = {**texts, f"d{number % 60:02}": f"text {number}"}
        states.append((ingest(docs, texts), texts))
    query = vector_of("query")
    reopened = open_on(versions_of(docs).store).dataset("d")
    for report, state in [states[-1], *states[::7]]:
        assert [(h.document, h.score) for h in reopened.search(query, at=report, k=5)] == best(state, query, 5)
    newest = versions_of(reopened).snapshot(reopened.resolve())
    assert len(newest.parts) == 1 and newest.layout.chunk_count == 60
    assert texts_of(reopened) == texts
    assert reopened.repository.check().clean


def test_few_live_rows_of_a_large_segment_are_gathered_with_the_others(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One large segment with one live row once kept all others from being gathered."""
    monkeypatch.setattr("vecver.repo.read.snapshot.SMALL_ROWS", 10)
    ingest(docs, {f"d{i:02}": f"text {i}" for i in range(50)})
    for number in range(3):
        ingest(docs, {"d00": "text 0", **{f"new{i}": "new" for i in range(number + 1)}})
    snapshot = versions_of(docs).snapshot(docs.resolve())
    assert len(snapshot.layout.segments) == 4 and [len(p.part.vectors) for p in snapshot.parts] == [4]
    state = {"d00": "text 0", "new0": "new", "new1": "new", "new2": "new"}
    assert [(h.document, h.score) for h in docs.search(vector_of("q"), k=9)] == best(state, vector_of("q"), 9)
