"""Layouts: which rows of which segments are live in a commit, read, written and shared between commits."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ingest, texts_of
from hypothesis import given
from hypothesis import strategies as st
from inside import versions_of
from pyroaring import BitMap

import vecver
from vecver.errors import IntegrityError
from vecver.repo.rows.layout import Layout, Live, layout_path, load_layout, mask_of, packed, rows_of, save_layout
from vecver.repo.rows.roots import Roots, lanes_of
from vecver.store import MemoryStore

BASE = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def layout_of(docs: vecver.Dataset, at: str = "main") -> Layout:
    return versions_of(docs).snapshot(docs.resolve(at)).layout


def rows_in(layout: Layout) -> list[tuple[list[int], list[int]]]:
    """(live chunk rows, live document rows) of each segment."""
    return [(list(live.chunks), list(live.documents)) for live in layout.segments]


@given(st.lists(st.tuples(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 9))), max_size=5), st.binary())
def test_layouts_round_trip(masks: list[tuple[set[int], set[int]]], row: bytes) -> None:
    store = MemoryStore()
    lives = tuple(Live(f"{i}" * 64, BitMap(c), BitMap(d), 100, 10) for i, (c, d) in enumerate(masks))
    saved = Layout(lives, Roots(lanes_of([row]), lanes_of([row, row])))
    save_layout(store, "c" * 64, saved)
    found = load_layout(store, "c" * 64)
    assert found.segments == saved.segments
    assert (found.roots.content_root, found.roots.vector_root) == (saved.roots.content_root, saved.roots.vector_root)
    assert (found.chunk_count, found.document_count) == (sum(len(c) for c, _ in masks), sum(len(d) for _, d in masks))


def test_a_layout_of_another_commit_is_refused() -> None:
    store = MemoryStore()
    save_layout(store, "a" * 64, Layout.empty())
    store.put(layout_path("b" * 64), store.get(layout_path("a" * 64)))
    with pytest.raises(IntegrityError) as caught:
        load_layout(store, "b" * 64)
    assert caught.value.code == "wrong_layout"


def test_masks_pack_and_unpack_rows() -> None:
    assert packed(mask_of([0, 1, 9]), 12).tolist() == [0b00000011, 0b00000010]
    assert rows_of(BitMap()).tolist() == [] and rows_of(mask_of(np.array([3, 1]))).tolist() == [1, 3]


def test_a_commit_writes_changed_rows_and_masks_only(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    assert rows_in(layout_of(docs)) == [([0, 1, 2], [0, 1, 2])]
    report = ingest(docs, {"a": "one", "b": "changed", "d": "new"})
    assert rows_in(layout_of(docs)) == [([0], [0]), ([0, 1], [0, 1])]
    assert report.documents == {"added": 1, "changed": 1, "removed": 1, "unchanged": 1, "failed": 0}
    assert (report.chunks["live"], report.chunks["removed"]) == (3, 2)
    assert rows_in(layout_of(docs, "main~1")) == [([0, 1, 2], [0, 1, 2])]


def test_a_reverted_edit_revives_the_old_row(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {**BASE, "b": "changed"})
    ingest(docs, BASE)
    assert [chunks for chunks, _ in rows_in(layout_of(docs))] == [[0, 1, 2], []]  # only the document row is new
    assert texts_of(docs) == BASE and docs.repository.check().clean


def test_segments_without_a_live_row_leave_the_layout(docs: vecver.Dataset) -> None:
    ingest(docs, BASE)
    ingest(docs, {"x": "other"})
    assert rows_in(layout_of(docs)) == [([0], [0])]
    ingest(docs, BASE)
    assert texts_of(docs) == BASE and docs.repository.check().clean
    assert [docs.resolve("main~2") != docs.resolve(), docs.show().content_root == docs.show("main~2").content_root] == [
        True
    ] * 2


def test_an_ingest_that_changes_nothing_writes_nothing(docs: vecver.Dataset) -> None:
    first = ingest(docs, BASE)
    before = list(versions_of(docs).store.list(""))
    report = ingest(docs, BASE)
    assert (report.changed, report.commit) == (False, first.commit)
    assert list(versions_of(docs).store.list("")) == before
