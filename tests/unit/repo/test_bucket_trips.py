"""How often a verb waits for a bucket: round trips in sequence, which no time of this machine enters."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets import Watched, bucket_in_memory
from helpers import ingest, open_on, records

import vecver

_DELAY_S = 0.12  # of each request, so that those that are sent at once overlap
_ATTEMPTS = 5  # a thread that the machine lets wait looks like a request that waited for another


@pytest.fixture
def bucket() -> Watched:
    memory = pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore
    return Watched(memory())


@pytest.fixture
def docs(bucket: Watched, tmp_path: Path) -> vecver.Dataset:
    """A dataset with two versions, opened by a process that has used it before."""
    docs = open_on(bucket_in_memory(tmp_path / "cache", bucket)).dataset("d")
    ingest(docs, {"a": "one", "b": "two"})
    docs.tag("first")
    docs.promote("prod", "first")
    docs.upsert(records({"c": "three"}))
    return docs


def fewest_trips(bucket: Watched, verb: Callable[[int], Any], most: int) -> int:
    """The fewest round trips of several calls; it stops at the first that needs no more than `most`."""
    counts = list[int]()
    for number in range(_ATTEMPTS):
        time.sleep(0.05)  # the locks of the call before are let go meanwhile
        bucket.spans.clear()
        bucket.delay_s = _DELAY_S
        verb(number)
        bucket.delay_s = 0.0
        counts.append(bucket.round_trips())
        if counts[-1] <= most:
            break
    return min(counts)


def test_a_commit_waits_seven_times(bucket: Watched, docs: vecver.Dataset) -> None:
    """Its head; the files of its segment; segment.json and two locks; layout and trash; commit; move; ref."""

    def commit(number: int) -> None:
        docs.upsert(records({f"new-{number}": "text"}))

    assert fewest_trips(bucket, commit, 7) == 7


def test_a_commit_whose_text_is_embedded_waits_once_more(bucket: Watched, tmp_path: Path) -> None:
    """It looks for vectors that were computed before; where the new ones lie is noted beside the commit."""
    docs = open_on(bucket_in_memory(tmp_path / "cache", bucket)).dataset("texts")
    docs.ingest([{"id": "a", "text": "one"}], embedder="hashing")

    def commit(number: int) -> None:
        docs.upsert([{"id": f"new-{number}", "text": f"a text {number}"}])

    assert fewest_trips(bucket, commit, 8) == 8


def test_a_promotion_waits_thrice(bucket: Watched, docs: vecver.Dataset) -> None:
    """What it reads, and its lock; trash, layout and move; the ref."""
    assert fewest_trips(bucket, lambda number: docs.promote("prod", "main" if number % 2 else "first"), 3) == 3


@pytest.mark.parametrize("verb", ["tag", "branch", "promote"])
def test_a_new_ref_waits_four_times(bucket: Watched, docs: vecver.Dataset, verb: str) -> None:
    """What it reads, and its locks; trash, layout, refs of that name and the reserved one; the move; the ref."""
    name = getattr(docs, verb)
    assert fewest_trips(bucket, lambda number: name(f"new-{number}", "main"), 4) == 4
