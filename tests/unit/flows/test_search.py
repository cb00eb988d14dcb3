"""Search through the door: the right hits of the right version, and errors that say what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import DIM, best, ingest, open_on, records, vector_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError, SpaceMismatchError, VecverError
from vecver.model import Metric, Vectors
from vecver.store import MemoryStore, Store

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(40)}
QUERY = vector_of("a question")


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


def pairs(answer: vecver.Answer) -> list[tuple[str, float]]:
    return [(hit.document, hit.score) for hit in answer]


def test_hits_by_hand(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    rows = [("x", [3, 4]), ("y", [0, 2]), ("z", [-1, 0]), ("o", [0, 0])]
    docs.ingest([{"id": id, "text": id * 2, "vector": v, "n": len(id)} for id, v in rows], space="test")
    (x, y, *rest) = docs.search([1, 0], k=10)
    assert [(hit.rank, hit.document) for hit in (x, y, *rest)] == [
        (1, "x"),
        (2, y.document),
        (3, rest[0].document),
        (4, "z"),
    ]
    assert (x.score, rest[-1].score) == (np.float32(0.6), -1.0) and {y.document, rest[0].document} == {"y", "o"}
    assert y.score == rest[0].score == 0.0 and y.key < rest[0].key, "equal scores stand in the order of their keys"
    assert (x.text, x.span, x.metadata, x.title, x.context) == ("xx", (0, 2), {"n": 1}, "", None)
    assert x.score_bits == "3fe3333340000000"


def test_the_true_top_k(docs: vecver.Dataset) -> None:
    for k in (1, 7, 40, 1000):
        answer = docs.search(QUERY, k=k)
        assert pairs(answer) == best(TEXTS, QUERY, k) and len(answer) == min(k, 40)
    assert docs.search(QUERY, k=10).hits == docs.search(QUERY, k=17).hits[:10]


def test_every_version_answers_as_it_did(store: Store) -> None:
    """Forty versions that each edit, remove and add; every one is searched after all were made."""
    docs, states = open_on(store).dataset("d"), []
    rng = np.random.default_rng(0)
    texts = dict(TEXTS)
    for step in range(12):
        for id in rng.choice(sorted(texts), 4, replace=False):
            texts.pop(id) if step % 3 else texts.update({id: f"{id} in step {step}"})
        texts[f"new-{step}"] = f"the text of step {step}"
        states.append((ingest(docs, texts).commit, dict(texts)))
    for commit, state in states:
        assert pairs(docs.search(QUERY, at=commit or "", k=25)) == best(state, QUERY, 25)
        assert docs.search(QUERY, at=commit or "", k=25, exact=True).commit == commit


def test_a_batch_answers_as_each_query_alone(docs: vecver.Dataset) -> None:
    queries = [vector_of(str(i)) for i in range(9)]
    alone = [docs.search(query, k=5) for query in queries]
    for batch in (queries, np.stack(queries), tuple(queries), [query.tolist() for query in queries]):
        assert docs.search(batch, k=5) == alone
    assert docs.search(np.stack(queries)[::-1], k=5) == alone[::-1]


def test_integers_and_other_floats_are_numbers_too(docs: vecver.Dataset) -> None:
    for query in (QUERY.astype(np.int64), QUERY.astype(np.float64), QUERY.astype(int).tolist()):
        assert docs.search(query).hits == docs.search(QUERY).hits


def test_spaces_are_named_by_name_or_id(docs: vecver.Dataset) -> None:
    space = docs.show().recipe.space
    for name in ("test", "given:test", space.id):
        assert docs.search(QUERY, space=name).hits == docs.search(QUERY).hits


def bad(element: float) -> Vectors:
    vector = QUERY.copy()
    vector[3] = element
    return vector


@pytest.mark.parametrize(
    ("query", "how", "kind", "code"),
    [
        (QUERY, {"k": 0}, InvalidInputError, "invalid_k"),
        (QUERY, {"k": -1}, InvalidInputError, "invalid_k"),
        (QUERY, {"k": True}, InvalidInputError, "invalid_k"),
        (QUERY, {"k": "3"}, InvalidInputError, "invalid_k"),
        (QUERY, {"k": 2.0}, InvalidInputError, "invalid_k"),
        (QUERY, {"k": None}, InvalidInputError, "invalid_k"),
        (QUERY, {"context": -1}, InvalidInputError, "invalid_context"),
        (QUERY, {"context": True}, InvalidInputError, "invalid_context"),
        (QUERY, {"filter": {"jahr": 1}}, InvalidInputError, "unknown_field"),
        (QUERY, {"space": "another"}, SpaceMismatchError, "space_mismatch"),
        (QUERY, {"at": "nowhere"}, NotFoundError, "revision_not_found"),
        (QUERY, {"at": "main~9"}, NotFoundError, "revision_not_found"),
        (QUERY, {"at": ""}, InvalidInputError, "invalid_revision"),
        (QUERY, {"at": 5}, InvalidInputError, "invalid_revision"),
        (QUERY[:-1], {}, SpaceMismatchError, "wrong_dimension"),
        ([1.0, 2.0], {}, SpaceMismatchError, "wrong_dimension"),
        ([QUERY, QUERY[:-1]], {}, SpaceMismatchError, "wrong_dimension"),
        (bad(np.nan), {}, InvalidInputError, "invalid_vector"),
        (bad(-np.inf), {}, InvalidInputError, "invalid_vector"),
        ([0.0] * 7 + [1e39], {}, InvalidInputError, "invalid_vector"),
        ([QUERY, bad(np.nan)], {}, InvalidInputError, "invalid_vector"),
        (np.zeros((2, 2, DIM)), {}, InvalidInputError, "invalid_vector"),
        (3, {}, InvalidInputError, "invalid_vector"),
        (None, {}, InvalidInputError, "invalid_query"),
        ({"text": "a"}, {}, InvalidInputError, "invalid_query"),
        ([1.0, None], {}, InvalidInputError, "invalid_query"),
        ([1j] * DIM, {}, InvalidInputError, "invalid_query"),
        (b"bytes", {}, InvalidInputError, "invalid_query"),
        ([], {}, InvalidInputError, "invalid_vector"),
        (np.zeros((0, DIM)), {}, InvalidInputError, "empty_query"),
        ("a text", {}, SpaceMismatchError, "needs_vector"),
        (["a text", QUERY], {}, SpaceMismatchError, "needs_vector"),
    ],
)
def test_bad_questions_say_what_to_do(
    docs: vecver.Dataset, query: Any, how: dict[str, Any], kind: type[VecverError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        docs.search(query, **how)
    assert (type(caught.value), caught.value.code) == (kind, code) and caught.value.hint


@pytest.mark.filterwarnings("error")
def test_bad_questions_warn_of_nothing(docs: vecver.Dataset) -> None:
    for query in ([0.0] * 7 + [1e39], [[1.0] * DIM, [1.0]], np.array([1j] * DIM)):
        with pytest.raises(VecverError):
            docs.search(query)


def test_an_unknown_dataset_is_not_found(repository: vecver.Repository) -> None:
    with pytest.raises(NotFoundError) as caught:
        repository.dataset("nothing").search(QUERY)
    assert caught.value.code == "dataset_not_found" and caught.value.hint


# -- questions in words -------------------------------------------------------------------------

NOTES = {"valve": "Bleed the valve before you start the pump.", "pump": "The pump runs dry.", "tax": "File by May."}


@pytest.fixture
def notes(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("notes")
    docs.ingest([{"id": id, "text": text} for id, text in NOTES.items()], embedder="hashing", chunker="whole")
    return docs


def test_a_text_is_embedded_in_the_versions_own_space(notes: vecver.Dataset) -> None:
    first, *rest = notes.search("how do I bleed the valve", k=3)
    assert first.document == "valve" and first.score > max(hit.score for hit in rest)
    several = notes.search(["how do I bleed the valve", "file by may"], k=1)
    assert [answer[0].document for answer in several] == ["valve", "tax"]
    assert several[0].receipt["query"]["text"] == "how do I bleed the valve"


@pytest.mark.parametrize("query", ["", " \n\t", ["valve", ""]])
def test_empty_texts_are_refused(notes: vecver.Dataset, query: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        notes.search(query)
    assert caught.value.code == "empty_query" and caught.value.hint


def test_text_and_vectors_may_be_mixed(notes: vecver.Dataset) -> None:
    dim = notes.show().recipe.space.dim
    vector = np.eye(1, dim, dtype=np.float32)[0]
    text, given = notes.search(["bleed", vector], k=2)
    assert text.receipt["query"]["text"] == "bleed" and given.receipt["query"]["text"] is None


def test_metrics_rank_in_their_own_way() -> None:
    """By hand, for the query (2, 0): cosine likes the direction, ip the length, l2 what is near."""
    wanted: dict[Metric, tuple[str, float]] = {"cosine": ("along", 1.0), "ip": ("long", 8.0), "l2": ("near", -1.0)}
    rows = {"along": [0.5, 0], "long": [4, 4], "near": [2, 1]}
    for metric, (document, score) in wanted.items():
        docs = open_on(MemoryStore()).dataset("d")
        docs.ingest([{"id": id, "text": id, "vector": v} for id, v in rows.items()], space="test", metric=metric)
        hit = docs.search([2, 0], k=1)[0]
        assert (hit.document, hit.score) == (document, score)


def test_records_are_found_by_their_own_vectors(repository: vecver.Repository) -> None:
    docs = repository.dataset("own")
    docs.ingest(records(TEXTS), space="test", metric="cosine")
    for id, text in list(TEXTS.items())[:5]:
        hit = docs.search(vector_of(text), k=1)[0]
        assert hit.document == id and hit.score == pytest.approx(1, abs=1e-7)


def test_who_listens_hears_the_phases_of_a_search(docs: vecver.Dataset) -> None:
    heard: list[tuple[str, float]] = []
    with vecver.listening(lambda phase, seconds: heard.append((phase, seconds))):
        docs.search([QUERY, QUERY], k=3)
    assert [phase for phase, _ in heard] == ["embed", "propose", "re-score", "propose", "re-score", "fetch"]
    assert all(seconds >= 0 for _, seconds in heard)
    docs.search(QUERY)
    assert len(heard) == 6
