"""Garbage collection: what a plan keeps, what it deletes, and what waits out its grace period."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from helpers import Ticking, ingest, open_on, records, texts_of, vector_of
from version_histories import assert_versions_hold, collect, history, segments_of

import vecver
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vecver.repo.maintain import trash
from vecver.store import MemoryStore, Store


def test_a_plan_writes_nothing_and_new_garbage_waits(store: Store) -> None:
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
    assert_versions_hold(docs, known)


def test_tags_branches_and_alias_moves_keep_versions(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    ids = list(dict(history(docs, 12)))
    docs.tag("v1", ids[1])
    docs.promote("prod", ids[3])
    docs.promote("prod", ids[4])
    docs.branch("side", ids[6])
    garbage = docs.repository.gc(keep_last=2)
    assert set(ids) - set(garbage.forgotten) == {ids[i] for i in (1, 3, 4, 5, 6, 10, 11)}
    made = [docs.show(id).time for id in ids]
    assert made == sorted(made)
    everything = docs.repository.gc(keep_within=timedelta(days=1))
    assert everything.forgotten == ()


def test_a_forgotten_version_stays_in_the_log_but_cannot_be_read(store: Store) -> None:
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
    assert_versions_hold(docs, dict(list(known.items())[-2:]))


def test_a_new_tag_rescues_a_version_that_waits_for_deletion(store: Store) -> None:
    docs = open_on(store, clock=Ticking()).dataset("d")
    known = dict(history(docs, 12))
    first = next(iter(known))
    docs.repository.gc(keep_last=1, apply=True)
    assert f"layouts/{first}" in trash.read(store).waiting
    docs.tag("v1", first)
    assert f"layouts/{first}" not in trash.read(store).waiting
    collect(docs, keep_last=1)
    assert texts_of(docs, "v1") == known[first]


def test_gc_finishes_the_deletions_of_a_killed_gc(store: Store) -> None:
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
    assert_versions_hold(docs, known)


def test_gc_deletes_leftovers_and_keeps_foreign_files(store: Store) -> None:
    docs = open_on(store).dataset("d")
    known = dict(history(docs, 3))
    segment = segments_of(docs)[0]
    store.put("notes/mine", b"not vecver's")
    store.put("parts/ab/cd", b"left behind")
    store.put(f"segments/{segment}/hnsw32-sq8", b"an index of old")
    store.put("commits/ab/" + "ab" * 32, b"{}")
    plan = collect(docs)
    assert set(plan.delete) == {"parts/ab/cd", f"segments/{segment}/hnsw32-sq8", "commits/ab/" + "ab" * 32}
    assert store.get("notes/mine") == b"not vecver's"
    assert_versions_hold(docs, known)


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
def test_gc_refuses_an_invalid_retention_or_grace(repository: vecver.Repository, keep: dict[str, Any]) -> None:
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


def test_no_ref_moves_to_a_forgotten_version(store: Store) -> None:
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


def test_a_damaged_waiting_list_stops_ingest_and_gc_until_repaired(store: Store) -> None:
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
    assert_versions_hold(docs, known)
