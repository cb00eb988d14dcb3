"""Refs of a bucket that searches may know late: how late, by how many requests, and never later than own writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from buckets import Watched, bucket_in_memory
from helpers import ingest, open_on, vector_of

import vecver
from vecver.store import lately as room
from vecver.store.lately import Lately


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that `Lately` sees; tests set it."""
    now = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    yield now


def test_what_was_read_is_known_for_its_age_and_read_again_in_its_second_half(clock: list[float]) -> None:
    bodies, reads = {"a": b"1"}, list[str]()

    def read(name: str) -> bytes | None:
        reads.append(name)
        return bodies.get(name)

    known = Lately(read)
    with ThreadPoolExecutor(1) as workers:
        assert known.find("a", 2.0, workers) is None and not known.has("a", 2.0)
        assert known.read("a") == b"1" and known.read("gone") is None
        bodies["a"] = b"2"
        clock[0] += 0.9
        assert known.find("a", 2.0, workers) == (b"1",) and known.find("gone", 2.0, workers) == (None,)
        assert reads == ["a", "gone"]
        clock[0] += 0.2
        assert known.find("a", 2.0, workers) == (b"1",)
    assert reads == ["a", "gone", "a"] and known.has("a", 0.0)
    with ThreadPoolExecutor(1) as workers:
        assert known.find("a", 2.0, workers) == (b"2",)
        clock[0] += 2.1
        assert known.find("a", 2.0, workers) is None, "too old, whoever waits for it"


def test_a_read_that_a_write_overtook_is_not_kept(clock: list[float]) -> None:
    begun, go = threading.Event(), threading.Event()

    def read(name: str) -> bytes:
        begun.set()
        go.wait(60)
        return b"old"

    known = Lately(read)
    with ThreadPoolExecutor(1) as workers:
        reading = workers.submit(known.read, "a")
        begun.wait(60)
        clock[0] += 0.1
        known.wrote("a")
        go.set()
        assert reading.result() == b"old"
        assert not known.has("a", 60.0)
        clock[0] += 0.1
        known.read("a")
        assert known.has("a", 60.0)


def test_searches_ask_a_bucket_for_no_ref_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """And yet see a move by this process at once, and one by another within the age."""
    first = bucket_in_memory(None)
    objects = first._requests._objects
    watched = Watched(objects)
    ours = vecver.open(bucket_in_memory(None, watched), create=True, author="we", ref_age=1.0, background=False)
    docs = ours.dataset("d")
    ingest(docs, {"a": "one"})
    ingest(docs, {"a": "two"})
    docs.promote("prod", "main~1")
    old, new, query = docs.resolve("main~1"), docs.resolve("main"), vector_of("x")
    asked = lambda: docs.search(query, at="prod", k=1).commit  # noqa: E731
    assert asked() == old
    watched.count.clear()
    assert [asked() for _ in range(20)] == [old] * 20
    assert sum(watched.count.values()) == 0
    docs.promote("prod", new)
    assert asked() == new, "our own move"
    theirs = open_on(bucket_in_memory(None, objects)).dataset("d")
    theirs.promote("prod", old)
    moved = begun = time.monotonic()
    while asked() == new:
        assert begun - moved < 1.0, "a search that began a second after the move did not see it"
        time.sleep(0.01)
        begun = time.monotonic()
