"""What the verbs of a repository ask of a bucket: exact numbers of requests, so that none comes back unseen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory
from helpers import SPACE, open_on, records, vector_of

import vecver
from vecver.store import MemoryStore

QUERY = vector_of("question")


class World:
    """A dataset in a bucket: 20 documents, the tag `v1`, the alias `prod`."""

    def __init__(self, cache: Path) -> None:
        memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
        self.cache, self.bucket = cache, Watched(memory())
        self.docs = self.opened()
        self.commit({f"d{i}": f"text {i}" for i in range(20)})
        self.docs.tag("v1")
        self.docs.promote("prod", "v1")

    def opened(self, cache: Path | None = None) -> vecver.Dataset:
        """As another process opens it."""
        return open_on(bucket_in_memory(cache or self.cache, self.bucket)).dataset("d")

    def commit(self, texts: dict[str, str]) -> None:
        self.docs.ingest(records(texts), space=SPACE, metric="ip", keep_missing=True)

    def asked(self, call: Callable[[], Any]) -> dict[str, int]:
        """The requests of a call, with those that release its locks."""
        self._all_released()
        self.bucket.asked.clear()
        call()
        self._all_released()
        return dict(Counter(kind for kind, _ in self.bucket.asked))

    def _all_released(self) -> None:
        """Releasing a lock is not waited for."""
        end = time.monotonic() + 20
        while held := self._held():
            assert time.monotonic() < end, held
            time.sleep(0.001)

    def _held(self) -> set[str]:
        held = set[str]()
        for kind, name in list(self.bucket.asked):
            if name.startswith("locks/"):
                held.add(name) if kind == "put" else held.discard(name)
        return held


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cache")


def test_a_warm_search_reads_the_refs_of_its_name_and_nothing_else(world: World) -> None:
    world.docs.search(QUERY, at="prod")
    assert world.asked(lambda: world.docs.search(QUERY, at="prod")) == {"get": 4}
    assert sorted(name for _, name in world.bucket.asked) == [
        *("names", "refs/d/aliases/prod", "refs/d/branches/prod", "refs/d/tags/prod"),
    ]


def test_a_search_of_another_process_takes_the_rest_from_the_cache(world: World) -> None:
    world.docs.search(QUERY, at="prod")
    other = world.opened()
    assert world.asked(lambda: other.search(QUERY, at="prod")) == {"get": 5}  # and where the rows lie now


def test_a_search_through_an_empty_cache_fetches_each_file_once(world: World, tmp_path: Path) -> None:
    other = world.opened(tmp_path / "other")
    assert world.asked(lambda: other.search(QUERY, at="prod")) == {"get": 12}  # the move, the commit, five files


@pytest.mark.parametrize(
    ("verb", "requests"),
    [
        (lambda docs: docs.promote("prod", "main"), {"get": 9, "put": 4, "head": 1, "delete": 2}),
        (lambda docs: docs.promote("next", "main"), {"get": 11, "put": 5, "head": 1, "delete": 2}),
        (lambda docs: docs.tag("v2"), {"get": 11, "put": 5, "head": 1, "delete": 2}),
        (lambda docs: docs.branch("side"), {"get": 11, "put": 5, "head": 1, "delete": 2}),
    ],
)
def test_a_ref_is_moved_by_so_many_requests(world: World, verb: Any, requests: dict[str, int]) -> None:
    assert world.asked(lambda: verb(world.docs)) == requests


def test_a_commit_asks_for_no_more_in_a_longer_history(world: World) -> None:
    world.commit({"d1": "first"})
    few = world.asked(lambda: world.commit({"d1": "second"}))
    for turn in range(5):
        world.commit({"d2": f"turn {turn}"})
    many = world.asked(lambda: world.commit({"d1": "third"}))
    assert few == {"get": 8, "put": 11, "list": 2, "head": 1, "delete": 2}
    assert many["put"] == few["put"] and many["get"] == few["get"]  # a segment more is looked for with each commit


def test_what_is_in_a_bucket_is_what_is_in_memory(world: World) -> None:
    """The same calls on another store: the same content, the same answers."""
    docs = open_on(MemoryStore()).dataset("d")
    docs.ingest(records({f"d{i}": f"text {i}" for i in range(20)}), space=SPACE, metric="ip")
    assert docs.show().content_root == world.docs.show("prod").content_root
    ours, theirs = world.docs.search(QUERY, at="prod", k=5), docs.search(QUERY, k=5)
    assert [(hit.key, hit.score) for hit in ours] == [(hit.key, hit.score) for hit in theirs]
