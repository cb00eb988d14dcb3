"""Keyword and hybrid search: against brute force over all rows, by hand, through an index, and replayed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from generated import clustered
from helpers import SPACE, open_on

import vecver
from vecver.digest import digest_json
from vecver.errors import InvalidInputError, SpaceMismatchError
from vecver.index import bits, faiss
from vecver.model import Json
from vecver.store import MemoryStore

WORDS = [
    "pump",
    "valve",
    "radiator",
    "boiler",
    "key",
    "door",
    "window",
    "lathe",
    "tax",
    "form",
    "stove",
    "pipe",
    "bleed",
]
QUESTIONS = ["the pump and the valve", "boiler key", "bleed a radiator pipe", "clean windows", "nothing of it"]
LIMIT = 600


def text_of(number: int) -> str:
    chosen = random.Random(number)
    return " ".join(chosen.choice(WORDS) for _ in range(chosen.randint(3, 12))) + f" no{number}"


@pytest.fixture(scope="module")
def repository() -> vecver.Repository:
    repository = open_on(MemoryStore())
    docs = repository.dataset("d")
    rows = [{"id": f"{i // 3}-{i % 3}.md", "text": text_of(i), "third": i % 3} for i in range(LIMIT)]
    docs.ingest(rows[:500], embedder="hashing", chunker="whole")
    docs.ingest(rows[100:], embedder="hashing", chunker="whole", allow_removals=True)
    return repository


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    return repository.dataset("d")


def scores_by(docs: vecver.Dataset, question: str, mode: Any, **how: Any) -> dict[str, float]:
    """The score of every chunk that a mode ranks, by key, best first."""
    return {hit.key: hit.score for hit in docs.search(question, k=LIMIT, mode=mode, exact=True, **how)}


def fused(dense: dict[str, float], words: dict[str, float], weight: float) -> list[tuple[str, str]]:
    """(key, score bits) of the whole ranking, in plain Python: what `fusion.py` promises."""
    best = list(dense.values())
    low, high, top = best[:100][-1], best[0], max(words.values(), default=0.0)
    scores = {
        key: weight * ((score - low) / (high - low)) + (1.0 - weight) * (words.get(key, 0.0) / top if top else 0.0)
        for key, score in dense.items()
    }
    return [(key, bits(score)) for key, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.6, 1.0])
def test_hybrid_is_the_true_top_k_of_the_fused_score(docs: vecver.Dataset, question: str, weight: float) -> None:
    truth = fused(scores_by(docs, question, "dense"), scores_by(docs, question, "keyword"), weight)
    for k in (1, 7, 10, 100, 101, 333, LIMIT):
        answer = docs.search(question, k=k, mode="hybrid", weight=weight)
        assert [(hit.key, hit.score_bits) for hit in answer] == truth[:k]
    pages = [docs.search(question, k=70, offset=at, mode="hybrid", weight=weight) for at in range(0, LIMIT, 70)]
    assert [(hit.key, hit.score_bits) for page in pages for hit in page] == truth


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_side_alone_ranks_as_that_mode_does(docs: vecver.Dataset, question: str) -> None:
    dense, words = (scores_by(docs, question, mode) for mode in ("dense", "keyword"))
    by_vector, by_words = (
        docs.search(question, k=LIMIT, mode="hybrid", weight=weight, exact=True) for weight in (1.0, 0.0)
    )
    assert [hit.key for hit in by_vector] == list(dense)
    assert [hit.key for hit in by_words][: len(words)] == list(
        words
    )  # then rows without a word, which keyword leaves out
    assert all(hit.dense and bits(hit.dense.score) == bits(dense[hit.key]) for hit in by_vector)
    assert all(hit.keyword and bits(hit.keyword.score) == bits(words.get(hit.key, 0.0)) for hit in by_words)


def test_each_hit_says_what_it_owes_to_either_side(docs: vecver.Dataset) -> None:
    dense, words = (scores_by(docs, QUESTIONS[0], mode) for mode in ("dense", "keyword"))
    ranks = [{key: rank for rank, key in enumerate(list(side)[:100], 1)} for side in (dense, words)]
    for hit in docs.search(QUESTIONS[0], k=300, mode="hybrid"):
        assert hit.dense == vecver.Side(dense[hit.key], ranks[0].get(hit.key))
        assert hit.keyword == vecver.Side(words.get(hit.key, 0.0), ranks[1].get(hit.key))
    assert all(hit.dense is hit.keyword is None for hit in docs.search(QUESTIONS[0], mode="keyword"))


def test_a_batch_answers_as_each_question_alone(docs: vecver.Dataset) -> None:
    for how in ({"mode": "hybrid"}, {"mode": "keyword"}, {"mode": "hybrid", "fusion": "rrf"}):
        together = docs.search(QUESTIONS, k=20, **how)  # type: ignore[call-overload]
        assert together == [docs.search(question, k=20, **how) for question in QUESTIONS]  # type: ignore[call-overload]


def test_rrf_adds_reciprocal_ranks(docs: vecver.Dataset) -> None:
    dense, words = (list(scores_by(docs, QUESTIONS[0], mode)) for mode in ("dense", "keyword"))
    ranks = [{key: rank for rank, key in enumerate(side[:100], 1)} for side in (dense, words)]
    scores = {key: sum(1.0 / (60 + side[key]) for side in ranks if key in side) for key in (*dense[:100], *words[:100])}
    truth = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    for k in (1, 10, 100):
        answer = docs.search(QUESTIONS[0], k=k, mode="hybrid", fusion="rrf")
        assert [(hit.key, hit.score) for hit in answer] == truth[:k]
    assert len(docs.search(QUESTIONS[0], k=400, mode="hybrid", fusion="rrf")) == 400
    assert len(docs.search(QUESTIONS[0], k=10, mode="hybrid", fusion="rrf", per_document=1)) == 10


def test_three_rows_by_hand(repository: vecver.Repository) -> None:
    docs = repository.dataset("three")
    rows = [
        {"id": "near", "text": "a lathe", "vector": [8.0, 0.0]},
        {"id": "worded", "text": "the zebra", "vector": [4.0, 0.0]},
        {"id": "far", "text": "a stove", "vector": [0.0, 8.0]},
    ]
    docs.ingest(rows, space=SPACE, metric="ip")
    query: Any = {"text": "zebra?", "vector": [1.0, 0.0]}
    # by vector 8, 4, 0: parts 1, 0.5, 0; of the words only "worded" has one: its part is 1
    answer = docs.search(query, mode="hybrid", weight=0.5)
    assert [(hit.document, hit.score) for hit in answer] == [("worded", 0.75), ("near", 0.5), ("far", 0.0)]
    assert [hit.dense.rank for hit in answer if hit.dense] == [2, 1, 3]
    assert [hit.keyword.rank for hit in answer if hit.keyword] == [1, None, None]
    assert [hit.document for hit in docs.search("zebra", mode="keyword")] == ["worded"]
    both = docs.search(query, mode="hybrid", fusion="rrf")
    assert (both[0].document, both[0].score) == ("worded", 1 / 62 + 1 / 61)
    assert vecver.replay(repository, answer.receipt).identical
    alone = docs.search(query, mode="hybrid", filter={"$document": "far"})
    assert [(hit.document, hit.score) for hit in alone] == [("far", 0.6)]  # the best vector there is, and no word
    for way, code in (("hybrid", "needs_text"), ("keyword", "needs_text")):
        with pytest.raises(InvalidInputError) as caught:
            docs.search([1.0, 0.0], mode=way)  # type: ignore[call-overload]
        assert caught.value.code == code and "text" in caught.value.hint
    with pytest.raises(SpaceMismatchError):
        docs.search("zebra", mode="hybrid")  # nothing embeds it


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_filters_and_rules_hold(docs: vecver.Dataset, mode: Any) -> None:
    whole = docs.search(QUESTIONS[0], k=LIMIT, mode=mode)
    third = docs.search(QUESTIONS[0], k=LIMIT, mode=mode, filter={"third": 1})
    assert {hit.metadata["third"] for hit in third} == {1} and len(third) < len(whole)
    if mode == "keyword":  # statistics are the version's: a filter changes no score
        assert [hit for hit in third if hit.score_bits] != []
        assert [(hit.key, hit.score_bits) for hit in third] == [
            (hit.key, hit.score_bits) for hit in whole if hit.metadata["third"] == 1
        ]
    least = whole[5].score
    assert [hit.key for hit in docs.search(QUESTIONS[0], k=LIMIT, mode=mode, min_score=least)] == [
        hit.key for hit in whole if hit.score >= least
    ]
    diverse = docs.search(QUESTIONS[0], k=5, mode=mode, diversity=0.5)
    assert diverse[0].key == whole[0].key and len({hit.key for hit in diverse}) == 5
    contexts = docs.search(QUESTIONS[0], k=2, mode=mode, context=1, vectors=True)
    assert all(hit.context and hit.vector is not None for hit in contexts)


def test_titles_lift_passages_by_what_ranks(repository: vecver.Repository) -> None:
    docs = repository.dataset("titled")
    texts = {"pumps.md": "Oil it weekly.\n\nNever run it dry.", "doors.md": "Turn the handle twice."}
    rows = [{"id": id, "text": text, "title": f"All about {id[:-3]}"} for id, text in texts.items()]
    docs.ingest(rows, embedder="hashing", chunk_tokens=8)
    for mode in ("keyword", "hybrid"):
        answer = docs.search("pumps", mode=mode)
        assert answer[0].document == "pumps.md" and answer[0].by == "title"
        assert vecver.replay(repository, answer.receipt).identical
    hit = docs.search("pumps", mode="hybrid")[0]
    assert hit.keyword and hit.keyword.score > 0 and hit.keyword.rank == 1  # of its title


@pytest.mark.parametrize("question", ["the", "of and", "?!", "…"])
def test_a_query_without_a_word(docs: vecver.Dataset, question: str) -> None:
    nothing = docs.search(question, mode="keyword")
    assert len(nothing) == 0 and "reads no word" in nothing.notes[0]
    assert vecver.replay(docs.repository, nothing.receipt).identical
    answer = docs.search(question, k=20, mode="hybrid")
    assert [hit.key for hit in answer] == [hit.key for hit in docs.search(question, k=20)]
    assert "its vector alone decided" in answer.notes[0]
    with pytest.raises(InvalidInputError):
        docs.search("  ", mode="keyword")


def test_an_empty_version_has_no_hits(repository: vecver.Repository) -> None:
    docs = repository.dataset("emptied")
    docs.ingest([{"id": "a", "text": "a pump"}], embedder="hashing", chunker="whole")
    docs.delete(["a"])
    for how in ({"mode": "keyword"}, {"mode": "hybrid"}, {"mode": "hybrid", "fusion": "rrf"}):
        answer = docs.search("pump", **how)  # type: ignore[call-overload]
        assert len(answer) == 0 and vecver.replay(repository, answer.receipt).identical
    assert docs.search("pump", mode="hybrid", at="none", missing="empty").missing


# -- receipts ------------------------------------------------------------------------------------


def changed(receipt: Json, path: str, value: Any) -> Json:
    """The receipt with another value at `path`, and a digest that fits it."""
    receipt = copy.deepcopy(receipt)
    place = receipt
    *parents, last = path.split(".")
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    receipt["digest"] = digest_json({name: each for name, each in receipt.items() if name != "digest"})
    return receipt


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "keyword"},
        {"mode": "keyword", "diversity": 0.3, "filter": {"third": 2}},
        {"mode": "hybrid"},
        {"mode": "hybrid", "weight": 0.2, "offset": 5, "per_document": 1},
        {"mode": "hybrid", "fusion": "rrf", "k": 120},
    ],
    ids=str,
)
def test_a_receipt_replays(repository: vecver.Repository, docs: vecver.Dataset, how: Any) -> None:
    receipt = json.loads(json.dumps(docs.search(QUESTIONS[1], **how).receipt))
    outcome = vecver.replay(repository, receipt)
    assert (outcome.identical, outcome.recall, outcome.notes) == (True, None, ())
    assert not vecver.replay(repository, changed(receipt, "query.text", "a tax form")).identical
    hits = [*receipt["hits"][1:], receipt["hits"][0]]
    assert not vecver.replay(repository, changed(receipt, "hits", hits)).identical
    other = {**receipt["options"]["keywords"], "language": "german"}
    assert not vecver.replay(repository, changed(receipt, "options.keywords", other)).identical


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("options.weight", 0.61),
        ("options.mode", "keyword"),
        ("options.fusion", "rrf"),
        ("options.fusion", "sum"),
        ("options.weight", 2),
        ("options.weight", None),
        ("options.mode", None),
        ("options.keywords", None),
        ("options.modus", "hybrid"),  # what a vecver does not know is refused, never left out
        ("engine.bounds", None),
        ("engine.bounds", ["0" * 16] * 3),
        ("engine.bounds", ["7ff0000000000000"] * 3),
        ("query.text", None),
    ],
)
def test_no_part_of_a_hybrid_receipt_can_be_changed(docs: vecver.Dataset, path: str, value: Any) -> None:
    receipt = changed(docs.search(QUESTIONS[1], mode="hybrid").receipt, path, value)
    try:
        assert not vecver.replay(docs.repository, receipt).identical
    except InvalidInputError as error:
        assert error.code == "invalid_receipt"


@pytest.mark.parametrize(
    ("mode", "engine"), [("keyword", "exact"), ("keyword", "milvus"), ("dense", "bm25"), ("hybrid", "bm25")]
)
def test_a_receipt_names_an_engine_of_its_mode(docs: vecver.Dataset, mode: Any, engine: str) -> None:
    receipt = docs.search(QUESTIONS[1], mode=mode).receipt
    (difference,) = vecver.replay(docs.repository, changed(receipt, "engine.name", engine)).differences
    assert engine in difference and mode in difference


def test_a_dense_receipt_is_as_it_was(docs: vecver.Dataset) -> None:
    receipt = docs.search(QUESTIONS[1]).receipt
    assert docs.search(QUESTIONS[1], mode="dense").receipt == receipt and "options" not in receipt
    assert receipt["engine"] == {"name": "exact"}


@pytest.fixture(scope="module")
def approximate() -> Iterator[vecver.Repository]:
    """9,000 rows that are searched through an index, also for a hundred rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss.costs, "INDEX_ROWS", 5000)
        patch.setattr(faiss.costs, "_SCAN", 10**12)
        repository = open_on(MemoryStore())
        rows = enumerate(clustered("cosine")[0][:9000])
        records = ({"id": str(i), "text": text_of(i), "vector": row} for i, row in rows)
        repository.dataset("d").ingest(records, space="test")
        yield repository


@pytest.mark.parametrize("how", [{}, {"weight": 0.3, "per_document": 1}, {"fusion": "rrf"}], ids=str)
def test_through_an_index_the_scores_are_true_and_proved(approximate: vecver.Repository, how: Any) -> None:
    docs, recalls = approximate.dataset("d"), []
    for number, vector in enumerate(clustered("cosine")[1][:10]):
        query: Any = {"text": QUESTIONS[number % 4], "vector": vector}
        answer = docs.search(query, mode="hybrid", **how)
        assert answer.receipt["engine"]["name"] != "exact"
        outcome = vecver.replay(approximate, json.loads(json.dumps(answer.receipt)))
        assert outcome.identical and outcome.recall is not None
        recalls.append(outcome.recall)
        exact = docs.search(query, mode="hybrid", exact=True, **how)
        assert vecver.replay(approximate, exact.receipt).identical and exact.receipt["engine"]["name"] == "exact"
        if "fusion" not in how:
            bounds = changed(answer.receipt, "engine.bounds", ["0" * 16, *answer.receipt["engine"]["bounds"][1:]])
            assert not vecver.replay(approximate, bounds).identical
    assert np.mean(recalls) > 0.9


def test_an_approximate_receipt_of_ranks_has_k_hits_in_order(approximate: vecver.Repository) -> None:
    docs, query = approximate.dataset("d"), {"text": QUESTIONS[0], "vector": clustered("cosine")[1][0]}
    receipt = docs.search(query, mode="hybrid", fusion="rrf").receipt  # type: ignore[call-overload]
    first, second, *others = receipt["hits"]
    nan = [*first[:2], "7ff8000000000000"]
    for hits in ([second, first, *others], [first, first, second, *others], [first, first, *others], [nan, second]):
        assert not vecver.replay(approximate, changed(receipt, "hits", hits)).identical
