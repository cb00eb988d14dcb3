"""Search options one by one, by hand: what each does, what is refused, and what a receipt keeps of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers import ingest, open_on, vector_of

import vecver
from vecver import index
from vecver.errors import InvalidInputError, NotFoundError
from vecver.model import Answer
from vecver.store import MemoryStore

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(40)}
QUERY = vector_of("a question")


@pytest.fixture(scope="module")
def docs() -> vecver.Dataset:
    docs = open_on(MemoryStore()).dataset("d")
    ingest(docs, TEXTS)
    return docs


@pytest.fixture(scope="module")
def notes() -> vecver.Dataset:
    """Documents of one or two passages, some with a title too long to stand in front of them."""
    docs = open_on(MemoryStore()).dataset("notes")
    long = "Turn the red valve until water runs.\n\nClose it when the hissing has stopped for good."
    records = [
        {"id": "valve", "title": "Bleed a cold radiator", "text": long},
        {"id": "tax", "title": "Tax of this year", "text": "File the form in May."},
        {"id": "bare", "text": "Bleed the brakes."},
    ]
    docs.ingest(records, embedder="hashing", chunk_tokens=16)
    return docs


def test_a_title_ranks_the_best_passage_of_its_document(notes: vecver.Dataset) -> None:
    found = notes.search("bleed a cold radiator", k=10)
    assert [hit.document for hit in found].count("valve") == 2, "both passages, and no title"
    first = found[0]
    assert (first.document, first.by, first.title) == ("valve", "title", "Bleed a cold radiator")
    assert first.score == pytest.approx(1.0) and first.text.startswith(("Turn", "Close"))
    assert all(hit.span != (0, 0) for hit in found)
    assert found.receipt["options"] == {"titles": "passage"}
    assert vecver.replay(notes.repository, found.receipt) == vecver.Replay(True, (), None)


def test_a_title_without_a_passage_that_matches_stays_a_hit(notes: vecver.Dataset) -> None:
    found = notes.search("bleed a cold radiator", filter={"line": {"$exists": False}})
    assert [(hit.document, hit.span, hit.by) for hit in found] == [("valve", (0, 0), None), ("tax", (0, 0), None)]
    assert vecver.replay(notes.repository, found.receipt) == vecver.Replay(True, (), None)


def test_versions_of_older_recipes_keep_titles_as_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"name": "structure", "version": 1, "min_tokens": 32, "max_tokens": 112, "title": True}
    monkeypatch.setattr("vecver.pipeline.chunker_recipe", lambda *args, **how: recipe)
    docs = open_on(MemoryStore()).dataset("notes")
    docs.ingest([{"id": "a", "title": "Bleed", "text": "Turn the valve."}], embedder="hashing")
    found = docs.search("bleed")
    assert [(hit.span == (0, 0), hit.by) for hit in found] == [(True, None), (False, None)]
    assert "options" not in found.receipt


def test_pages(docs: vecver.Dataset) -> None:
    whole = docs.search(QUERY, k=40)
    assert docs.search(QUERY, k=7, offset=10).hits == whole.hits[10:17]
    assert [hit.rank for hit in docs.search(QUERY, k=3, offset=38)] == [39, 40]
    assert len(docs.search(QUERY, k=3, offset=40)) == 0
    page = docs.search(QUERY, k=7, offset=10)
    assert page.receipt["options"] == {"offset": 10} and page.receipt["k"] == 7
    assert "options" not in whole.receipt


def test_a_lowest_score(docs: vecver.Dataset) -> None:
    whole = docs.search(QUERY, k=40)
    least = whole[11].score
    found = docs.search(QUERY, k=40, min_score=least)
    assert found.hits == tuple(hit for hit in whole if hit.score >= least) and 12 <= len(found) < 40
    assert docs.search(QUERY, min_score=np.float32(1e6)).hits == ()  # type: ignore[call-overload]
    assert docs.search(QUERY, min_score=0).receipt["options"] == {"min_score": 0.0}


def test_diversity_by_hand() -> None:
    """Of two equal rows and one at an angle the second of the equal ones comes last."""
    docs = open_on(MemoryStore()).dataset("d")
    rows = {"near": [1.0, 0.0], "twin": [1.0, 0.0], "other": [0.8, 0.6]}
    docs.ingest([{"id": id, "text": id, "vector": row} for id, row in rows.items()], space="test")
    first, second, third = docs.search([1, 0], diversity=0.5)
    assert {first.document, third.document} == {"near", "twin"} and first.key < third.key
    assert second.document == "other" and (second.rank, second.score) == (2, float(np.float32(0.8)))
    plain = docs.search([1, 0])
    assert docs.search([1, 0], diversity=0).receipt == plain.receipt
    assert docs.search([1, 0], diversity=1, k=2)[1].document == "other"


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_what_float64_rules_out_changes_no_choice(metric: Any) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    vectors[20:30] = vectors[:10]  # ties
    query = rng.normal(size=8).astype(np.float32)
    keys = rng.integers(0, 256, (60, 16), np.uint8)
    score = index.scores(query, vectors, metric)
    order = index.ranked(score, keys, 60)
    score, vectors, keys = score[order], vectors[order], keys[order]
    chosen, left = [0], set(range(1, 60))
    for place in range(2, 31):
        pool = [row for row in left if row < max(40, 4 * place)]
        near = {row: index.scores(vectors[row], vectors[chosen], metric).max() for row in pool}
        best = min(pool, key=lambda row: (-(0.6 * score[row] - 0.4 * near[row]), keys[row].tobytes()))
        chosen.append(best)
        left.remove(best)
    assert index.diverse(score, vectors, keys, metric, 0.4, 30).tolist() == chosen


def test_equal_rows_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that stands in many documents: who compares each with each takes seconds for 200 hits."""
    scored: list[int] = []

    def counting(query: Any, vectors: Any, metric: Any, rows: Any) -> Any:
        scored.append(len(rows))
        return index.scores(query, vectors, metric, rows)

    monkeypatch.setattr(index.diversity, "scores", counting)
    vectors = np.full((160, 4), 0.5, np.float32)
    keys = np.arange(160 * 16, dtype=np.uint32).astype(">u2").view(np.uint8).reshape(160, -1)[:, :16]
    chosen = index.diverse(np.ones(160), vectors, np.ascontiguousarray(keys), "cosine", 0.5, 40)
    order = index.ranked(np.ones(160), np.ascontiguousarray(keys), 160)
    assert len(set(chosen.tolist())) == 40 and chosen[1] in order and sum(scored) < 40


def test_vectors_come_with_the_hits(docs: vecver.Dataset) -> None:
    found = docs.search(QUERY, k=5, vectors=True)
    assert found == docs.search(QUERY, k=5) and docs.search(QUERY, k=1)[0].vector is None
    for hit in found:
        assert hit.vector is not None and hit.vector.dtype == np.float32
        assert hit.vector.tolist() == vector_of(TEXTS[hit.document]).tolist()
    travelled = Answer.from_json(json.loads(json.dumps(found.to_json())))
    assert travelled == found
    assert all(a.vector.tobytes() == b.vector.tobytes() for a, b in zip(travelled, found, strict=True))  # type: ignore[union-attr]


def test_more_like_a_document_or_a_chunk(notes: vecver.Dataset) -> None:
    found = notes.more_like("valve", k=10)
    assert {hit.document for hit in found} == {"tax", "bare"}
    assert found.receipt["query"]["text"] is None and found.receipt["options"]["like"] == {"document": "valve"}
    assert vecver.replay(notes.repository, found.receipt) == vecver.Replay(True, (), None)
    hit = notes.search("valve until water runs", k=1)[0]
    alike = notes.more_like(hit, k=10)
    assert hit.key not in {one.key for one in alike} and "valve" in {one.document for one in alike}
    assert notes.more_like(hit.key, k=10).hits == alike.hits
    assert vecver.replay(notes.repository, alike.receipt).identical
    with pytest.raises(NotFoundError) as caught:
        notes.more_like("valv")
    assert caught.value.code == "document_not_found" and "'valve'" in caught.value.hint


def test_the_vector_of_a_document_is_the_mean_of_its_chunks(docs: vecver.Dataset) -> None:
    found = docs.more_like("doc-7", k=39)
    without = {id: text for id, text in TEXTS.items() if id != "doc-7"}
    scored = sorted((-float(vector_of(text) @ vector_of(TEXTS["doc-7"])), id) for id, text in without.items())
    assert sorted((-hit.score, hit.document) for hit in found) == scored
    assert found.receipt["k"] == 39 and docs.more_like("doc-7", k=39, per_document=1, offset=2).hits == found.hits[2:]


def test_a_forged_like_is_told(docs: vecver.Dataset) -> None:
    from vecver.digest import digest_json

    receipt = docs.more_like("doc-7").receipt
    forged = {**receipt, "options": {"like": {"document": "doc-8"}}}
    forged["digest"] = digest_json({name: value for name, value in forged.items() if name != "digest"})
    assert not vecver.replay(docs.repository, forged).identical


def test_nothing_there_is_an_empty_answer_where_that_is_asked_for(docs: vecver.Dataset) -> None:
    nowhere = docs.repository.dataset("nowhere")
    for found in (nowhere.search("a", missing="empty"), docs.search(QUERY, at="later", missing="empty")):
        assert (found.hits, found.commit, found.receipt) == ((), "", {}) and found.missing
    assert [len(one) for one in nowhere.search(["a", "b"], missing="empty")] == [0, 0]
    found = docs.search(QUERY, filter={"tenant": "x"}, missing="empty")
    assert found.hits == () and "'tenant'" in str(found.missing) and found.commit
    assert found.receipt["options"] == {"missing": "empty"}
    assert vecver.replay(docs.repository, found.receipt).identical
    everything = docs.search(QUERY, filter={"tenant": {"$ne": "x"}}, missing="empty")
    assert len(everything) == 10 and vecver.replay(docs.repository, everything.receipt).identical
    assert docs.search(QUERY, missing="empty") == docs.search(QUERY)
    for wrong in ({"at": "later"}, {"filter": {"tenant": "x"}}):
        with pytest.raises((NotFoundError, InvalidInputError)):
            docs.search(QUERY, **wrong)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("offset", value) for value in (-1, 1.0, True, "1", None)],
        *[("per_document", value) for value in (0, -1, 1.5, True, "1")],
        *[("min_score", value) for value in (float("nan"), float("inf"), "0.3", True)],
        *[("diversity", value) for value in (-0.1, 1.1, float("nan"), "0.3", True)],
        *[("vectors", value) for value in (1, "yes", None)],
        *[("missing", value) for value in ("ignore", None, True)],
    ],
)
def test_what_no_version_can_honour_is_refused(docs: vecver.Dataset, option: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        docs.search(QUERY, **{option: value})
    assert caught.value.code == f"invalid_{option}" and option in str(caught.value) and caught.value.hint


def test_an_option_that_does_not_exist_is_a_type_error(docs: vecver.Dataset) -> None:
    with pytest.raises(TypeError, match="top_k"):
        docs.search(QUERY, top_k=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="top_k"):
        docs.more_like("doc-1", top_k=3)  # type: ignore[call-arg]
