"""Publishing, on every Milvus at hand: each version is searched as it is, at the cost of what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import DIM, Ticking, best, ingest, open_on, records, vector_of
from milvus_server import client_of

import vecver
from vecver import repo
from vecver.errors import ConflictError, IntegrityError, InvalidInputError, NotPublishedError, VecverError
from vecver.flows.publishing import publish as room
from vecver.store import LocalStore, MemoryStore, Store

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(40)}
QUERIES = [vector_of(f"question {i}") for i in range(6)]


def opened(store: Store, uri: str, **how: Any) -> vecver.Repository:
    """The repository on a store, made if there is none, with this Milvus."""
    return open_on(store, clock=Ticking(), milvus=vecver.Milvus(uri), **how)


@pytest.fixture
def docs(milvus: str) -> vecver.Dataset:
    return opened(MemoryStore(), milvus).dataset("d")


def pairs(answer: vecver.Answer) -> list[tuple[str, float]]:
    return [(hit.document, hit.score) for hit in answer]


def answers_like_here(docs: vecver.Dataset, at: Any, k: int = 10, **how: Any) -> None:
    """Milvus gives the ids and score bits that FAISS and the scan give, exact and not."""
    here = docs.search(QUERIES, at=at, k=k, exact=True, **how)
    for exact in (True, False):
        there = docs.search(QUERIES, at=at, k=k, exact=exact, engine="milvus", **how)
        assert [one.hits for one in there] == [one.hits for one in here]


def stored(docs: vecver.Dataset, uri: str) -> int:
    """The rows that all collections of a dataset have in Milvus, live or dead."""
    check = docs.repository.check(milvus=uri)
    assert check.clean, check.problems
    return check.objects


# -- versions ------------------------------------------------------------------------------------


def test_every_published_version_answers_as_it_did(docs: vecver.Dataset, milvus: str) -> None:
    states, texts, rng, written = [], dict(TEXTS), np.random.default_rng(0), 0
    for step in range(6):
        for id in rng.choice(sorted(texts), 4, replace=False):
            texts.pop(id) if step % 3 else texts.update({id: f"{id} in step {step}"})
        texts[f"new-{step}"] = f"the text of step {step}"
        report = ingest(docs, texts)
        publication = docs.publish(report)
        written += publication.written
        states.append((report.commit or "", dict(texts), publication))
    for commit, state, publication in states:
        for query in QUERIES:
            answer = docs.search(query, at=commit, k=8, engine="milvus")
            assert pairs(answer) == best(state, query, 8) and answer.commit == commit
        answers_like_here(docs, commit)
        assert docs.publication(commit) == vecver.Publication(**{**publication.__dict__, "written": 0})
    assert [publication.ordinal for *_, publication in states] == [1, 2, 3, 4, 5, 6]
    assert len({publication.collection for *_, publication in states}) == 1
    assert stored(docs, milvus) < written < 40 + 6 * 10


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("flat", [False, True])
def test_ids_and_score_bits_are_those_of_the_repository(
    docs: vecver.Dataset, metric: Any, flat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FLAT_ROWS", 0)
    monkeypatch.setattr(room, "SEALED_ROWS", 100)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((300, 24)).astype(np.float32)
    vectors[7] = vectors[8] = vectors[9]  # equal scores stand in the order of their keys
    vectors[10] = 0
    rows = [{"id": f"d{i}", "text": f"t{i}", "vector": vector, "n": i} for i, vector in enumerate(vectors)]
    docs.ingest(rows, space="s", metric=metric)
    index = docs.publish(flat=flat).index
    queries = [*rng.standard_normal((5, 24)).astype(np.float32), vectors[8], vectors[11] * 1000]
    for k in (1, 3, 10, 299, 300, 1000):
        here = docs.search(queries, k=k, exact=True)
        there = docs.search(queries, k=k, exact=True, engine="milvus")
        assert [one.hits for one in there] == [one.hits for one in here]
        if index == "FLAT":
            assert {one.receipt["engine"]["name"] for one in there} == {"milvus"}
            assert all(one.receipt["engine"]["exact"] for one in there)
    one = docs.search(queries[0], k=5, engine="milvus")
    assert vecver.replay(docs.repository, one.receipt).identical


def test_a_publish_costs_what_changed(docs: vecver.Dataset, milvus: str) -> None:
    ingest(docs, TEXTS)
    assert docs.publish().written == 40
    assert docs.publish().written == 0
    ingest(docs, {**TEXTS, "doc-1": "another text", "new": "a new one"})  # 1 gone, 2 new
    assert docs.publish().written == 3
    ingest(docs, TEXTS)
    assert docs.publish().written == 0, "equal content is there already"
    assert docs.publication().ordinal == 1
    assert stored(docs, milvus) == 42


def test_what_a_document_says_of_its_chunks_is_published_with_them(docs: vecver.Dataset, milvus: str) -> None:
    docs.ingest(records(TEXTS, year=2024), space="s", metric="ip")
    docs.publish()
    changed = records(TEXTS, year=2024)
    changed[3]["year"] = 2025
    docs.ingest(changed, space="s", metric="ip")
    assert docs.publish().written == 2
    for at, expected in (("main", ["doc-3"]), ("main~1", [])):
        (answer,) = docs.search([QUERIES[0]], at=at, filter={"year": 2025}, engine="milvus")
        assert [hit.document for hit in answer] == expected
    stored(docs, milvus)


def test_a_vector_that_changes_alone_is_a_change(docs: vecver.Dataset, milvus: str) -> None:
    rows = records(TEXTS)
    docs.ingest(rows, space="s", metric="ip")
    docs.publish()
    rows[5]["vector"] = vector_of("another vector")
    docs.ingest(rows, space="s", metric="ip")
    assert docs.publish().written == 2
    for at in ("main", "main~1"):
        answers_like_here(docs, at)
    stored(docs, milvus)


def test_a_span_that_moves_is_none(docs: vecver.Dataset, tmp_path: Path) -> None:
    source = tmp_path / "manual"  # of its own: an embedded Milvus lies in `tmp_path`
    source.mkdir()
    body = "\n\n".join(f"# Part {i}\n\n" + f"Sentence {i} of the manual. " * 60 for i in range(8))
    (source / "a.md").write_text("# Manual\n\n" + body)
    docs.ingest(source, embedder="hashing")
    docs.publish()
    (source / "a.md").write_text("# Manual\n\n# Preface\n\n" + "A few words before. " * 60 + "\n\n" + body)
    report = docs.ingest(source)
    diff = docs.diff("main~1", report)
    assert docs.publish().written == diff.chunks_added + diff.chunks_removed < 16 < report.chunks["live"]


def test_what_comes_back_lives_again(docs: vecver.Dataset, milvus: str) -> None:
    commits = []
    for step in range(24):  # a key with more lives than one look finds
        texts = dict(TEXTS) if step % 2 else {k: v for k, v in TEXTS.items() if k != "doc-9"}
        texts["step"] = f"step {step}"
        commits.append((ingest(docs, texts).commit or "", texts))
        docs.publish()
    for commit, texts in commits:
        assert pairs(docs.search(QUERIES[0], at=commit, k=50, engine="milvus")) == best(texts, QUERIES[0], 50)
    stored(docs, milvus)


def test_going_back_publishes_nothing(docs: vecver.Dataset) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    docs.promote("prod")
    ingest(docs, {"only": "one"})
    docs.publish()
    docs.promote("prod")
    ledger = dict(docs._versions.store._bytes)  # type: ignore[attr-defined]
    docs.rollback("prod")
    docs.rollback("main")
    assert docs.resolve("prod") == first.commit != docs.resolve("main")
    for at in ("prod", "main"):
        answers_like_here(docs, at)
        assert docs.publish(at).written == 0 and docs.publication(at).ordinal == 1
    after = docs._versions.store._bytes  # type: ignore[attr-defined]
    assert {k: v for k, v in after.items() if k.startswith("publications/")} == {
        k: v for k, v in ledger.items() if k.startswith("publications/")
    }


# -- collections ---------------------------------------------------------------------------------


def test_another_space_begins_another_collection(docs: vecver.Dataset, milvus: str) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    other = docs.repository.dataset("e")
    other.ingest([{"id": "x", "text": "y", "vector": [1.0, 2.0]}], space="other", metric="l2")
    assert other.publish().collection != docs.publication(first).collection
    assert pairs(other.search([1.0, 2.0], engine="milvus")) == [("x", 0.0)]
    assert pairs(docs.search(QUERIES[0], at=first, k=40, engine="milvus")) == best(TEXTS, QUERIES[0], 40)


def test_a_collection_that_would_be_mostly_dead_grows_no_more(
    docs: vecver.Dataset, milvus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FEW_DEAD", 0)
    first = ingest(docs, TEXTS)
    one = docs.publish()
    half = ingest(docs, {f"new-{i}": f"new text {i}" for i in range(30)} | dict(list(TEXTS.items())[:25]))
    two = docs.publish()
    assert (two.collection, two.ordinal) == (one.collection, 2), "55 of 70 rows are live"
    ingest(docs, {f"newer-{i}": f"newer text {i}" for i in range(30)})
    three = docs.publish()
    assert three.collection != one.collection and (three.ordinal, three.written) == (1, 30), "30 of 100 would be"
    for at in (first, half, "main"):
        answers_like_here(docs, at)
    stored(docs, milvus)


def test_a_version_in_a_collection_of_its_own(docs: vecver.Dataset, milvus: str) -> None:
    ingest(docs, TEXTS)
    docs.promote("prod")
    docs.publish()
    own = docs.publish("prod", dedicated=True)
    assert (own.filter, own.written) == ("", 40) and own.alias.startswith("d_prod_") and own.collection != own.alias
    assert docs.publish("prod", dedicated=True).written == 0
    client = client_of(milvus)
    search: Callable[[], Any] = lambda: client.search(  # noqa: E731
        own.alias, [QUERIES[0]], limit=3, output_fields=["document"], consistency_level="Strong"
    )[0]
    assert [hit["entity"]["document"] for hit in search()] == [id for id, _ in best(TEXTS, QUERIES[0], 3)]
    newer = {**TEXTS, best(TEXTS, QUERIES[0], 1)[0][0]: "something else"}
    ingest(docs, newer)
    docs.promote("prod")
    again = docs.publish("prod", dedicated=True)
    assert again.alias == own.alias and again.collection != own.collection and again.written == 40
    assert [hit["entity"]["document"] for hit in search()] == [id for id, _ in best(newer, QUERIES[0], 3)]
    docs.rollback("prod")
    assert docs.publish("prod", dedicated=True).written == 0, "the alias goes back to the collection that is there"
    assert [hit["entity"]["document"] for hit in search()] == [id for id, _ in best(TEXTS, QUERIES[0], 3)]
    answers_like_here(docs, "prod")
    answers_like_here(docs, "main")
    client.close()


def test_unpublish_takes_the_rows_that_only_it_had(docs: vecver.Dataset, milvus: str) -> None:
    commits, texts = [], dict(TEXTS)
    for step in range(5):
        texts[f"only-{step}"] = f"step {step}"
        texts.pop(f"only-{step - 1}", None)
        commits.append(ingest(docs, texts).commit or "")
        docs.publish()
    assert stored(docs, milvus) == 45
    assert docs.unpublish(commits[1]) == [commits[1]]
    assert docs.unpublish(commits[2]) == [commits[2]]
    assert docs.unpublish(commits[0]) == [commits[0]]
    assert stored(docs, milvus) == 42
    for commit in commits[:3]:
        with pytest.raises(NotPublishedError) as caught:
            docs.search(QUERIES[0], at=commit, engine="milvus")
        assert caught.value.code == "not_published" and "docs.publish(" in caught.value.hint
    with pytest.raises(NotPublishedError):
        docs.unpublish(commits[0])
    for commit in commits[3:]:
        answers_like_here(docs, commit)
    docs.unpublish(commits[4])  # the newest: what stays is not built upon
    assert stored(docs, milvus) == 41
    answers_like_here(docs, commits[3])
    for commit in commits:
        docs.publish(commit)
        answers_like_here(docs, commit)
    docs.tag("kept", commits[2])
    gone = docs.unpublish_unnamed()
    assert {*gone, commits[2], commits[4]} == {*commits}
    assert docs.unpublish("kept") and docs.unpublish("main")
    assert client_of(milvus).list_collections() == []


def test_two_datasets_and_two_repositories_share_a_milvus(milvus: str) -> None:
    handles = [opened(MemoryStore(), milvus).dataset(name) for name in ("d", "d", "größe.v-1", "größe_v_1")]
    for number, docs in enumerate(handles):
        ingest(docs, {**TEXTS, "own": f"of number {number}"})
        docs.publish()
    assert len({docs.publication().collection for docs in handles}) == 4
    for number, docs in enumerate(handles):
        expected = best({**TEXTS, "own": f"of number {number}"}, QUERIES[1], 41)
        assert pairs(docs.search(QUERIES[1], k=41, engine="milvus")) == expected


# -- searching -----------------------------------------------------------------------------------


def test_filters_are_those_of_the_repository(docs: vecver.Dataset) -> None:
    rows = records(TEXTS)
    for i, row in enumerate(rows):
        row |= {"year": 2000 + i, "lang": "en" if i % 3 else "de", "tags": ["a", f"t{i % 4}"]}
        row |= {"odd name'\"": i % 2 == 0, "mixed": i if i % 2 else str(i), "deep": {"x": [i, None]}}
    docs.ingest(rows, space="s", metric="ip")
    docs.publish()
    for filter in (
        {"year": {"$gte": 2010, "$lt": 2020}},
        {"lang": "de"},
        {"tags": "t2"},
        {"tags": {"$nin": ["t1", "t2"]}},
        {"odd name'\"": True},
        {"mixed": {"$in": [3, "4", 5.0]}},
        {"mixed": {"$ne": 3}},
        {"deep": {"$exists": True}, "year": {"$lt": 2003}},
        {"$or": [{"year": 2001}, {"lang": "de", "year": {"$gt": 2035}}]},
        {"year": 1},
        {"year": {"$exists": False}},
    ):
        for k in (1, 3, 40):
            answers_like_here(docs, "main", k=k, filter=filter)


def test_more_hits_than_milvus_gives(docs: vecver.Dataset) -> None:
    ingest(docs, TEXTS)
    docs.publish()
    answer = docs.search(QUERIES[0], k=20000, engine="milvus")
    assert pairs(answer) == best(TEXTS, QUERIES[0], 40) and answer.receipt["engine"] == {"name": "exact"}


def test_many_equal_vectors_are_told_apart_by_their_keys(docs: vecver.Dataset) -> None:
    rows = [{"id": f"d{i}", "text": f"t{i}", "vector": [1.0, 0.0] if i % 3 else [0.0, 1.0]} for i in range(600)]
    docs.ingest(rows, space="s", metric="ip")
    docs.publish()
    here = docs.search([1.0, 0.5], k=20, exact=True)
    assert docs.search([1.0, 0.5], k=20, exact=True, engine="milvus").hits == here.hits


def test_what_is_not_published_is_not_answered(docs: vecver.Dataset) -> None:
    ingest(docs, TEXTS)
    with pytest.raises(NotPublishedError) as caught:
        docs.search(QUERIES[0], engine="milvus")
    assert caught.value.exit_code == 6
    docs.publish()
    ingest(docs, {"only": "one"})
    with pytest.raises(NotPublishedError):
        docs.search(QUERIES[0], engine="milvus")
    with pytest.raises(NotPublishedError):
        docs.publication()
    with pytest.raises(InvalidInputError) as unknown:
        docs.search(QUERIES[0], engine="nobody")  # type: ignore[call-overload]
    assert unknown.value.code == "unknown_engine"


def test_a_plain_client_searches_a_pinned_version(docs: vecver.Dataset, milvus: str) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    ingest(docs, {**TEXTS, best(TEXTS, QUERIES[0], 1)[0][0]: "moved away"})
    docs.publish()
    told = docs.publication(first).to_json()
    assert {"uri", "collection", "filter", "metric", "fields", "commit", "ordinal"} <= told.keys()
    client = client_of(told["uri"])
    fields = [field for field in told["fields"] if field != "vector"]
    how: dict[str, Any] = {"filter": told["filter"], "output_fields": fields, "consistency_level": "Strong"}
    hits = client.search(told["collection"], [QUERIES[0]], limit=5, **how)[0]
    assert [(hit["entity"]["document"], hit["distance"]) for hit in hits] == best(TEXTS, QUERIES[0], 5)
    assert [hit["entity"]["text"] for hit in hits] == [TEXTS[hit["entity"]["document"]] for hit in hits]
    client.close()


# -- damage --------------------------------------------------------------------------------------


def test_a_lost_collection_is_told_and_restored(docs: vecver.Dataset, milvus: str) -> None:
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
def test_what_somebody_else_changed_is_found(docs: vecver.Dataset, milvus: str, damage: str) -> None:
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


# -- others --------------------------------------------------------------------------------------


def test_one_publisher_at_a_time(docs: vecver.Dataset, milvus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repo.ledger, "WAIT_SECONDS", 0.05)
    ingest(docs, TEXTS)
    with docs._session.milvus.publisher("d").book.alone():
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


def test_a_copy_of_a_repository_publishes_over_nobody(milvus: str) -> None:
    one = opened(MemoryStore(), milvus).dataset("d")
    first = ingest(one, TEXTS)
    one.publish()
    copy = MemoryStore()
    copy._bytes = dict(one._versions.store._bytes)  # type: ignore[attr-defined]
    other = opened(copy, milvus).dataset("d")
    second = ingest(one, {**TEXTS, "ours": "a text of ours"})
    one.publish()
    ingest(other, {**TEXTS, "theirs": "a text of theirs", "doc-1": "changed"})
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            other.publish()
        assert "copied" in caught.value.message
    for at in (first, second):
        answers_like_here(one, at)
    answers_like_here(other, first)
    assert other.republish() and one.repository.check().clean


def test_an_alias_names_what_it_was_told_to_last(docs: vecver.Dataset, milvus: str) -> None:
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


def test_an_answer_is_never_of_what_was_let_go_of_meanwhile(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ingest(docs, TEXTS)
    docs.publish()
    ingest(docs, {"only": "one"})
    docs.publish()
    connection = docs._session.milvus.open("d").connection
    propose = connection.propose
    verbs: list[Callable[[], Any]] = [docs.republish, lambda: docs.unpublish(first)]

    def late(*what: Any) -> Any:
        if verbs:
            verbs.pop(0)()
        return propose(*what)

    monkeypatch.setattr(connection, "propose", late)
    monkeypatch.setattr(docs._session.milvus, "_connection", lambda milvus: connection)
    with pytest.raises(NotPublishedError):
        docs.search(QUERIES[0], at=first, engine="milvus")
    assert verbs == []
    answers_like_here(docs, "main", k=1)


def test_a_search_gives_up_on_a_version_that_keeps_moving(
    docs: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(docs, TEXTS)
    docs.publish()
    connection, moves = docs._session.milvus.open("d").connection, list[bool]()
    propose = connection.propose

    def moving(*args: Any) -> Any:
        moves.append(True)
        docs.republish()
        return propose(*args)

    monkeypatch.setattr(connection, "propose", moving)
    monkeypatch.setattr(docs._session.milvus, "_connection", lambda milvus: connection)
    with pytest.raises(ConflictError, match="moved to another collection") as caught:
        docs.search(QUERIES[0], engine="milvus")
    assert caught.value.code == "publication_moving" and len(moves) == 10


def test_what_float32_cannot_hold_is_not_called_exact(docs: vecver.Dataset) -> None:
    rows = [{"id": f"d{i}", "text": f"t{i}", "vector": [1e19, float(i), 1.0]} for i in range(60)]
    docs.ingest([*rows, {"id": "big", "text": "b", "vector": [3e38, 1.0, 1.0]}], space="s", metric="ip")
    docs.publish()
    query = [3e38, 1.0, -1.0]
    assert docs.search(query, k=3, exact=True, engine="milvus").hits == docs.search(query, k=3, exact=True).hits


def test_a_flat_collection_answers_exactly_unasked(docs: vecver.Dataset) -> None:
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
    one = docs.publish(flat=True)
    ingest(docs, {**TEXTS, "a": "1"})
    two = docs.publish()
    embedded = docs._session.milvus.open("d").connection.embedded
    assert (two.index, two.collection == one.collection) == (("FLAT", True) if embedded else ("HNSW", False))
