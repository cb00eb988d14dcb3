"""Folding: an ingest merges small segments, and every version keeps its documents."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from helpers import best, ingest, open_on, records, vector_of
from inside import versions_of
from version_histories import Texts, add_versions, assert_versions_hold, history, segments_of

import vecver
from vecver.index import faiss
from vecver.model import Json
from vecver.repo.maintain import fold, trash
from vecver.repo.maintain import rewrite as rewriting
from vecver.repo.rows.layout import Layout, Live
from vecver.repo.rows.roots import Roots
from vecver.store import LocalStore, Store


def test_folding_keeps_the_segments_of_a_version_few(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = {}
    for commit, texts in history(docs):
        known[commit] = texts
        sizes = [live.chunk_count for live in versions_of(docs).layout(docs.resolve()).segments]
        assert sum(size < 8 for size in sizes) <= fold.MANY_SMALL and sum(size >= 8 for size in sizes) <= len(known) / 9
    assert_versions_hold(docs, known)
    docs.optimize()
    assert len({segment for commit in known for segment in segments_of(docs, commit)}) == 1
    assert_versions_hold(docs, known)


def test_a_fold_rewrites_only_the_newest_layout(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    before = {commit: store.get(f"layouts/{commit}") for commit in known}
    known |= add_versions(docs, "main", 1)
    assert len(segments_of(docs)) == 1 and {commit: store.get(f"layouts/{commit}") for commit in before} == before
    assert trash.read(store) == trash.Retired(), "what waits would grow with every fold"
    assert_versions_hold(docs, known)


def layout_of_sizes(*sizes: int) -> Layout:
    return Layout(tuple(Live.whole(f"s{i}", size, size) for i, size in enumerate(sizes)), Roots.empty())


@pytest.mark.parametrize(
    ("sizes", "folded"),
    [
        ([1] * 8, []),
        ([1] * 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ([500, 400, 99], []),
        ([500, 400, 100], [0, 1, 2]),  # together as large as an index wants
        ([1000], []),
        ([1000] * 4 + [9000] * 4 + [1, 2], []),
        ([1] * 9 + [8] * 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),  # the smallest class first
        ([64] * 8 + [8] * 9 + [1] * 8, [8, 9, 10, 11, 12, 13, 14, 15, 16]),
        ([64] * 8 + [8] * 8 + [1] * 8, []),
        ([1000] * 3 + [9000] + [7999, 1001], [0, 1, 2, 4, 5]),  # five of one class
        ([9000] * 5 + [100], [0, 1, 2, 3, 4]),
        ([rewriting.MAX_ROWS] * 9, []),
    ],
)
def test_which_segments_are_folded(sizes: list[int], folded: list[int]) -> None:
    assert fold.crowded(layout_of_sizes(*sizes), small=1000) == [f"s{i}" for i in folded]


def test_a_fold_that_grows_large_gets_an_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 300)
    docs = open_on(store).dataset("d")
    texts: Texts = {}
    for turn in range(3):
        texts |= {f"{turn}-{i}": f"text {turn} {i}" for i in range(100)}
        ingest(docs, texts)
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert segment.chunk_count == 300 and versions_of(docs).has_derived(segment, faiss.SPEC)
    (nearest,) = best(texts, vector_of("text 1 7"), 1)
    assert docs.search(vector_of("text 1 7"), k=1)[0].document == nearest[0]


def test_metadata_and_titles_survive_a_fold(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    metadata: dict[str, Json] = {}
    for turn in range(10):
        metadata[f"d{turn}"] = {"n": turn} if turn % 2 else {"n": str(turn), "tags": ["a", "b"]}
        rows = [{**record, **metadata[record["id"]]} for record in records({f"d{turn}": f"text {turn}"})]
        docs.ingest(rows, space="test", metric="ip", keep_missing=True)
    assert len(segments_of(docs)) < 10
    metadata_by_document = {hit.document: hit.metadata for hit in docs.search(vector_of("text 1"), k=10)}
    assert metadata_by_document == metadata
    assert len(docs.search(vector_of("text 1"), k=10, filter={"n": {"$gte": 3}})) == 4


def test_a_full_disk_while_folding_does_not_fail_the_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    known = dict(history(docs, 8))
    texts = {**list(known.values())[-1], "a": "last"}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        write = rewriting.Rewrite.write
        patch.setattr(
            rewriting.Rewrite, "write", lambda self, progress: (patch.setattr(os, "fsync", full), write(self, progress))
        )
        report = ingest(docs, texts)
    assert report.commit == docs.resolve() and "not folded" in report.notes[0] and "No space" in report.notes[0]
    known[report.commit] = texts
    assert_versions_hold(docs, known)
    assert not list((tmp_path / "kb/tmp").iterdir())
