"""Damage is told, never believed: what lies under a name must belong to it, and a ref that is lost is missed."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from helpers import Ticking, ingest, open_on, vector_of

import vecver
from vecver import repo
from vecver.errors import IntegrityError
from vecver.store import MemoryStore

NOW = timedelta(0)
OLD, NEW = {"a": "one", "b": "two"}, {"a": "one", "b": "changed"}
HANDBOOK, OTHER = "refs/handbook/branches/main", "refs/other/branches/main"


@pytest.fixture(scope="module")
def healthy() -> dict[str, bytes]:
    """Two datasets of one space and one size, with refs of every kind."""
    store = MemoryStore()
    repository = open_on(store, clock=Ticking())
    docs = repository.dataset("handbook")
    ingest(docs, OLD)
    ingest(docs, NEW)
    docs.tag("v1", "main~1")
    docs.promote("prod", "v1")
    other = repository.dataset("other")
    ingest(other, {"x": "uno", "y": "due"})
    other.tag("v1")
    return dict(store._bytes)


def store_of(objects: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    store._bytes = dict(objects)
    return store


def refs_in(objects: dict[str, bytes]) -> list[str]:
    return [name for name in objects if name.startswith("refs/")]


# -- a ref that is gone -----------------------------------------------------------------------------


def test_a_ref_that_is_gone_is_missed_and_gc_deletes_nothing(healthy: dict[str, bytes]) -> None:
    assert len(refs_in(healthy)) == 5
    for path in refs_in(healthy):
        objects = {name: body for name, body in healthy.items() if name != path}
        repository = open_on(store_of(objects), clock=Ticking())
        assert path in {problem.object for problem in repository.check().problems}
        for _ in range(2):
            with pytest.raises(IntegrityError) as caught:
                repository.gc(grace=NOW, apply=True)
            assert (caught.value.code, caught.value.context["name"]) == ("ref_lost", path)
        assert repository._versions.store._bytes == objects  # type: ignore[attr-defined]


def test_all_refs_of_a_dataset_that_are_gone_are_missed(healthy: dict[str, bytes]) -> None:
    objects = {name: body for name, body in healthy.items() if not name.startswith("refs/other/")}
    named = {problem.object for problem in repo.check(store_of(objects)).problems}
    assert {OTHER, "refs/other/tags/v1"} <= named


def test_a_ref_whose_maker_was_cut_off_is_none() -> None:
    """After the move was written, before the ref: clean, no dataset, and gc takes what was left."""
    store = MemoryStore()
    docs = open_on(store).dataset("d")
    swap = store.swap

    def cut(name: str, expected: bytes | None, new: bytes) -> None:
        if name.startswith("refs/") and expected is not None:
            raise KeyboardInterrupt
        swap(name, expected, new)

    store.swap = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        ingest(docs, OLD)
    store.swap = swap  # type: ignore[method-assign]
    repository = open_on(store, clock=Ticking())
    assert list(store.list("moves/")) and repository.check().clean and repository.datasets() == []
    for _ in range(2):
        repository.gc(grace=NOW, apply=True)
    assert not list(store.list("moves/")) and not list(store.list("segments/"))
    ingest(repository.dataset("d"), NEW)
    assert repository.check().clean and repository.datasets() == ["d"]


# -- under another's name ---------------------------------------------------------------------------


def test_refs_that_were_swapped_are_not_believed(healthy: dict[str, bytes]) -> None:
    """Whichever two: of one dataset or of two, of one kind or of two."""
    for one, other in permutations(refs_in(healthy), 2):
        repository = open_on(store_of({**healthy, one: healthy[other], other: healthy[one]}))
        _, dataset, _, name = one.split("/")
        docs = repository.dataset(dataset)
        for verb in (docs.resolve, docs.show, lambda at, docs=docs: docs.search(vector_of("one"), at=at)):
            with pytest.raises(IntegrityError) as caught:
                verb(name)
            assert caught.value.code == "wrong_ref"
        with pytest.raises(IntegrityError):
            repository.gc(apply=True)


def test_a_ref_that_names_another_commit_than_its_move_is_not_believed(healthy: dict[str, bytes]) -> None:
    first = open_on(store_of(healthy)).dataset("handbook").resolve("v1")
    last = open_on(store_of(healthy)).dataset("handbook").resolve("main")
    body = healthy[HANDBOOK].replace(last.encode(), first.encode())
    assert body != healthy[HANDBOOK]
    with pytest.raises(IntegrityError):
        open_on(store_of({**healthy, HANDBOOK: body})).dataset("handbook").resolve("main")


@pytest.mark.parametrize("folder", ["commits/", "layouts/", "moves/", "segments/"])
def test_objects_that_were_swapped_are_not_believed(healthy: dict[str, bytes], folder: str) -> None:
    names = [name for name in healthy if name.startswith(folder) and (folder != "segments/" or ".json" in name)]
    for one, other in permutations(names, 2):
        repository = open_on(store_of({**healthy, one: healthy[other], other: healthy[one]}))
        told = []
        for dataset, at in (("handbook", "main"), ("handbook", "v1"), ("handbook", "prod"), ("other", "main")):
            docs = repository.dataset(dataset)
            try:
                answer = docs.search(vector_of("one"), at=at)
            except IntegrityError as error:
                told.append(error)
            else:
                clean = open_on(store_of(healthy)).dataset(dataset).search(vector_of("one"), at=at)
                assert answer.receipt["hits"] == clean.receipt["hits"]
        assert told or folder == "moves/", (one, other)
        assert not repository.check().clean


def test_what_a_forgotten_version_says_is_its_own(healthy: dict[str, bytes]) -> None:
    store = store_of(healthy)
    repository = open_on(store, clock=Ticking())
    docs = repository.dataset("handbook")
    store.put("forgotten/" + docs.resolve("main"), vecver.repo.objects.sealed({"commit": "0" * 64, "time": "2026"}))
    store.delete("layouts/" + docs.resolve("main"))
    with pytest.raises(IntegrityError):
        docs.search(vector_of("one"))
    assert not repository.check().clean
