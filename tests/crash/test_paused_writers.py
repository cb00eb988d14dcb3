"""Writers in a bucket that are stopped until their lease has passed on: gc may run meanwhile, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory
from helpers import ingest, open_on, texts_of

import vecver
from vecver.errors import ConflictError
from vecver.repo.refs import refs
from vecver.store import leases
from vecver.store.object_store import ObjectStore

OLD, NEW = {"a": "one", "b": "two"}, {"a": "one", "b": "changed", "c": "three"}
NOW = timedelta(0)


class Pause:
    """Stops one writer before the request that names what it wrote, for as long as a lease takes to pass on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
        self.seconds, self.ahead, real = seconds, 0.0, leases._now
        monkeypatch.setattr(leases, "_now", lambda: real() + self.ahead)
        self.bucket = Watched(memory())
        self.others = bucket_in_memory(None, self.bucket._objects)
        self.store: ObjectStore = bucket_in_memory(None, self.bucket)
        for store in (self.others, self.store):
            assert store._leases._ahead is not None  # it knows the store's time from now on

    def before(self, prefix: str, meanwhile: Callable[[], None]) -> None:
        """Do something before the next conditional write below `prefix`, some seconds later."""

        def stop(kind: str, name: str) -> None:
            if kind == "put" and name.startswith(prefix):
                self.bucket.before = lambda kind, name: None
                self.ahead += self.seconds
                meanwhile()

        self.bucket.before = stop


def collected_twice(store: ObjectStore) -> None:
    """What nothing names waits after the first, and is deleted by the second."""
    for _ in range(2):
        open_on(store).gc(grace=NOW, apply=True)


def sound(store: ObjectStore) -> vecver.Dataset:
    docs = open_on(store).dataset("d")
    assert docs.repository.check().problems == ()
    return docs


def test_a_commit_whose_rows_gc_deleted_meanwhile_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = Pause(monkeypatch, 60)
    docs = open_on(pause.store).dataset("d")
    old = ingest(docs, OLD).commit
    pause.before("refs/d/branches/main", lambda: collected_twice(pause.others))
    with pytest.raises(ConflictError) as caught:
        ingest(docs, NEW)
    assert caught.value.code == "collected"
    here = sound(pause.others)
    assert here.branches() == {"main": old} and texts_of(here) == OLD
    pause.ahead += 60  # what the writer did not release has passed on
    ingest(docs, NEW)
    assert texts_of(sound(pause.others)) == NEW


def test_a_commit_whose_rows_are_still_there_lands(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = Pause(monkeypatch, 60)
    docs = open_on(pause.store).dataset("d")
    ingest(docs, OLD)
    pause.before("refs/d/branches/main", lambda: _once(pause.others))
    ingest(docs, NEW)
    pause.ahead += 60
    collected_twice(pause.others)
    assert texts_of(sound(pause.others)) == NEW


def _once(store: ObjectStore) -> None:
    open_on(store).gc(grace=NOW, apply=True)


@pytest.mark.parametrize("kind", ["tag", "promote"])
def test_a_ref_to_a_version_that_gc_let_go_meanwhile_is_taken_back(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    pause = Pause(monkeypatch, 60)
    docs = open_on(pause.store).dataset("d")
    old = str(ingest(docs, OLD).commit)
    new = str(ingest(docs, NEW).commit)
    folder = {"tag": "tags", "promote": "aliases"}[kind]

    def let_go() -> None:
        for _ in range(3):
            open_on(pause.others).gc(keep_last=1, grace=NOW, apply=True)

    pause.before(f"refs/d/{folder}/x", let_go)
    named: Any = getattr(docs, kind)
    with pytest.raises(ConflictError) as caught:
        named("x", old)
    assert caught.value.code == "collected"
    here = sound(pause.others)
    assert here.branches() == {"main": new} and here.tags() == here.aliases() == {}
    pause.ahead += 60
    named("x", new)
    assert texts_of(sound(pause.others), "x") == NEW


def test_a_gc_whose_lease_passed_on_deletes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = Pause(monkeypatch, 1500)
    docs = open_on(pause.store).dataset("d")
    ingest(docs, OLD)
    with pytest.raises(ConflictError) as caught:
        pause.before("retired", lambda: None)
        collected_twice(pause.store)
        ingest(docs, NEW)
        open_on(pause.store).gc(keep_last=1, grace=NOW, apply=True)
        pause.before("retired", lambda: None)
        open_on(pause.store).gc(keep_last=1, grace=NOW, apply=True)
    assert caught.value.code == "lock_lost"
    collected_twice(pause.others)
    assert texts_of(sound(pause.others)) == NEW


@pytest.mark.parametrize(
    "before", ["segments/", "locks/commit", "locks/naming", "layouts/", "commits/", "moves/", "refs/d/branches/main"]
)
def test_a_commit_that_pauses_before_any_of_its_writes_lands_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Its lock is taken while its rows are sent, and its rows are looked for while its commit is sent."""
    pause = Pause(monkeypatch, 60)
    docs = open_on(pause.store).dataset("d")
    ingest(docs, OLD)
    pause.before(before, lambda: collected_twice(pause.others))
    try:
        ingest(docs, NEW)
        expected = NEW
    except ConflictError as error:
        assert error.code == "collected"
        expected = OLD
    assert texts_of(sound(pause.others)) == expected
    pause.ahead += 60
    collected_twice(pause.others)
    assert texts_of(sound(pause.others)) == expected
    ingest(docs, NEW)
    assert texts_of(sound(pause.others)) == NEW


@pytest.mark.parametrize("before", ["locks/name", "refs/d/tags/x", "moves/"])
@pytest.mark.parametrize("seconds", [0, 60])
def test_of_two_kinds_of_refs_with_one_name_one_is_made(
    monkeypatch: pytest.MonkeyPatch, before: str, seconds: int
) -> None:
    """The lock of the name keeps the other out; when that has passed on, the first looks once more and gives way."""
    pause = Pause(monkeypatch, seconds)
    monkeypatch.setattr(refs, "_SECONDS", 0.2)
    docs = open_on(pause.store).dataset("d")
    version = str(ingest(docs, OLD).commit)
    outcomes = list[str]()

    def branch() -> None:
        try:
            open_on(pause.others).dataset("d").branch("x", version)
            outcomes.append("branch")
        except ConflictError as error:
            assert error.code in ("name_taken", "locked")

    pause.before(before, branch)
    try:
        docs.tag("x", version)
        outcomes.append("tag")
    except ConflictError as error:
        assert error.code in ("name_taken", "locked")
    here = sound(pause.others)
    assert [*["branch"] * ("x" in here.branches()), *["tag"] * ("x" in here.tags())] == outcomes
    assert len(outcomes) == 1
