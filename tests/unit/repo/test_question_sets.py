"""Question sets: stored under their digest, named by a swap, kept by gc, proved by check."""

from __future__ import annotations

from datetime import timedelta

import pytest
from helpers import ingest, open_on
from inside import versions_of

import vecver
from vecver.errors import ConflictError, NotFoundError, VecverError
from vecver.store import Store

ONE = [{"query": "one", "documents": ["a"]}]
TWO = [{"query": "two", "documents": ["a"]}]


@pytest.fixture
def docs(store: Store) -> vecver.Dataset:
    docs = open_on(store).dataset("handbook")
    ingest(docs, {"a": "one", "b": "two"})
    return docs


def collect(docs: vecver.Dataset) -> None:
    for _ in range(3):
        docs.repository.gc(apply=True, grace=timedelta(0))


def test_sets_are_added_listed_read_and_removed(docs: vecver.Dataset) -> None:
    assert docs.question_sets() == {}
    added = docs.add_questions("support", ONE)
    docs.add_questions("Ärger", TWO)
    assert docs.question_sets() == {"support": added.digest, "Ärger": docs.questions("Ärger").digest}
    assert docs.questions("support") == added
    assert docs.remove_questions("support") == added.digest
    assert list(docs.question_sets()) == ["Ärger"]
    for call in (docs.questions, docs.remove_questions):
        with pytest.raises(NotFoundError) as raised:
            call("support")
        assert raised.value.code == "questions_not_found"
    docs.add_questions("support", ONE)
    assert docs.questions("support") == added


def test_an_equal_set_changes_nothing(docs: vecver.Dataset) -> None:
    docs.add_questions("support", ONE)
    store = versions_of(docs).store
    before = {name: store.get(name) for name in store.list("questions/")}
    docs.add_questions("support", ONE)
    assert {name: store.get(name) for name in store.list("questions/")} == before


def test_gc_keeps_sets_also_those_that_were_replaced_or_removed(docs: vecver.Dataset) -> None:
    old = docs.add_questions("support", ONE).digest
    docs.add_questions("support", TWO)
    docs.add_questions("gone", ONE)
    docs.remove_questions("gone")
    collect(docs)
    store = versions_of(docs).store
    assert store.size(f"question-sets/{old}") and docs.questions("support").questions[0].query == "two"
    assert docs.repository.check().clean


def test_gc_deletes_what_no_name_ever_meant_and_the_sets_of_a_deleted_dataset(docs: vecver.Dataset) -> None:
    store = versions_of(docs).store
    docs.add_questions("support", ONE)
    store.put("question-sets/" + "0" * 64, b"{}")  # its writer was cut off
    collect(docs)
    assert len(list(store.list("question-sets/"))) == 1
    docs.repository.delete_dataset("handbook", apply=True)
    collect(docs)
    assert not list(store.list("question-sets/")) and not list(store.list("questions/"))


def test_a_renamed_dataset_keeps_its_sets_and_a_new_one_of_its_name_has_none(docs: vecver.Dataset) -> None:
    docs.add_questions("support", ONE)
    manual = docs.repository.rename_dataset("handbook", "manual")
    assert list(manual.question_sets()) == ["support"]
    ingest(docs, {"a": "one"})
    assert docs.question_sets() == {}


def test_a_writer_that_was_overtaken_is_told(docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    store = versions_of(docs).store
    swap = type(store).swap

    def overtaken(self: Store, name: str, expected: bytes | None, new: bytes) -> None:
        if name.startswith("questions/"):
            monkeypatch.undo()
            docs.add_questions("support", TWO)
        swap(self, name, expected, new)

    monkeypatch.setattr(type(store), "swap", overtaken)
    with pytest.raises(ConflictError) as raised:
        docs.add_questions("support", ONE)
    assert raised.value.code == "entries_moved"
    assert docs.questions("support").questions[0].query == "two"


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"0" * 64 + b"\n{}"])
def test_damage_is_an_error_and_check_names_it(docs: vecver.Dataset, damage: bytes) -> None:
    docs.add_questions("support", ONE)
    store = versions_of(docs).store
    for name in (*store.list("questions/"), *store.list("question-sets/")):
        sound = store.get(name)
        store.put(name, damage)
        with pytest.raises((VecverError, ValueError)) as raised:
            docs.questions("support")
        assert isinstance(raised.value, VecverError)
        assert name in [problem.object for problem in docs.repository.check().problems]
        store.put(name, sound)
    assert docs.repository.check().clean


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "x" * 101, "f" * 64])
def test_a_bad_name_is_refused(docs: vecver.Dataset, name: str) -> None:
    with pytest.raises(VecverError) as raised:
        docs.add_questions(name, ONE)
    assert raised.value.code == "invalid_name"


def test_an_unknown_dataset_is_refused(docs: vecver.Dataset) -> None:
    other = docs.repository.dataset("handbok")
    for call in (other.question_sets, lambda: other.questions("x"), lambda: other.add_questions("x", ONE)):
        with pytest.raises(NotFoundError) as raised:
            call()
        assert raised.value.code == "dataset_not_found"
