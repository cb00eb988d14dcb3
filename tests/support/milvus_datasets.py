"""Datasets that are published to a Milvus, held against the same search in this process."""

from __future__ import annotations

from typing import Any

from helpers import Ticking, open_on, vector_of

import vecver
from vecver.store import Store

TEXTS = {f"doc-{i}": f"the text number {i}" for i in range(40)}
QUERIES = [vector_of(f"question {i}") for i in range(6)]


def opened(store: Store, uri: str, **how: Any) -> vecver.Repository:
    """The repository on a store, made if there is none, with this Milvus."""
    return open_on(store, clock=Ticking(), milvus=vecver.Milvus(uri), **how)


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
