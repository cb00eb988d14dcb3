"""Whole datasets: renamed and deleted in one step, whatever name is used again."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import ingest, open_on, texts_of, vector_of

import vecver
from vecver.cli import main
from vecver.errors import ConflictError, InvalidInputError, NotFoundError
from vecver.repo.refs import names
from vecver.store import MemoryStore, Store

OLD = {"a": "one", "b": "two"}


@pytest.fixture
def repository(store: Store) -> vecver.Repository:
    repository = open_on(store)
    docs = repository.dataset("handbook")
    ingest(docs, OLD)
    docs.tag("v1")
    ingest(docs, {**OLD, "c": "three"})
    docs.promote("prod")
    return repository


def test_a_renamed_dataset_is_the_same(repository: vecver.Repository) -> None:
    old = repository.dataset("handbook")
    before = ([commit.id for commit in old.log()], old.tags(), old.aliases(), old.branches())
    receipt = old.search(vector_of("one"), at="prod").receipt
    docs = repository.rename_dataset("handbook", "manual")
    assert repository.datasets() == ["manual"]
    assert ([commit.id for commit in docs.log()], docs.tags(), docs.aliases(), docs.branches()) == before
    assert docs.search(vector_of("one"), at="v1").dataset == "manual"
    assert repository.replay(receipt).identical and not repository.replay(receipt).notes
    assert repository.dataset_of(receipt) == "manual"
    with pytest.raises(NotFoundError) as raised:
        old.resolve()
    assert raised.value.code == "dataset_not_found"
    docs.upsert([{"id": "d", "text": "four", "vector": vector_of("four")}])
    assert docs.delete("a").dataset == "manual" and sorted(texts_of(docs)) == ["b", "c", "d"]
    docs.rollback("prod", "v1")
    docs.tag("v2")
    assert repository.replay(docs.search(vector_of("four")).receipt).identical
    docs.optimize()
    repository.gc(grace=timedelta(0), apply=True)
    repository.gc(grace=timedelta(0), apply=True)
    assert texts_of(docs, "v1") == OLD and repository.check().clean
    assert repository.rename_dataset("manual", "handbook").documents() == ["b", "c", "d"]


def test_a_name_that_was_given_up_is_used_again(repository: vecver.Repository) -> None:
    receipt = repository.dataset("handbook").search(vector_of("one")).receipt
    first = repository.rename_dataset("handbook", "manual")
    second = repository.dataset("handbook")
    ingest(second, {"z": "another"})
    second.tag("v1")
    assert repository.datasets() == ["handbook", "manual"]
    assert texts_of(second) == {"z": "another"} and sorted(texts_of(first)) == ["a", "b", "c"]
    assert repository.replay(receipt).identical and repository.replay(second.search(vector_of("one")).receipt).identical
    for docs, other in ((first, second), (second, first)):
        with pytest.raises(NotFoundError):  # by its id, too, a version is found in its own dataset alone
            docs.resolve(other.resolve())
    with pytest.raises(ConflictError) as raised:
        repository.rename_dataset("manual", "handbook")
    assert raised.value.code == "dataset_exists"
    repository.rename_dataset("handbook", "third")
    ingest(repository.dataset("handbook"), {"y": "a third"})
    assert repository.datasets() == ["handbook", "manual", "third"] and repository.check().clean


def test_what_cannot_be_renamed(repository: vecver.Repository) -> None:
    for old, new, kind, code in (
        ("nothing", "x", NotFoundError, "dataset_not_found"),
        ("handbook", "handbook", ConflictError, "dataset_exists"),
        ("handbook", "../x", InvalidInputError, "invalid_name"),
        ("handbook", "a~2", InvalidInputError, "invalid_name"),
    ):
        with pytest.raises(kind) as raised:
            repository.rename_dataset(old, new)
        assert raised.value.code == code
    assert repository.datasets() == ["handbook"]


def test_a_plan_says_what_goes_and_changes_nothing(repository: vecver.Repository) -> None:
    plan = repository.delete_dataset("handbook")
    assert (plan.versions, plan.branches, plan.tags, plan.aliases) == (2, ("main",), ("v1",), ("prod",))
    assert (plan.documents, plan.chunks, plan.published, plan.applied) == (3, 3, (), False)
    assert plan.bytes > 1000 and type(plan).from_json(plan.to_json()) == plan
    assert repository.datasets() == ["handbook"]
    with pytest.raises(NotFoundError):
        repository.delete_dataset("nothing")


def test_a_deleted_dataset_goes_with_gc(repository: vecver.Repository, store: Store) -> None:
    other = repository.dataset("other")
    ingest(other, OLD)
    docs = repository.dataset("handbook")
    receipt = docs.search(vector_of("one")).receipt
    plan = repository.delete_dataset("handbook", apply=True)
    assert plan.applied and repository.datasets() == ["other"] and docs.tags() == {}
    with pytest.raises(NotFoundError):
        docs.resolve()
    with pytest.raises(NotFoundError) as raised:
        repository.replay(receipt)
    assert raised.value.code == "dataset_deleted" and repository.dataset_of(receipt) is None
    assert repository.check().clean
    waiting = repository.gc(grace=timedelta(0), apply=True)
    assert not waiting.delete and sum(waiting.wait.values()) >= plan.bytes
    assert list(store.list("refs/handbook/"))  # until it has waited
    repository.gc(grace=timedelta(0), apply=True)
    assert not list(store.list("refs/handbook/")) and repository.check().clean
    assert repository.gc(grace=timedelta(0), apply=True).delete == {}
    assert texts_of(other) == OLD
    assert not repository.check(repair=True).repaired


def test_the_name_of_a_deleted_dataset_begins_anew(repository: vecver.Repository) -> None:
    repository.delete_dataset("handbook", apply=True)
    docs = repository.dataset("handbook")
    ingest(docs, {"z": "another"})
    docs.tag("v1")  # the other one's v1 is in nobody's way
    assert next(iter(docs.log())).parents == () and docs.documents() == ["z"]
    repository.gc(grace=timedelta(0), apply=True)
    repository.gc(grace=timedelta(0), apply=True)
    assert repository.check().clean and texts_of(docs) == {"z": "another"}
    repository.delete_dataset("handbook", apply=True)
    assert repository.datasets() == []
    repository.gc(grace=timedelta(0), apply=True)
    repository.gc(grace=timedelta(0), apply=True)
    assert repository.check().clean


def test_a_handle_of_before_does_not_bring_a_deleted_dataset_back(repository: vecver.Repository) -> None:
    docs = repository.dataset("handbook")
    repository.delete_dataset("handbook", apply=True)
    docs.upsert([{"id": "n", "text": "new", "vector": vector_of("new")}], space="test", metric="ip")
    assert docs.documents() == ["n"]  # it is a new dataset of that name


def test_damaged_names_are_told_and_begun_anew(repository: vecver.Repository, store: Store) -> None:
    repository.rename_dataset("handbook", "manual")
    body = store.get(names.NAME)
    store.swap(names.NAME, body, body[:-3] + b"xxx")
    found = repository.check()
    assert [problem.object for problem in found.problems] == ["names"]
    assert [one.object for one in repository.check(repair=True).repaired] == ["names"]
    assert repository.datasets() == ["handbook"] and repository.check().clean


def test_one_name_for_one_dataset_whoever_is_faster(tmp_path: Path) -> None:
    """While datasets begin, others are renamed to the same names: each name means one dataset, and none is lost."""
    place = tmp_path / "kb"
    repository = vecver.open(place, create=True)
    for number in range(4):
        ingest(repository.dataset(f"old{number}"), {"a": f"text {number}"})
    start, refused = threading.Barrier(8), list[str]()

    def work(number: int) -> None:
        here = vecver.open(place)
        start.wait()
        try:
            if number < 4:
                here.rename_dataset(f"old{number}", f"new{number}")
            else:
                ingest(here.dataset(f"new{number - 4}"), {"b": f"text {number}"})
        except ConflictError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    there = repository.datasets()
    assert len(there) == len(set(there)) and {f"new{number}" for number in range(4)} <= set(there)
    for name in there:
        assert repository.dataset(name).documents()
    assert repository.check().clean


def test_names_by_hand() -> None:
    store = MemoryStore()
    assert names.read(store).key("a") == "a" and names.read(store).name_of("a") == "a"
    names.change(store, "a", "b", author="", time="now")
    found = names.read(store)
    assert (found.key("b"), found.key("a"), found.name_of("a"), found.name_of("a~2")) == ("a", "a~2", "b", "a")
    names.change(store, "a", None, author="", time="now")
    found = names.read(store)
    assert (found.key("b"), found.key("a"), found.name_of("a"), found.deleted) == ("b", "a~2", None, {"a"})


def test_messages_use_the_name_that_a_dataset_has_now(tmp_path: Path) -> None:
    repository = vecver.open(tmp_path / "kb", create=True)
    repository.dataset("old").upsert(["One."], embedder="hashing")
    docs = repository.rename_dataset("old", "new")
    for call in (lambda: docs.get("nope"), lambda: docs.chunk("0" * 32), lambda: docs.publication()):
        with pytest.raises(vecver.VecverError) as error:
            call()
        told = f"{error.value} {error.value.hint} {getattr(error.value.hint, 'cli', '')}"
        assert "new" in told and "old" not in told, told
    shown = CliRunner().invoke(main, ["--repo", str(tmp_path / "kb"), "show", "new"])
    assert shown.output.startswith("new  "), shown.output
