"""Publications beside other work: refs that publish by themselves, gc, optimize, copies and unpublishing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ingest, records
from inside import contents_of, session_of, store_of, versions_of
from milvus_datasets import QUERIES, TEXTS, answers_like_here, opened, stored
from milvus_server import client_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotPublishedError, VecverError
from vecver.flows.publishing import publisher as room
from vecver.store import LocalStore, MemoryStore


@pytest.fixture
def docs(milvus: str) -> vecver.Dataset:
    return opened(MemoryStore(), milvus).dataset("d")


# -- others --------------------------------------------------------------------------------------


def test_one_publisher_at_a_time(docs: vecver.Dataset, milvus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repo.ledger, "WAIT_SECONDS", 0.05)
    ingest(docs, TEXTS)
    with session_of(docs).milvus.publisher("d").book.alone():
        for attempt in (docs.publish, docs.republish, docs.unpublish_unnamed):
            with pytest.raises(ConflictError) as caught:
                attempt()
            assert caught.value.code == "locked" and caught.value.hint
    assert docs.publish().written == 40


def test_gc_keeps_what_is_published(milvus: str, tmp_path: Path) -> None:
    docs = opened(LocalStore(tmp_path / "kb"), milvus).dataset("d")
    first = ingest(docs, TEXTS)
    docs.publish()
    second = ingest(docs, {"b": "2"})
    ingest(docs, {"c": "3"})
    for _ in range(2):
        docs.repository.gc(keep_last=1, grace=repo.GRACE * 0, apply=True)
    again = opened(LocalStore(tmp_path / "kb"), milvus).dataset("d")
    answers_like_here(again, first)
    with pytest.raises(VecverError):
        again.search(QUERIES[0], at=second)
    again.unpublish(first)
    for _ in range(2):
        again.repository.gc(keep_last=1, grace=repo.GRACE * 0, apply=True)
    with pytest.raises(VecverError):
        opened(LocalStore(tmp_path / "kb"), milvus).dataset("d").search(QUERIES[0], at=first)


def test_branches_and_aliases_publish_by_themselves(milvus: str) -> None:
    docs = opened(MemoryStore(), milvus, publish=("main", "prod")).dataset("d")
    report = ingest(docs, TEXTS)
    assert report.notes == () and docs.publication().chunks == 40
    docs.branch("try")
    ingest(docs, {"a": "1"}, branch="try")
    with pytest.raises(NotPublishedError):
        docs.publication("try")
    docs.promote("other", "try")
    docs.promote("prod", "try")
    assert docs.publication("prod").chunks == 1
    ingest(docs, {**TEXTS, "a": "1"})
    answers_like_here(docs, "main")


def test_optimize_changes_no_publication(milvus: str, tmp_path: Path) -> None:
    docs = opened(LocalStore(tmp_path / "kb"), milvus).dataset("d")
    commits = []
    for step in range(4):
        commits.append(ingest(docs, {**TEXTS, "own": f"of step {step}", f"doc-{step}": "changed"}))
        docs.publish()
    docs.optimize()
    again = opened(LocalStore(tmp_path / "kb"), milvus).dataset("d")
    for commit in commits:
        answers_like_here(again, commit)
    ingest(again, {**TEXTS, "own": "after"})
    assert again.publish().written <= 8
    stored(again, milvus)


# -- found by a review ---------------------------------------------------------------------------


def test_a_copied_repository_does_not_overwrite_the_publications_of_the_original(milvus: str) -> None:
    publication = opened(MemoryStore(), milvus).dataset("d")
    first = ingest(publication, TEXTS)
    publication.publish()
    other = opened(store_of(contents_of(versions_of(publication).store)), milvus).dataset("d")
    second = ingest(publication, {**TEXTS, "ours": "a text of ours"})
    publication.publish()
    ingest(other, {**TEXTS, "theirs": "a text of theirs", "doc-1": "changed"})
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            other.publish()
        assert "copied" in caught.value.message
    for at in (first, second):
        answers_like_here(publication, at)
    answers_like_here(other, first)
    assert other.republish() and publication.repository.check().clean


def test_an_alias_of_milvus_stands_at_its_last_publication(docs: vecver.Dataset, milvus: str) -> None:
    ingest(docs, TEXTS)
    docs.tag("v1")
    docs.promote("prod")
    old = docs.publish("prod", dedicated=True)
    both = docs.publish("v1", dedicated=True)
    assert both.collection == old.collection and both.written == 0 and both.alias.startswith("d_v1_")
    ingest(docs, {"only": "one"})
    docs.promote("prod")
    new = docs.publish("prod", dedicated=True)
    assert docs.publication("v1").alias == both.alias and docs.publication("prod").alias == new.alias
    docs.rollback("prod")
    docs.publish("prod", dedicated=True)
    assert docs.publication("main").alias == "" and docs.publication("main").filter == ""
    docs.republish()
    client = client_of(milvus)
    for alias in (old.alias, both.alias):
        (count,) = client.query(alias, filter="", output_fields=["count(*)"], consistency_level="Strong")
        assert count["count(*)"] == 40
    client.close()


def test_a_search_never_answers_from_a_version_unpublished_meanwhile(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    ingest(docs, {"only": "one"})
    docs.publish()
    connection = session_of(docs).milvus.open("d").connection
    propose = connection.propose
    verbs: list[Callable[[], Any]] = [docs.republish, lambda: docs.unpublish(first)]

    def late(*what: Any) -> Any:
        if verbs:
            verbs.pop(0)()
        return propose(*what)

    monkeypatch.setattr(connection, "propose", late)
    monkeypatch.setattr(session_of(docs).milvus, "_connection", lambda milvus: connection)
    with pytest.raises(NotPublishedError):
        docs.search(QUERIES[0], at=first, engine="milvus")
    assert verbs == []
    answers_like_here(docs, "main", k=1)


def test_a_search_gives_up_on_a_version_that_keeps_moving(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(docs, TEXTS)
    docs.publish()
    connection, moves = session_of(docs).milvus.open("d").connection, list[bool]()
    propose = connection.propose

    def moving(*args: Any) -> Any:
        moves.append(True)
        docs.republish()
        return propose(*args)

    monkeypatch.setattr(connection, "propose", moving)
    monkeypatch.setattr(session_of(docs).milvus, "_connection", lambda milvus: connection)
    with pytest.raises(ConflictError, match="moved to another collection") as caught:
        docs.search(QUERIES[0], engine="milvus")
    assert caught.value.code == "publication_moving" and len(moves) == 10


def test_what_float32_cannot_hold_is_not_called_exact(docs: vecver.Dataset) -> None:
    rows = [{"id": f"d{i}", "text": f"t{i}", "vector": [1e19, float(i), 1.0]} for i in range(60)]
    docs.ingest([*rows, {"id": "big", "text": "b", "vector": [3e38, 1.0, 1.0]}], space="s", metric="ip")
    docs.publish()
    query = [3e38, 1.0, -1.0]
    assert docs.search(query, k=3, exact=True, engine="milvus").hits == docs.search(query, k=3, exact=True).hits


def test_a_flat_collection_answers_exactly_by_default(docs: vecver.Dataset) -> None:
    rows = [{"id": f"d{i}", "text": f"t{i}", "vector": [1.0, 0.0] if i % 3 else [0.0, 1.0]} for i in range(300)]
    docs.ingest(rows, space="s", metric="ip")
    docs.publish(flat=True)
    five, six = (docs.search([1.0, 0.5], k=k, engine="milvus").hits for k in (5, 6))
    assert five == six[:5] == docs.search([1.0, 0.5], k=5, exact=True).hits


def test_promote_publishes_the_version_that_it_moves_to(milvus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = opened(MemoryStore(), milvus, publish=("prod",)).dataset("d")
    first, publish = ingest(docs, TEXTS), docs.publish

    def slow(*what: Any, **how: Any) -> vecver.Publication:
        ingest(docs, {"later": "one"})
        return publish(*what, **how)

    monkeypatch.setattr(docs, "publish", slow)
    docs.promote("prod", "main")
    assert docs.resolve("prod") == first.commit and docs.publication("prod").chunks == 40


def test_what_can_be_rolled_back_to_stays_published(docs: vecver.Dataset) -> None:
    first = ingest(docs, TEXTS)
    docs.promote("prod")
    docs.publish()
    middle = ingest(docs, {**TEXTS, "a": "1"})
    docs.publish()
    ingest(docs, {**TEXTS, "b": "2"})
    docs.promote("prod")
    docs.publish()
    assert docs.unpublish_unnamed() == [middle.commit]
    docs.rollback("prod")
    assert docs.resolve("prod") == first.commit
    answers_like_here(docs, "prod")


def test_a_version_that_cannot_be_rebuilt_holds_no_other_up(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecver.index.milvus import limits

    first = ingest(docs, TEXTS)
    docs.publish()
    rows = records(TEXTS)
    rows[20]["note"] = "x" * 500
    middle = docs.ingest(rows, space="test", metric="ip")
    docs.publish()
    last = ingest(docs, {**TEXTS, "last": "one"})
    docs.publish()
    monkeypatch.setattr(limits, "_JSON_BYTES", 400)
    for _ in range(2):
        with pytest.raises(InvalidInputError):
            docs.republish()
        for at in (first, last):
            answers_like_here(docs, at)
    assert docs.unpublish(middle) == [middle.commit]
    assert len(docs.republish()) == 2


def test_a_milvus_that_is_gone_is_forgotten(docs: vecver.Dataset, milvus: str) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    assert docs.forget_publications(to=milvus) == [first.commit]
    with pytest.raises(NotPublishedError):
        docs.publication()
    with pytest.raises(NotPublishedError):
        docs.repository.check(milvus=milvus)
    assert docs.publish().written == 40


def test_a_published_flat_does_not_make_the_next_one_flat(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FLAT_ROWS", 0)
    ingest(docs, TEXTS)
    publication = docs.publish(flat=True)
    ingest(docs, {**TEXTS, "a": "1"})
    two = docs.publish()
    embedded = session_of(docs).milvus.open("d").connection.embedded
    assert (two.index, two.collection == publication.collection) == (("FLAT", True) if embedded else ("HNSW", False))
