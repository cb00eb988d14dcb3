"""Folding, optimize, gc and ingests that run beside each other on one dataset."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from helpers import Ticking, ingest, open_on, records, vector_of
from inside import versions_of
from version_histories import NO_GRACE, add_versions, assert_versions_hold, collect, history, segments_of

from vecver.errors import ConflictError
from vecver.model import Json
from vecver.repo.maintain import trash
from vecver.repo.maintain.retention import Retention
from vecver.store import Store


def test_a_reader_and_a_writer_opened_before_a_fold_go_on(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    late = open_on(store).dataset("d")
    before = versions_of(docs).snapshot(docs.resolve())
    docs.branch("other", "main")
    old = segments_of(docs)
    known |= dict(history(late, 3, branch="other"))
    known |= dict(history(docs, 3))
    assert segments_of(docs) != old
    collect(docs)
    assert [before.text(n, row) for n, live in enumerate(before.layout.segments) for row in live.chunks]
    assert_versions_hold(docs, known)


def test_two_optimizes_at_once_switch_each_commit_once(store: Store) -> None:
    """Both write the same segment; the second switch finds that every commit already uses it."""
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (mine,), (theirs,) = versions_of(docs).optimize("d"), versions_of(other).optimize("d")
    for rewrite in (mine, theirs):
        rewrite.write()
        rewrite.prove()
    assert [s.id for s in mine.segments] == [s.id for s in theirs.segments]
    assert (versions_of(other).switch(theirs), versions_of(docs).switch(mine)) == (12, 0)
    collect(docs)
    assert_versions_hold(docs, known)


def test_an_ingest_during_an_optimize_is_kept(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    late = ingest(docs, {"late": "x"}).commit
    versions_of(docs).switch(rewrite)
    collect(docs)
    assert_versions_hold(docs, {**known, str(late): {"late": "x"}})


def test_gc_keeps_what_a_running_ingest_needs(store: Store) -> None:
    """The ingest starts from a version that is optimized and collected while the ingest runs."""
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
    assert_versions_hold(docs, {**known, str(commit): {**list(known.values())[-1], "late": "x"}})


def test_an_ingest_whose_rows_were_collected_lands_on_their_copies(store: Store) -> None:
    """Without a grace period, gc deletes segments that a running ingest would name, had it not looked again."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 12))
    (gone, *_) = segments_of(docs)
    rewrite = versions_of(docs).optimize("d")[0]
    rewrite.write()

    def slowly() -> Iterator[Json]:
        yield from records({"late": "x"})
        versions_of(docs).switch(rewrite)
        trash.condemn(store, trash.read(store).waiting)

    commit = docs.ingest(slowly(), space="test", keep_missing=True).commit
    assert gone not in segments_of(docs)
    collect(docs)
    assert_versions_hold(docs, {**known, str(commit): {**list(known.values())[-1], "late": "x"}})


def test_a_fold_between_the_proof_and_the_switch_of_an_optimize(store: Store) -> None:
    """The folded version keeps the layout of the fold, because the optimize did not copy the fold's rows."""
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 8))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    known |= add_versions(other, "main", 2)
    assert len(segments_of(open_on(store).dataset("d"))) < 8, "folded"
    versions_of(docs).switch(rewrite)
    assert_versions_hold(docs, known)
    collect(docs)
    docs.optimize()
    assert_versions_hold(docs, known)


def test_an_optimize_between_the_two_switches_of_a_fold(store: Store) -> None:
    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 8))
    rewrite = versions_of(docs).fold(docs.resolve(), small=10)
    assert rewrite
    rewrite.write()
    rewrite.compare()
    optimizing = versions_of(other).optimize("d")
    versions_of(docs).switch(rewrite)
    for optimized in optimizing:
        optimized.write()
        optimized.prove()
        versions_of(other).switch(optimized)
    assert_versions_hold(docs, known)


def test_a_handle_opened_before_an_optimize_reads_and_writes(store: Store) -> None:
    """The handle reads the deleted segments of its open layout; its next ingest names the new segments."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    docs.search(vector_of("x"))
    other = open_on(store).dataset("d")
    other.optimize()
    collect(other)
    assert docs.search(vector_of("text 3"), k=1)[0].document in known[docs.resolve()], "what is open stays readable"
    texts = {**known[docs.resolve()], "late": "x"}
    known[str(ingest(docs, texts).commit)] = texts
    assert_versions_hold(docs, known)


def test_segments_retired_again_wait_a_full_grace_period(store: Store) -> None:
    """An optimize retires segments that a branch still names after it moved; the next optimize retires them again."""
    docs = open_on(store, clock=Ticking()).dataset("d")
    list(history(docs, 7))
    docs.branch("side")
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    add_versions(docs, "side", 1)
    versions_of(docs).switch(rewrite)
    early = trash.read(store).waiting
    named = early.keys() & {f"segments/{segment}" for segment in segments_of(docs, "side")}
    docs.optimize()
    late = trash.read(store).waiting
    assert named and all(late[unit] > early[unit] for unit in named)


def test_gc_during_an_optimize_makes_it_conflict_or_keeps_its_segment(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 8))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    rewrite.prove()
    docs.repository.gc(grace=NO_GRACE, apply=True)
    assert docs.repository.gc(grace=NO_GRACE).delete, "nothing names it yet"
    versions_of(docs).switch(rewrite)
    assert_versions_hold(docs, known)
    docs, again = open_on(store).dataset("d"), dict(history(docs, 2))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    collect(docs)
    with pytest.raises(ConflictError) as caught:
        versions_of(docs).switch(rewrite)
    assert caught.value.code == "collected"
    assert_versions_hold(docs, known | again)


def test_gc_keeps_a_version_published_while_it_plans(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecver.repo.maintain import gc

    docs, other = open_on(store).dataset("d"), open_on(store).dataset("d")
    known = dict(history(docs, 3))
    commits = gc._commits

    def then_an_ingest(store: Store) -> Any:
        listed = commits(store)
        known.update(list(history(other, 2))[-1:])
        return listed

    monkeypatch.setattr(gc, "_commits", then_an_ingest)
    docs.repository.gc(keep_last=1, grace=NO_GRACE, apply=True)
    monkeypatch.undo()
    assert_versions_hold(docs, dict(list(known.items())[-1:]))


def test_gc_keeps_what_an_older_plan_of_another_gc_retires(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other gc listed the segments of a rewrite before they were named, and retires them after that."""
    from vecver.repo.maintain import gc

    docs = open_on(store).dataset("d")
    known = dict(history(docs, 3))
    (rewrite,) = versions_of(docs).optimize("d")
    rewrite.write()
    time, needed = versions_of(docs).time(), gc._needed

    def then_a_switch(*arguments: Any) -> set[str]:
        names = needed(*arguments)
        versions_of(docs).switch(rewrite)
        trash.retire(store, [f"segments/{segment.id}" for segment in rewrite.segments], time)
        return names

    monkeypatch.setattr(gc, "_needed", then_a_switch)
    docs.repository.gc(grace=NO_GRACE, apply=True)
    monkeypatch.undo()
    assert_versions_hold(docs, known)
    docs.repository.gc(grace=NO_GRACE, apply=True)
    assert_versions_hold(docs, known)


def test_gc_waits_for_a_writer_between_its_claim_and_the_move_of_its_branch(store: Store) -> None:
    """Two gcs without grace at that moment once deleted the rows that the branch named a moment later."""
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 3))
    before = segments_of(docs)
    collecting: list[Thread] = []

    def collect_twice() -> None:
        for _ in range(2):
            open_on(store).gc(grace=NO_GRACE, apply=True)

    class Meanwhile:
        """The same store; gc begins before a branch is moved, and is given time to finish if it does not wait."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def swap(self, name: str, expected: bytes | None, new: bytes) -> None:
            if name.startswith("refs/") and not collecting:
                collecting.append(Thread(target=collect_twice))
                collecting[0].start()
                collecting[0].join(1)
            store.swap(name, expected, new)

    late = open_on(Meanwhile()).dataset("d")
    texts = {**list(known.values())[-1], "late": "x"}
    commit = ingest(late, texts).commit
    collecting[0].join()
    assert set(segments_of(docs)) - set(before), "the version has rows of its own"
    assert_versions_hold(docs, {**known, str(commit): texts})
    assert docs.repository.check().clean


def test_gc_spares_what_was_named_again_after_its_plan(store: Store) -> None:
    """A writer claimed the rows and named them; another gc had let them wait in between, as if nothing named them."""
    docs = open_on(store, clock=Ticking()).dataset("d")
    known, newest = dict(history(docs, 4)), Retention(last=1)
    versions, old = versions_of(docs), docs.resolve("main~2")
    versions.collect(versions.garbage(newest, [], NO_GRACE), newest)
    plan, waiting = versions.garbage(newest, [], NO_GRACE), trash.read(store).waiting
    assert old in plan.forgotten and f"layouts/{old}" in plan.delete
    docs.tag("kept", old)
    assert f"layouts/{old}" not in trash.read(store).waiting
    for unit, since in waiting.items():
        trash.retire(store, [unit], since)
    versions.collect(plan, newest)
    assert not trash.read(store).condemned
    assert_versions_hold(docs, {id: known[id] for id in (old, docs.resolve())})
    assert docs.repository.check().clean
