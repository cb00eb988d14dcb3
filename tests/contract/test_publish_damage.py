"""Publications that another client changed or dropped are found, and what Milvus cannot hold is refused."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import DIM, best, ingest, records
from milvus_datasets import QUERIES, TEXTS, answers_like_here, opened, pairs, stored
from milvus_server import client_of

import vecver
from vecver.errors import IntegrityError, InvalidInputError
from vecver.store import MemoryStore


@pytest.fixture
def docs(milvus: str) -> vecver.Dataset:
    return opened(MemoryStore(), milvus).dataset("d")


# -- damage --------------------------------------------------------------------------------------


def test_a_dropped_collection_is_reported_and_restored(docs: vecver.Dataset, milvus: str) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    ingest(docs, {**TEXTS, "more": "than before"})
    publication = docs.publish()
    client = client_of(milvus)
    client.drop_collection(publication.collection)
    assert [problem.object for problem in docs.repository.check(milvus=milvus).problems] == [publication.collection]
    for attempt in (lambda: docs.search(QUERIES[0], engine="milvus"), docs.publish):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert "docs.republish()" in caught.value.hint
    assert docs.repository.check().clean
    assert [one.commit for one in docs.republish()] == [first.commit, docs.resolve()]
    for at in (first, "main"):
        answers_like_here(docs, at)
    assert stored(docs, milvus) == 41
    client.close()


@pytest.mark.parametrize("damage", ["deleted", "vector", "text", "metadata", "added", "died", "foreign"])
def test_changes_made_by_another_client_are_found(docs: vecver.Dataset, milvus: str, damage: str) -> None:
    ingest(docs, TEXTS)
    docs.publish()
    ingest(docs, {**TEXTS, "more": "than before"})
    name = docs.publish().collection
    client = client_of(milvus)
    (row,) = client.query(name, filter="document == 'doc-3'", output_fields=["*"], consistency_level="Strong")
    changed: dict[str, Any] = {
        "vector": {"vector": [0.5] * DIM},
        "text": {"text": "the text number 4"},
        "metadata": {"metadata": {"year": 1}},
        "added": {"id": "f" * 32},
        "died": {"died": 2},
        "foreign": {"id": "a row of somebody else"},
    }
    if damage == "deleted":
        client.delete(name, filter="document == 'doc-3'")
    else:
        client.upsert(name, [{**row, **changed[damage]}])
    client.flush(name)
    problems = docs.repository.check(milvus=milvus).problems
    assert problems and {problem.object for problem in problems} == {name}
    assert docs.repository.check().clean
    if damage in ("deleted", "added", "foreign"):  # the next publish counts the rows
        ingest(docs, {**TEXTS, "doc-5": "changed"})
        with pytest.raises(IntegrityError):
            docs.publish()
    docs.republish()
    assert docs.repository.check(milvus=milvus).clean
    client.close()


def test_rows_of_another_version_are_never_answered(docs: vecver.Dataset, milvus: str) -> None:
    ingest(docs, TEXTS)
    name = docs.publish().collection
    client = client_of(milvus)
    (row,) = client.query(name, filter="document == 'doc-3'", output_fields=["*"], consistency_level="Strong")
    client.upsert(name, [{**row, "id": "0" * 32, "vector": [100.0] * DIM}])
    client.flush(name)
    with pytest.raises(IntegrityError) as caught:
        docs.search([1.0] * DIM, engine="milvus")
    assert caught.value.code == "publication_damaged"
    client.close()


def test_metadata_that_milvus_cannot_hold(docs: vecver.Dataset, milvus: str) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    rows = records(TEXTS)
    rows[20]["note"] = "x" * 70000
    docs.ingest(rows, space="test", metric="ip")
    with pytest.raises(InvalidInputError) as caught:
        docs.publish()
    assert caught.value.code == "milvus_limit" and "note" in caught.value.message and caught.value.hint
    answers_like_here(docs, first)
    docs.rollback("main", first)
    assert docs.publish().written == 0 and stored(docs, milvus) == 40, "what was half there is gone"


def test_nested_and_mixed_metadata_come_back(docs: vecver.Dataset, milvus: str) -> None:
    rows = records({"a": "1", "b": "2", "c": "3"})
    rows[0] |= {"m": 1, "deep": {"x": [1, {"y": None}], "ü\"'\\": "\n\0"}, "big": 2**62, "float": 1e300}
    rows[1] |= {"m": "1", "list": ["a", "b"], "empty": [], "zero": -0.0}
    rows[2] |= {"m": True, "mixed": [1, "a", None]}
    docs.ingest(rows, space="test", metric="ip")
    docs.publish()
    stored(docs, milvus)
    assert [hit.metadata for hit in docs.search(QUERIES[0], engine="milvus")] == [
        hit.metadata for hit in docs.search(QUERIES[0])
    ]


def test_long_names_and_long_texts(docs: vecver.Dataset, milvus: str) -> None:
    texts = {"ä/ö" * 100: "one", "x" * 300: "two", "a'b\"c\\d": "three"}
    ingest(docs, texts)
    docs.publish()
    assert pairs(docs.search(QUERIES[0], engine="milvus")) == best(texts, QUERIES[0], 3)
    ingest(docs, {**texts, "long": "ü" * 40000})
    with pytest.raises(InvalidInputError) as caught:
        docs.publish()
    assert "80000 bytes" in caught.value.message and "long" in caught.value.message


def test_more_dimensions_than_milvus_has(docs: vecver.Dataset) -> None:
    docs.ingest([{"id": "a", "text": "b", "vector": [1.0] * 40000}], space="s", metric="ip")
    with pytest.raises(InvalidInputError) as caught:
        docs.publish()
    assert caught.value.code == "milvus_limit" and "40000" in caught.value.message
    assert docs.repository.check().clean
