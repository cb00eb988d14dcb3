"""Optimize: all versions of a dataset move to one segment, with the same commits, answers and receipts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import Ticking, best, ingest, open_on, records, vector_of
from inside import versions_of
from version_histories import Texts, assert_versions_hold, collect, history, segments_of

import vecver
from vecver import repo
from vecver.errors import IntegrityError, NotFoundError
from vecver.flows.maintaining import compaction
from vecver.index import faiss
from vecver.index.faiss import building
from vecver.repo.maintain import rewrite as rewriting
from vecver.repo.rows.layout import load_layout
from vecver.store import Store


def state(docs: vecver.Dataset, known: dict[str, Texts]) -> list[Any]:
    """What optimize must not change: commits, and the hits in the receipts of three queries."""
    queries = [vector_of(text) for text in ("text 3", "edit 9", "none of them")]
    return [(docs.show(commit), [a.receipt["hits"] for a in docs.search(queries, at=commit, k=5)]) for commit in known]


def test_optimize_moves_all_versions_to_one_segment(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs))
    docs.branch("side", "main~5")
    known |= dict(history(docs, 4, branch="side"))
    docs.rollback("main")
    old, before = docs.search(vector_of("edit 9"), k=3), state(docs, known)
    done = docs.optimize()
    assert done.changed and done.segments[1] == 1 and done.versions == len(known) + 1
    assert {segment for commit in known for segment in segments_of(docs, commit)} == set(segments_of(docs))
    assert len(segments_of(docs)) == 1
    again = open_on(store).dataset("d")
    assert state(again, known) == before and vecver.replay(again.repository, old.receipt).identical
    assert not again.optimize().changed, "what is done is not done again"
    collect(docs)
    assert len(list(store.list("segments/"))) == 5
    assert_versions_hold(docs, known)


def test_optimize_copies_equal_rows_once(store: Store) -> None:
    """Folds copy rows; optimize keeps one row for each version of a document and one for each chunk."""
    docs, known = open_on(store).dataset("d"), dict[str, Texts]()
    texts: Texts = {}
    for turn in range(24):
        texts = {**texts, "changing": f"text {turn % 3}", f"d{turn:02}": "the same words"}
        known[str(ingest(docs, texts).commit)] = texts
    copied = sum(
        versions_of(docs).snapshot(docs.resolve()).segments[i].document_count for i in range(len(segments_of(docs)))
    )
    assert copied > 25, "the newest version alone names rows of older ones, or copies"
    docs.optimize()
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert (segment.document_count, segment.chunk_count) == (24 + 3, 24 + 3)
    assert_versions_hold(docs, known)


def test_optimize_keeps_a_segment_for_each_space(store: Store) -> None:
    docs = open_on(store).dataset("d")
    in_test = ingest(docs, {"a": "x"}).commit
    in_other = docs.ingest(records({"a": "x"}), space="other", metric="l2").commit
    assert in_test and in_other
    grown = docs.ingest(records({"a": "x", "b": "y"}), space="other").commit
    docs.optimize()
    assert len(segments_of(docs, in_test)) == len(segments_of(docs, in_other)) == 1 and segments_of(
        docs, in_test
    ) != segments_of(docs, in_other)
    assert segments_of(docs, in_other) == segments_of(docs, str(grown))
    assert_versions_hold(docs, {in_test: {"a": "x"}, in_other: {"a": "x"}})


def test_optimize_drops_rows_of_forgotten_versions(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    known = dict(history(docs))
    newest = list(known)[-1]
    garbage = collect(docs, keep_last=1)
    assert set(garbage.forgotten) == set(known) - {newest}
    docs.optimize()
    collect(docs)
    (segment,) = versions_of(docs).snapshot(newest).segments
    assert segment.chunk_count == len(known[newest])
    assert_versions_hold(docs, {newest: known[newest]})


def test_optimize_refuses_an_unknown_dataset(repository: vecver.Repository) -> None:
    with pytest.raises(NotFoundError) as caught:
        repository.dataset("none").optimize()
    assert caught.value.code == "dataset_not_found"


def test_optimize_changes_nothing_when_its_proof_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    before = {commit: segments_of(docs, commit) for commit in known}
    places = rewriting._places
    monkeypatch.setattr(rewriting, "_places", lambda rows, count, start: places(rows[::-1], count, start))
    with pytest.raises(IntegrityError) as caught:
        docs.optimize()
    assert caught.value.code == "relay_failed"
    monkeypatch.undo()
    assert {commit: segments_of(docs, commit) for commit in known} == before
    assert_versions_hold(docs, known)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 300)
    monkeypatch.setattr(faiss.costs, "_PROBE", -(10**9))  # an index is always the cheaper way


def test_what_a_killed_optimize_built_is_taken_up(store: Store, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before the versions are switched: the next one copies rows, which is quick, and builds nothing again."""
    monkeypatch.setattr(compaction, "wants_postings", lambda segment: True)
    docs = open_on(store).dataset("d")
    texts = {str(i): f"text {i}" for i in range(250)}
    ingest(docs, texts)
    ingest(docs, texts := texts | {f"more {i}": f"more {i}" for i in range(250)})
    before = segments_of(docs)
    with monkeypatch.context() as killing, pytest.raises(KeyboardInterrupt):
        killing.setattr(repo.Versions, "switch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        docs.optimize()
    assert segments_of(docs) == before
    with monkeypatch.context() as counting:
        for module, name in ((compaction, "build_index"), (compaction, "build_postings")):
            counting.setattr(module, name, lambda *_, **__: pytest.fail("it was built before"))
        done = open_on(store).dataset("d").optimize()
    assert (done.segments, done.indexes) == ((2, 1), 0)
    assert docs.search(vector_of("more 7"), k=1)[0].document == best(texts, vector_of("more 7"), 1)[0][0]
    assert not docs.optimize().changed and docs.repository.check().clean


def test_optimize_adds_rows_to_an_index_without_training_it_again(
    store: Store, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = open_on(store).dataset("d")
    texts = {str(i): f"text {i}" for i in range(400)}
    ingest(docs, texts)
    texts |= {f"more {i}": f"more {i}" for i in range(100)}
    ingest(docs, texts)
    trained: list[int] = []
    train = building._trained
    monkeypatch.setattr(
        building, "_trained", lambda vectors, metric: (trained.append(len(vectors)), train(vectors, metric))[1]
    )
    assert docs.optimize().indexes == 1 and trained == []
    answer = docs.search(vector_of("more 7"), k=1)
    assert answer[0].document == best(texts, vector_of("more 7"), 1)[0][0]
    assert answer.receipt["engine"]["name"] == f"faiss {faiss.SPEC}"


@pytest.mark.parametrize("damage", ["flipped", "newer"])
def test_optimize_rebuilds_an_unreadable_index(store: Store, small: None, damage: str) -> None:
    from vecver.repo.objects import load_sealed, sealed

    docs = open_on(store).dataset("d")
    ingest(docs, {str(i): f"text {i}" for i in range(400)})
    (name,) = [name for name in store.list("segments/") if name.endswith(faiss.SPEC)]
    if damage == "flipped":
        store.put(name, store.get(name)[:-1] + b"!")
    else:
        facts = load_sealed(store, name + ".json")
        store.put(name + ".json", sealed({**facts, "faiss": "99.1.0"}))
    with pytest.raises(IntegrityError) as caught:
        open_on(store).dataset("d").search(vector_of("text 7"))
    assert "docs.optimize()" in caught.value.hint
    again = open_on(store).dataset("d")
    assert again.optimize().indexes == 1
    texts = {str(i): f"text {i}" for i in range(400)}
    assert again.search(vector_of("text 7"), k=1)[0].document == best(texts, vector_of("text 7"), 1)[0][0]
    assert again.repository.check().clean


def test_optimize_keeps_the_answers_of_every_version(store: Store) -> None:
    """The same query at every version, before and after: documents, keys and score bits."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 25))
    query = np.ones(8, np.float32)
    before = {commit: docs.search(query, at=commit, k=3, exact=True).receipt["hits"] for commit in known}
    docs.optimize()
    again = open_on(store).dataset("d")
    assert {c: again.search(query, at=c, k=3, exact=True).receipt["hits"] for c in known} == before
    assert all(len(load_layout(store, commit).segments) == 1 for commit in known)
    assert isinstance(versions_of(docs), repo.Versions)
