"""Verbs on a bucket that loses replies after it has written: a lost reply looks like a lost race, and must be none."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import verbs
from buckets import Watched, bucket_in_memory
from tallies import Begin, Tally
from verbs import VERBS, Verb, assert_nothing_left, assert_sound, contents, seen

from vecver.errors import BackendError
from vecver.store.object_store import ObjectStore

SHALLOW = ("ingest", "ingest that folds", "promote", "tag", "optimize", "gc with a retention", "rename a dataset")
# Those work in a folder, or look into one:
IN_FOLDERS = ("init", "snapshot", "ingest that folds in the thread")


class Places:
    """A bucket in memory for each place where a verb believes to find a folder."""

    def __init__(self) -> None:
        self.buckets: dict[Path, Watched] = {}

    def store(self, path: Path) -> ObjectStore:
        if path not in self.buckets:
            self.buckets[path] = Watched(_memory())
        (path / "tmp").mkdir(parents=True, exist_ok=True)  # `assert_nothing_left` looks there
        return bucket_in_memory(path / "cache", self.buckets[path])

    def copy(self, source: Path, target: Path) -> Watched:
        """The bucket of `target` with what that of `source` holds."""
        objects = _memory()
        for page in self.buckets[source]._objects.list():
            for meta in page:
                objects.put(meta["path"], self.buckets[source]._objects.get(meta["path"]).bytes())
        self.buckets[target] = Watched(objects)
        return self.buckets[target]


def _memory() -> Any:
    return pytest.importorskip("obstore.store", reason="obstore is not installed").MemoryStore()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    """Every repository of a verb lies in a bucket."""
    places = Places()
    monkeypatch.setattr(verbs, "LocalStore", places.store)
    return places


def try_losses(verb: Verb, place: Path, places: Places, line: Tally, how_many: int) -> None:
    """Do a verb, and lose the reply of one write after the other."""
    made = place / "made"
    verb.before(made)
    before = contents(seen(made))
    whole = place / "whole"
    whole_bucket = places.copy(made / "kb", whole / "kb")
    verb.act(whole)
    after, writes = contents(seen(whole)), whole_bucket.count["put"]
    for number in sorted(random.Random(writes).sample(range(writes), min(how_many, writes))):
        left = place / f"left-{number}"
        bucket = places.copy(made / "kb", left / "kb")
        line.attempt(f"{line.what}: write {number}", lambda: _lose(verb, left, bucket, number, before, after))  # noqa: B023


def _lose(verb: Verb, place: Path, bucket: Watched, number: int, before: Any, after: Any) -> None:
    """A write that was repeated and refused counts as done; one that fails altogether leaves the old or the new."""

    def lose(kind: str, name: str) -> None:
        bucket.losing = int(kind == "put" and bucket.count["put"] == number)

    bucket.before = lose
    try:
        verb.act(place)
    except BackendError as error:
        assert error.code == "store_failed" and error.retryable, error
        bucket.before, bucket.losing = (lambda kind, name: None), 0
        assert contents(seen(place)) in (before, after)
        assert_sound(place)
        if contents(seen(place)) != after or verb.again:
            verb.act(place)
    bucket.before, bucket.losing = (lambda kind, name: None), 0
    assert contents(seen(place)) == after
    assert_nothing_left(place)
    assert contents(seen(place)) == after


@pytest.mark.parametrize("name", SHALLOW)
def test_some_replies_are_lost(name: str, places: Places, place: Path, tally: Begin) -> None:
    try_losses(VERBS[name], place, places, tally(f"{name}, replies lost"), 3)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in VERBS if name not in IN_FOLDERS])
def test_every_reply_is_lost(name: str, places: Places, place: Path, tally: Begin) -> None:
    try_losses(VERBS[name], place, places, tally(f"{name}, replies lost"), 10**6)
