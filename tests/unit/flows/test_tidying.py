"""Folding, optimize and gc: fewer bytes and segments, the same versions, whatever is interrupted or runs beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Ticking, best, ingest, open_on, records, texts_of, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.index import faiss
from vecver.index.faiss import building
from vecver.model import Garbage, Json
from vecver.repo.maintain import fold, trash
from vecver.repo.maintain import rewrite as rewriting
from vecver.repo.rows.layout import Layout, Live, load_layout
from vecver.repo.rows.roots import Roots
from vecver.store import LocalStore, MemoryStore, Store

NOW = timedelta(0)
Texts = dict[str, str]


def history(docs: vecver.Dataset, versions: int = 30, branch: str = "main") -> Iterator[tuple[str, Texts]]:
    """Versions that add, edit and remove documents, each with what it holds."""
    texts: Texts = {}
    for turn in range(versions):
        texts = {**texts, f"new{turn}": f"text {turn}", f"often{turn % 3}": f"edit {turn}"}
        texts.pop(f"new{turn - 14}", None)
        commit = ingest(docs, texts, message=str(turn), branch=branch).commit
        assert commit
        yield commit, dict(texts)


def more(docs: vecver.Dataset, branch: str, versions: int) -> dict[str, Texts]:
    """Versions that add a document each."""
    found = {}
    for turn in range(versions):
        texts = {**texts_of(docs, branch), f"more{turn}": "x"}
        found[str(ingest(docs, texts, branch=branch).commit)] = texts
    return found


def collect(docs: vecver.Dataset, **keep: Any) -> Garbage:
    """Everything that may go, goes: what the first run saw, the second deletes."""
    docs.repository.gc(**keep, grace=NOW, apply=True)
    return docs.repository.gc(**keep, grace=NOW, apply=True)


def laid(docs: vecver.Dataset, at: str = "main") -> list[str]:
    """The segments of a version."""
    return [live.segment for live in versions_of(docs).layout(docs.resolve(at)).segments]


def assert_all_there(docs: vecver.Dataset, known: dict[str, Texts]) -> None:
    """Every version holds what it held, and the repository is sound."""
    again = open_on(versions_of(docs).store).dataset(docs.name)
    for commit, texts in known.items():
        assert texts_of(again, commit) == texts
    assert again.repository.check().problems == ()


# -- folding ------------------------------------------------------------------------------------


def test_a_version_never_has_more_than_a_handful_of_segments(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = {}
    for commit, texts in history(docs):
        known[commit] = texts
        sizes = [live.chunk_count for live in versions_of(docs).layout(docs.resolve()).segments]
        assert sum(size < 8 for size in sizes) <= fold.MANY_SMALL and sum(size >= 8 for size in sizes) <= len(known) / 9
    assert_all_there(docs, known)
    docs.optimize()
    assert len({segment for commit in known for segment in laid(docs, commit)}) == 1
    assert_all_there(docs, known)


def test_a_fold_lays_only_the_newest_version_anew(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    before = {commit: store.get(f"layouts/{commit}") for commit in known}
    known |= more(docs, "main", 1)
    assert len(laid(docs)) == 1 and {commit: store.get(f"layouts/{commit}") for commit in before} == before
    assert trash.read(store) == trash.Retired(), "what waits would grow with every fold"
    assert_all_there(docs, known)


def lives(*sizes: int) -> Layout:
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
def test_what_is_folded(sizes: list[int], folded: list[int]) -> None:
    assert fold.crowded(lives(*sizes), small=1000) == [f"s{i}" for i in folded]


def test_a_fold_that_grows_large_gets_an_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 300)
    docs = open_on(store).dataset("d")
    texts: Texts = {}
    for turn in range(3):
        texts |= {f"{turn}-{i}": f"text {turn} {i}" for i in range(100)}
        ingest(docs, texts)
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert segment.chunk_count == 300 and versions_of(docs).has_derived(segment, faiss.SPEC)
    (found,) = best(texts, vector_of("text 1 7"), 1)
    assert docs.search(vector_of("text 1 7"), k=1)[0].document == found[0]


def test_metadata_and_titles_survive_a_fold(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    told: dict[str, Json] = {}
    for turn in range(10):
        told[f"d{turn}"] = {"n": turn} if turn % 2 else {"n": str(turn), "tags": ["a", "b"]}
        rows = [{**record, **told[record["id"]]} for record in records({f"d{turn}": f"text {turn}"})]
        docs.ingest(rows, space="test", metric="ip", keep_missing=True)
    assert len(laid(docs)) < 10
    found = {hit.document: hit.metadata for hit in docs.search(vector_of("text 1"), k=10)}
    assert found == told
    assert len(docs.search(vector_of("text 1"), k=10, filter={"n": {"$gte": 3}})) == 4


def test_a_reader_and_a_writer_that_began_before_a_fold(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    late = open_on(store).dataset("d")
    before = versions_of(docs).snapshot(docs.resolve())
    docs.branch("other", "main")
    old = laid(docs)
    known |= dict(history(late, 3, branch="other"))
    known |= dict(history(docs, 3))
    assert laid(docs) != old
    collect(docs)
    assert [before.text(n, row) for n, live in enumerate(before.layout.segments) for row in live.chunks]
    assert_all_there(docs, known)


def test_a_full_disk_while_folding_costs_only_the_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(LocalStore(tmp_path / "kb")).dataset("d")
    known = dict(history(docs, 8))
    texts = {**list(known.values())[-1], "a": "last"}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        write = rewriting.Rewrite.write
        patch.setattr(
            rewriting.Rewrite, "write", lambda self, told: (patch.setattr(os, "fsync", full), write(self, told))
        )
        report = ingest(docs, texts)
    assert report.commit == docs.resolve() and "not folded" in report.notes[0] and "No space" in report.notes[0]
    known[report.commit] = texts
    assert_all_there(docs, known)
    assert not list((tmp_path / "kb/tmp").iterdir())


# -- optimize -----------------------------------------------------------------------------------


def state(docs: vecver.Dataset, known: dict[str, Texts]) -> list[Any]:
    """What must not change: commits, answers with their receipts."""
    queries = [vector_of(text) for text in ("text 3", "edit 9", "none of them")]
    return [(docs.show(commit), [a.receipt["hits"] for a in docs.search(queries, at=commit, k=5)]) for commit in known]


def test_optimize_lays_all_versions_on_one_segment(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs))
    docs.branch("side", "main~5")
    known |= dict(history(docs, 4, branch="side"))
    docs.rollback("main")
    old, before = docs.search(vector_of("edit 9"), k=3), state(docs, known)
    done = docs.optimize()
    assert done.changed and done.segments[1] == 1 and done.versions == len(known) + 1
    assert {segment for commit in known for segment in laid(docs, commit)} == set(laid(docs))
    assert len(laid(docs)) == 1
    again = open_on(store).dataset("d")
    assert state(again, known) == before and vecver.replay(again.repository, old.receipt).identical
    assert not again.optimize().changed, "what is done is not done again"
    collect(docs)
    assert len(list(store.list("segments/"))) == 5
    assert_all_there(docs, known)


def test_optimize_copies_equal_rows_once(store: Store) -> None:
    """Folds leave copies of rows behind: of each document's versions and their chunks one row each is enough."""
    docs, known = open_on(store).dataset("d"), dict[str, Texts]()
    texts: Texts = {}
    for turn in range(24):
        texts = {**texts, "changing": f"text {turn % 3}", f"d{turn:02}": "the same words"}
        known[str(ingest(docs, texts).commit)] = texts
    copied = sum(versions_of(docs).snapshot(docs.resolve()).segments[i].document_count for i in range(len(laid(docs))))
    assert copied > 25, "the newest version alone names rows of older ones, or copies"
    docs.optimize()
    (segment,) = versions_of(docs).snapshot(docs.resolve()).segments
    assert (segment.document_count, segment.chunk_count) == (24 + 3, 24 + 3)
    assert_all_there(docs, known)


def test_versions_of_two_spaces_keep_their_own_segments(store: Store) -> None:
    docs = open_on(store).dataset("d")
    one = ingest(docs, {"a": "x"}).commit
    two = docs.ingest(records({"a": "x"}), space="other", metric="l2").commit
    assert one and two
    ingest_other = docs.ingest(records({"a": "x", "b": "y"}), space="other").commit
    docs.optimize()
    assert len(laid(docs, one)) == len(laid(docs, two)) == 1 and laid(docs, one) != laid(docs, two)
    assert laid(docs, two) == laid(docs, str(ingest_other))
    assert_all_there(docs, {one: {"a": "x"}, two: {"a": "x"}})


def test_optimize_drops_rows_of_forgotten_versions(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    known = dict(history(docs))
    newest = list(known)[-1]
    found = collect(docs, keep_last=1)
    assert set(found.forgotten) == set(known) - {newest}
    docs.optimize()
    collect(docs)
    (segment,) = versions_of(docs).snapshot(newest).segments
    assert segment.chunk_count == len(known[newest])
    assert_all_there(docs, {newest: known[newest]})


def test_optimize_of_what_is_not_there(repository: vecver.Repository) -> None:
    with pytest.raises(NotFoundError) as caught:
        repository.dataset("none").optimize()
    assert caught.value.code == "dataset_not_found"


def test_optimize_refuses_what_does_not_come_out_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    before = {commit: laid(docs, commit) for commit in known}
    places = rewriting._places
    monkeypatch.setattr(rewriting, "_places", lambda rows, count, start: places(rows[::-1], count, start))
    with pytest.raises(IntegrityError) as caught:
        docs.optimize()
    assert caught.value.code == "relay_failed"
    monkeypatch.undo()
    assert {commit: laid(docs, commit) for commit in known} == before
    assert_all_there(docs, known)


def test_optimize_twice_at_once(store: Store) -> None:
    """Both write the same segment; the second finds every commit re-laid."""
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (mine,), (theirs,) = versions_of(docs).optimize("d"), versions_of(other).optimize("d")
    for rewrite in (mine, theirs):
        rewrite.write()
        rewrite.prove()
    assert [s.id for s in mine.segments] == [s.id for s in theirs.segments]
    assert (versions_of(other).switch(theirs), versions_of(docs).switch(mine)) == (12, 0)
    collect(docs)
    assert_all_there(docs, known)


def test_an_ingest_while_optimizing(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    late = ingest(docs, {"late": "x"}).commit
    versions_of(docs).switch(rewrite)
    collect(docs)
    assert_all_there(docs, {**known, str(late): {"late": "x"}})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 300)
    monkeypatch.setattr(faiss.costs, "_PROBE", -(10**9))  # an index is always the cheaper way


def test_an_index_grows_where_its_rows_are_the_first(
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
def test_optimize_mends_an_index(store: Store, small: None, damage: str) -> None:
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


# -- gc -----------------------------------------------------------------------------------------


def test_a_plan_changes_nothing_and_what_is_new_in_it_waits(store: Store) -> None:
    clock = Ticking()
    docs = open_on(store, clock=clock).dataset("d")
    known = dict(history(docs, 20))
    before = {name: store.get(name) for name in store.list("")}
    plan = docs.repository.gc()
    assert {name: store.get(name) for name in store.list("")} == before
    assert plan.wait and not plan.delete and plan.forgotten == () and plan.kept_versions == 20
    assert all(unit.startswith("segments/") for unit in plan.wait), "what folds left behind"
    docs.repository.gc(apply=True)
    assert docs.repository.gc().wait == plan.wait and not docs.repository.gc().delete
    plan = docs.repository.gc(grace=timedelta(seconds=1))
    assert plan.delete and not plan.wait, "a second later it has waited a second"
    docs.repository.gc(grace=timedelta(seconds=1), apply=True)
    assert trash.read(store) == trash.Retired()
    assert not any(name.startswith(unit) for unit in plan.delete for name in store.list(""))
    assert_all_there(docs, known)


def test_what_keeps_a_version(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    ids = list(dict(history(docs, 12)))
    docs.tag("v1", ids[1])
    docs.promote("prod", ids[3])
    docs.promote("prod", ids[4])
    docs.branch("side", ids[6])
    found = docs.repository.gc(keep_last=2)
    assert set(ids) - set(found.forgotten) == {ids[i] for i in (1, 3, 4, 5, 6, 10, 11)}
    made = [docs.show(id).time for id in ids]
    assert made == sorted(made)
    everything = docs.repository.gc(keep_within=timedelta(days=1))
    assert everything.forgotten == ()


def test_a_forgotten_version_keeps_its_record_and_says_so(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    known = dict(history(docs, 6))
    first = next(iter(known))
    receipt = docs.search(vector_of("text 0"), at=first).receipt
    collect(docs, keep_last=2)
    again = open_on(store).dataset("d")
    assert [commit.id for commit in again.log()] == list(known)[::-1]
    tries: list[Callable[[], Any]] = [
        lambda: again.search(vector_of("text 0"), at=first),
        lambda: again.diff(first, "main"),
        lambda: again.rollback("main", first),
        lambda: again.repository.replay(receipt),
    ]
    for attempt in tries:
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert caught.value.code == "version_forgotten" and first[:12] in caught.value.message
    assert again.repository.check().problems == ()
    assert_all_there(docs, dict(list(known.items())[-2:]))


def test_a_ref_takes_back_what_waits(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    known = dict(history(docs, 12))
    first = next(iter(known))
    docs.repository.gc(keep_last=1, apply=True)
    assert f"layouts/{first}" in trash.read(store).waiting
    docs.tag("v1", first)
    assert f"layouts/{first}" not in trash.read(store).waiting
    collect(docs, keep_last=1)
    assert texts_of(docs, "v1") == known[first]


def test_what_an_ingest_in_flight_needs_waits_for_it(store: Store) -> None:
    """It began on a version that is optimized and collected while it runs."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))

    def slowly() -> Iterator[Json]:
        yield from records({"late": "x"})
        other = open_on(store).dataset("d")
        other.optimize()
        other.repository.gc(apply=True)

    commit = docs.ingest(slowly(), space="test", keep_missing=True).commit
    docs.repository.gc(apply=True)
    collect(docs)
    assert_all_there(docs, {**known, str(commit): {**list(known.values())[-1], "late": "x"}})


def test_an_ingest_that_comes_too_late_is_told_and_repeated(store: Store) -> None:
    """Without any grace its rows may be gone when it wants to commit them."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (gone, *_) = laid(docs)
    rewrite = versions_of(docs).optimize("d")[0]
    rewrite.write()

    def slowly() -> Iterator[Json]:
        yield from records({"late": "x"})
        versions_of(docs).switch(rewrite)
        trash.condemn(store, trash.read(store).waiting)

    with pytest.raises(ConflictError) as caught:
        docs.ingest(slowly(), space="test", keep_missing=True)
    assert caught.value.code == "collected" and f"segments/{gone}" in caught.value.context["names"]
    collect(docs)
    commit = docs.ingest(records({"late": "x"}), space="test", keep_missing=True).commit
    assert_all_there(docs, {**known, str(commit): {**list(known.values())[-1], "late": "x"}})


def test_gc_finishes_what_a_killed_one_began(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    docs.optimize()
    docs.repository.gc(apply=True)
    units = trash.read(store).waiting
    trash.condemn(store, units)
    store.delete(f"{next(iter(units))}/segment.json")  # and here it was killed
    docs.repository.gc(apply=True)
    assert trash.read(store) == trash.Retired()
    assert len(list(store.list("segments/"))) == 5
    assert_all_there(docs, known)


def test_what_lost_its_race_and_what_is_foreign(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 3))
    segment = laid(docs)[0]
    store.put("notes/mine", b"not vecver's")
    store.put("parts/ab/cd", b"left behind")
    store.put(f"segments/{segment}/hnsw32-sq8", b"an index of old")
    store.put("commits/ab/" + "ab" * 32, b"{}")
    plan = collect(docs)
    assert set(plan.delete) == {"parts/ab/cd", f"segments/{segment}/hnsw32-sq8", "commits/ab/" + "ab" * 32}
    assert store.get("notes/mine") == b"not vecver's"
    assert_all_there(docs, known)


def test_gc_refuses_where_a_ref_was_lost(store: Store) -> None:
    docs = open_on(store).dataset("d")
    dict(history(docs, 3))
    docs.repository.dataset("e").ingest(records({"a": "x"}), space="test")
    store.delete("refs/d/branches/main")
    before = {name: store.get(name) for name in store.list("")}
    with pytest.raises(IntegrityError) as caught:
        collect(docs)
    assert caught.value.code == "ref_lost" and "repo.check(" in caught.value.hint
    assert {name: store.get(name) for name in store.list("")} == before


KEEP = [
    *({"keep_last": last} for last in (0, 1.5, "3", True)),
    *({"keep_within": age} for age in (timedelta(days=-1), timedelta(days=999999), 30)),
    *({"grace": age} for age in (timedelta(seconds=-1), timedelta.max, 5)),
]


@pytest.mark.parametrize("keep", KEEP)
def test_a_retention_that_cannot_be(repository: vecver.Repository, keep: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        repository.gc(**keep)
    assert caught.value.code in ("invalid_retention", "invalid_grace")


def test_retired_units_are_claimed_condemned_and_buried() -> None:
    store = MemoryStore()
    trash.retire(store, ["a", "b", "c"], "t1")
    trash.retire(store, ["a", "d"], "t2")
    assert trash.read(store).waiting == {"a": "t2", "b": "t1", "c": "t1", "d": "t2"}, "a begins anew"
    trash.claim(store, ["a", "z"])
    assert trash.condemn(store, {"a": "t2", "b": "t1", "d": "t1"}) == {"b"}, "a was claimed, d waits since t2"
    with pytest.raises(ConflictError):
        trash.claim(store, ["b"])
    trash.bury(store, ["b"])
    assert trash.read(store) == trash.Retired({"c": "t1", "d": "t2"})
    assert trash.mentions(store, ["z", "d"]) and not trash.mentions(store, ["z", "b"])
    trash.renew(store, ["c", "z"], "t3")
    assert trash.read(store) == trash.Retired({"c": "t3", "d": "t2"}), "z did not wait"


def test_rows_that_died_long_ago_do_not_move_the_answers(store: Store) -> None:
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


# -- together -----------------------------------------------------------------------------------


def test_a_fold_between_the_proof_and_the_switch_of_an_optimize(store: Store) -> None:
    """What the fold re-laid meanwhile stays as the fold has it: the optimize did not copy the fold's rows."""
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 8))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    known |= more(other, "main", 2)
    assert len(laid(open_on(store).dataset("d"))) < 8, "folded"
    versions_of(docs).switch(rewrite)
    assert_all_there(docs, known)
    collect(docs)
    docs.optimize()
    assert_all_there(docs, known)


def test_an_optimize_between_the_two_switches_of_a_fold(store: Store) -> None:
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 8))
    rewrite = versions_of(docs).fold(docs.resolve(), small=10)
    assert rewrite
    rewrite.write()
    rewrite.compare()
    optimizing = versions_of(other).optimize("d")
    versions_of(docs).switch(rewrite)
    for one in optimizing:
        one.write()
        one.prove()
        versions_of(other).switch(one)
    assert_all_there(docs, known)


def test_a_handle_that_was_opened_long_ago(store: Store) -> None:
    """It has the version open in its old layout, whose segments are deleted; its next version names the new ones."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    docs.search(vector_of("x"))
    other = open_on(store).dataset("d")
    other.optimize()
    collect(other)
    assert docs.search(vector_of("text 3"), k=1)[0].document in known[docs.resolve()], "what is open stays readable"
    texts = {**known[docs.resolve()], "late": "x"}
    known[str(ingest(docs, texts).commit)] = texts
    assert_all_there(docs, known)


def test_rows_that_a_second_relay_lets_go_of_wait_anew(store: Store) -> None:
    """An optimize retires segments that a branch, which moved meanwhile, still names; the next moves it off them."""
    docs = open_on(store, clock=Ticking()).dataset("d")
    list(history(docs, 7))
    docs.branch("side")
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    more(docs, "side", 1)
    versions_of(docs).switch(rewrite)
    early = trash.read(store).waiting
    named = early.keys() & {f"segments/{segment}" for segment in laid(docs, "side")}
    docs.optimize()
    late = trash.read(store).waiting
    assert named and all(late[unit] > early[unit] for unit in named)


def test_gc_may_not_take_what_an_optimize_has_just_written(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    docs.repository.gc(grace=NOW, apply=True)
    assert docs.repository.gc(grace=NOW).delete, "nothing names it yet"
    versions_of(docs).switch(rewrite)
    assert_all_there(docs, known)
    docs, again = open_on(store).dataset("d"), dict(history(docs, 2))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    collect(docs)
    with pytest.raises(ConflictError) as caught:
        versions_of(docs).switch(rewrite)
    assert caught.value.code == "collected"
    assert_all_there(docs, known | again)


def test_an_ingest_that_is_published_while_gc_plans(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver.repo.maintain import gc

    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 3))
    commits = gc._commits

    def then_an_ingest(store: Store) -> Any:
        found = commits(store)
        known.update(list(history(other, 2))[-1:])
        return found

    monkeypatch.setattr(gc, "_commits", then_an_ingest)
    docs.repository.gc(keep_last=1, grace=NOW, apply=True)
    monkeypatch.undo()
    assert_all_there(docs, dict(list(known.items())[-1:]))


def test_no_ref_moves_to_a_version_whose_rows_are_gone(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    first = next(iter(dict(history(docs, 5))))
    docs.promote("prod")
    docs.search(vector_of("x"), at=first)
    collect(open_on(store).dataset("d"), keep_last=1)
    tries: list[Callable[[], Any]] = [
        lambda: docs.promote("prod", first),
        lambda: docs.tag("old", first),
        lambda: docs.branch("old", first),
        lambda: docs.rollback("prod", first),
    ]
    for attempt in tries:
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert caught.value.code == "version_forgotten"
    assert docs.aliases() == {"prod": docs.resolve()} and docs.tags() == {}


def test_a_damaged_list_of_what_waits(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    docs.repository.gc(apply=True)
    store.put(trash.NAME, store.get(trash.NAME)[:-2])
    for attempt in (lambda: ingest(docs, {"a": "x"}), lambda: docs.repository.gc()):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert "repo.check(repair=True)" in caught.value.hint
    store.delete(trash.NAME)
    assert collect(docs).delete
    assert_all_there(docs, known)
