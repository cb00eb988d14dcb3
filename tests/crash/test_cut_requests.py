"""Verbs on a bucket, cut off at any request: what was sent at once may be there in part, whichever part that is."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory
from helpers import ingest, open_on, texts_of

import vecver
from vecver.store import leases

OLD, NEW = {"a": "one", "b": "two"}, {"a": "one", "b": "changed", "c": "three"}
VERBS: dict[str, Callable[[vecver.Dataset], Any]] = {
    "commit": lambda docs: ingest(docs, NEW),
    "first commit": lambda docs: ingest(docs.repository.dataset("e"), NEW),
    "promote": lambda docs: docs.promote("prod", "main"),
    "promote a new alias": lambda docs: docs.promote("beta", "main"),
    "tag": lambda docs: docs.tag("v2", "main"),
    "branch": lambda docs: docs.branch("next", "main"),
    "roll a branch back": lambda docs: docs.rollback("main"),
    "delete a tag": lambda docs: docs.delete_tag("v1"),
}


class Killed(BaseException):
    """Derived from BaseException, so that no `except Exception` catches it."""


class Cut:
    """A bucket that takes so many requests, and none afterwards; `seed`: in which order those go that are sent at once.

    Of requests that are sent at once any may be the last: each waits for a random while.
    """

    def __init__(self, objects: Any, after: int | None, seed: int) -> None:
        self.bucket, self.left = Watched(objects), after
        self._random = random.Random(seed)
        self.bucket.before = self._count

    def _count(self, kind: str, name: str) -> None:
        leases.time.sleep(self._random.uniform(0, 0.002))
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


def memory() -> Any:
    return pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore()


def copied(objects: Any) -> Any:
    copy = memory()
    for page in objects.list():
        for meta in page:
            copy.put(meta["path"], objects.get(meta["path"]).bytes())
    return copy


def made() -> Any:
    """A bucket with two versions, a tag and an alias."""
    objects = memory()
    docs = open_on(bucket_in_memory(None, objects)).dataset("d")
    ingest(docs, {"a": "first"})
    docs.tag("v1")
    ingest(docs, OLD)
    docs.promote("prod", "v1")
    return objects


def state(objects: Any) -> Any:
    """What the refs name, and the texts there."""
    repository = open_on(bucket_in_memory(None, objects))
    return {
        name: (docs.tags(), docs.aliases(), {branch: texts_of(docs, branch) for branch in docs.branches()})
        for name in repository.datasets()
        for docs in [repository.dataset(name)]
    }


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_is_cut_off_leaves_the_old_or_the_new(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start, verb = made(), VERBS[name]
    before, whole = state(start), Cut(copied(start), None, 0)
    verb(open_on(bucket_in_memory(None, whole.bucket)).dataset("d"))
    after, requests = state(whole.bucket._objects), len(whole.bucket.asked)
    assert before != after
    numbers = random.Random(name).sample(range(requests), 6)
    real, ahead = leases._now, [0.0]
    monkeypatch.setattr(leases, "_now", lambda: real() + ahead[0])
    for number in numbers:
        cut = Cut(copied(start), number, number)
        with suppress(Killed):  # nobody waits for what lets a lock go
            verb(open_on(bucket_in_memory(None, cut.bucket)).dataset("d"))
            assert state(cut.bucket._objects) == after
        left = cut.bucket._objects
        assert state(left) in (before, after), number
        store = bucket_in_memory(None, left)
        assert store._leases._ahead is not None  # it knows the store's time from now on
        ahead[0] += 60  # the locks of a killed process pass on
        repository = open_on(store)
        assert repository.check().problems == (), number
        for _ in range(2):
            repository.gc(grace=timedelta(0), apply=True)
        assert repository.check().problems == (), number
        if state(left) == before:
            verb(open_on(store).dataset("d"))
        assert state(left) in (before, after), number
