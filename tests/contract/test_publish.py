"""Publishing, on every Milvus at hand: each version is searched as it is, at the cost of what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import best, ingest, records, vector_of
from inside import contents_of, versions_of
from milvus_datasets import QUERIES, TEXTS, answers_like_here, opened, pairs, stored
from milvus_server import client_of

import vecver
from vecver.errors import InvalidInputError, NotPublishedError
from vecver.flows.publishing import publisher as room
from vecver.store import MemoryStore


@pytest.fixture
def docs(milvus: str) -> vecver.Dataset:
    return opened(MemoryStore(), milvus).dataset("d")


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
        published = docs.search(queries, k=k, exact=True, engine="milvus")
        assert [publication.hits for publication in published] == [publication.hits for publication in here]
        if index == "FLAT":
            assert {publication.receipt["engine"]["name"] for publication in published} == {"milvus"}
            assert all(publication.receipt["engine"]["exact"] for publication in published)
    publication = docs.search(queries[0], k=5, engine="milvus")
    assert vecver.replay(docs.repository, publication.receipt).identical


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


def test_a_change_of_metadata_alone_is_published(docs: vecver.Dataset, milvus: str) -> None:
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
    ledger = contents_of(versions_of(docs).store)
    docs.rollback("prod")
    docs.rollback("main")
    assert docs.resolve("prod") == first.commit != docs.resolve("main")
    for at in ("prod", "main"):
        answers_like_here(docs, at)
        assert docs.publish(at).written == 0 and docs.publication(at).ordinal == 1
    after = contents_of(versions_of(docs).store)
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
    publication = docs.publish()
    half = ingest(docs, {f"new-{i}": f"new text {i}" for i in range(30)} | dict(list(TEXTS.items())[:25]))
    two = docs.publish()
    assert (two.collection, two.ordinal) == (publication.collection, 2), "55 of 70 rows are live"
    ingest(docs, {f"newer-{i}": f"newer text {i}" for i in range(30)})
    three = docs.publish()
    assert three.collection != publication.collection and (three.ordinal, three.written) == (1, 30), (
        "30 of 100 would be"
    )
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


def test_equal_vectors_are_ordered_by_their_keys(docs: vecver.Dataset) -> None:
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
    address = docs.publication(first).to_json()
    assert {"uri", "collection", "filter", "metric", "fields", "commit", "ordinal"} <= address.keys()
    client = client_of(address["uri"])
    fields = [field for field in address["fields"] if field != "vector"]
    how: dict[str, Any] = {"filter": address["filter"], "output_fields": fields, "consistency_level": "Strong"}
    hits = client.search(address["collection"], [QUERIES[0]], limit=5, **how)[0]
    assert [(hit["entity"]["document"], hit["distance"]) for hit in hits] == best(TEXTS, QUERIES[0], 5)
    assert [hit["entity"]["text"] for hit in hits] == [TEXTS[hit["entity"]["document"]] for hit in hits]
    client.close()
