"""Search options against their definition: which hits, with which scores, from every engine; and their replay."""

from __future__ import annotations

import random
from typing import Any

import pytest
from answer_reference import answer, expected, query_of, rows_of, told
from helpers import open_on
from hypothesis import given, settings
from hypothesis import strategies as st

import vecver
from vecver.index import faiss
from vecver.store import MemoryStore

WORDS = ["valve", "pump", "heat", "key", "door", "lamp", "tax", "form", "bolt", "oil"]
QUESTIONS = ["bleed the valve", "pump oil", "tax form door", "heat", "lamp key bolt lamp"]


def text(chance: random.Random, paragraphs: int) -> str:
    return "\n\n".join(f"{' '.join(chance.choices(WORDS, k=12))}." for _ in range(paragraphs))


def records(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Documents with and without titles, some of which are texts of others, some without a text."""
    shared = text(chance, 1)
    found = []
    for number in range(count):
        own = chance.choice([text(chance, chance.randrange(1, 9)), shared, text(chance, 1)])
        title = chance.choice(["", "", " ".join(chance.choices(WORDS, k=3)), " ".join(WORDS * 4)])
        body = own if chance.random() < 0.9 or not title else ""
        found.append({"id": f"d{number}", "title": title, "text": body, "even": number % 2 == 0})
    return found


def dataset(seed: int, count: int, **how: Any) -> vecver.Dataset:
    docs = open_on(MemoryStore(), **how).dataset("d")
    docs.ingest(records(random.Random(seed), count), embedder="hashing", chunk_tokens=20)
    return docs


@pytest.fixture(scope="module")
def docs() -> vecver.Dataset:
    return dataset(3, 60)


@pytest.fixture(scope="module")
def indexed() -> vecver.Dataset:
    """As `docs`, but large enough for an index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss.costs, "INDEX_ROWS", 500)
        docs = dataset(4, 400)
        docs.search("heat")
    return docs


OPTIONS = st.fixed_dictionaries(
    {"k": st.integers(1, 30)},
    optional={
        "offset": st.integers(0, 30),
        "per_document": st.integers(1, 3),
        "min_score": st.sampled_from([-0.5, 0.0, 0.2, 0.4]),
        "diversity": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "filter": st.sampled_from([{"even": True}, {"even": False}]),
    },
)


def by_definition(docs: vecver.Dataset, asked: vecver.Answer, how: dict[str, Any]) -> list[Any]:
    filter = how.get("filter")
    even = {f"d{number}" for number in range(1000) if number % 2 == 0}
    rest = {name: value for name, value in how.items() if name != "filter"}
    rows = rows_of(docs, query_of(asked))
    return expected(
        answer(
            rows,
            docs.show().recipe.space.metric,
            titles=True,
            keep=lambda row: filter is None or (row.document in even) == filter["even"],
            **rest,
        )
    )


@settings(max_examples=50)
@given(st.sampled_from(QUESTIONS), OPTIONS)
def test_answers_are_what_they_are_defined_to_be(docs: vecver.Dataset, query: str, how: dict[str, Any]) -> None:
    found = docs.search(query, **how)
    assert told(found) == by_definition(docs, found, how)
    offset = how.get("offset", 0)
    assert [hit.rank for hit in found] == list(range(offset + 1, offset + 1 + len(found)))
    assert vecver.replay(docs.repository, found.receipt) == vecver.Replay(True, (), None)
    more = docs.search(query, **{**how, "k": how["k"] + 7})
    assert more.hits[: len(found)] == found.hits, "the top k is a prefix"


@settings(max_examples=25)
@given(st.sampled_from(QUESTIONS), OPTIONS)
def test_exact_answers_of_an_indexed_version(indexed: vecver.Dataset, query: str, how: dict[str, Any]) -> None:
    found = indexed.search(query, exact=True, **how)
    assert told(found) == by_definition(indexed, found, how)


@settings(max_examples=25)
@given(st.sampled_from(QUESTIONS), OPTIONS)
def test_approximate_answers_are_proved_by_replay(indexed: vecver.Dataset, query: str, how: dict[str, Any]) -> None:
    found = indexed.search(query, **how)
    outcome = vecver.replay(indexed.repository, found.receipt)
    assert outcome.identical and not outcome.notes, outcome
    keys = [hit.key for hit in found]
    assert len(set(keys)) == len(keys)
    if how.get("per_document"):
        documents = [hit.document for hit in found]
        assert max(map(documents.count, documents), default=0) <= how["per_document"]


@settings(max_examples=25)
@given(st.sampled_from(QUESTIONS), OPTIONS, st.integers(1, 12))
def test_pages_join(docs: vecver.Dataset, query: str, how: dict[str, Any], size: int) -> None:
    how = {name: value for name, value in how.items() if name not in ("k", "offset")}
    whole = docs.search(query, k=40, **how)
    pages = [docs.search(query, k=size, offset=start, **how) for start in range(0, 40, size)]
    joined = [hit for page in pages for hit in page]
    assert joined[:40] == list(whole)


@settings(max_examples=25)
@given(st.sampled_from(QUESTIONS), st.sampled_from([1, 3, 5]))
def test_approximate_pages_join_while_the_index_looks_equally_far(
    indexed: vecver.Dataset, query: str, size: int
) -> None:
    """Hits 6 to 20: at most 40 rows, and more than 10."""
    whole = indexed.search(query, k=20)
    pages = [indexed.search(query, k=size, offset=start) for start in range(5, 20, size)]
    assert whole.receipt["engine"]["name"] == pages[0].receipt["engine"]["name"] != "exact"
    assert [hit for page in pages for hit in page] == list(whole[5:])


def test_recall_is_that_of_the_hits(indexed: vecver.Dataset) -> None:
    """Not of the rows that they are made of."""
    measured = indexed.recall(k=[5, 10], queries=QUESTIONS)
    for at in measured.at:
        shares = []
        for query in QUESTIONS:
            true, got = (indexed.search(query, k=at.k, exact=exact) for exact in (True, False))
            shares.append(len({hit.key for hit in true} & {hit.key for hit in got}) / at.k)
        assert at.ann_recall == pytest.approx(sum(shares) / len(shares))


def with_books(**how: Any) -> vecver.Dataset:
    """Two long documents, which have nearly all of the best rows, and some short ones."""
    docs, chance = open_on(MemoryStore(), **how).dataset("d"), random.Random(7)
    books = [{"id": f"book{number}", "title": "pump oil", "text": text(chance, 150)} for number in range(2)]
    docs.ingest([*books, *records(chance, 12)], embedder="hashing", chunk_tokens=20)
    return docs


def test_long_documents_leave_room_for_others() -> None:
    docs = with_books()
    for how in ({"per_document": 1}, {"per_document": 2, "k": 7, "offset": 3}, {"per_document": 1, "diversity": 0.3}):
        found = docs.search("pump oil", **how)
        assert told(found) == by_definition(docs, found, how)
        assert {"book0", "book1"} <= {hit.document for hit in docs.search("pump oil", per_document=1)}
        assert vecver.replay(docs.repository, found.receipt) == vecver.Replay(True, (), None)


def test_long_documents_leave_room_for_others_in_milvus(milvus: str) -> None:
    docs = with_books(milvus=vecver.Milvus(milvus))
    docs.publish()
    for how in ({"per_document": 1}, {"per_document": 2, "k": 7, "offset": 3}, {"per_document": 1, "min_score": 0.1}):
        found = docs.search("pump oil", engine="milvus", **how)
        assert told(found) == by_definition(docs, found, how)
        assert found.receipt["engine"]["name"] == "milvus"
        like = docs.more_like("book0", engine="milvus", **how)
        assert like.hits == docs.more_like("book0", exact=True, **how).hits
        assert like.receipt["engine"]["name"] == "milvus" and "book0" not in {hit.document for hit in like}
        nobody = docs.search("pump oil", engine="milvus", missing="empty", filter={"tenant": {"$ne": 7}, "even": True})
        assert nobody.hits == docs.search("pump oil", filter={"even": True}).hits and nobody.missing
        assert vecver.replay(docs.repository, found.receipt).identical


def test_milvus_answers_alike(milvus: str) -> None:
    docs = dataset(5, 40, milvus=vecver.Milvus(milvus))
    docs.publish()
    chance = random.Random(6)
    for query in QUESTIONS:
        for _ in range(4):
            how = _options(chance)
            through, here = docs.search(query, engine="milvus", **how), docs.search(query, exact=True, **how)
            assert through.hits == here.hits, how
            assert told(here) == by_definition(docs, here, how)
            assert vecver.replay(docs.repository, through.receipt).identical
            assert docs.search(query, engine="milvus", exact=True, **how).hits == here.hits


def _options(chance: random.Random) -> dict[str, Any]:
    choices: dict[str, list[Any]] = {
        "k": [1, 5, 20],
        "offset": [0, 3, 15],
        "per_document": [None, 1, 2],
        "min_score": [None, 0.0, 0.3],
        "diversity": [None, 0.4],
        "filter": [None, {"even": True}],
    }
    return {name: chance.choice(values) for name, values in choices.items()}
