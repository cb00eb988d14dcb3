"""The answer to a question by its definition, over all rows of a version and in plain Python: what search promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from inside import versions_of

import vecver
from vecver import index
from vecver.model import Vectors


class Row(NamedTuple):
    """A live chunk, and what a hit says of it."""

    score: float
    key: str
    document: str
    is_title: bool
    vector: Vectors
    by: str | None = None


def rows_of(docs: vecver.Dataset, query: Vectors, at: str = "main") -> list[Row]:
    """Every live chunk of a version with its score."""
    snapshot = versions_of(docs).snapshot(docs.resolve(at))
    metric = snapshot.commit.recipe.space.metric
    places = [(n, row) for n, part in enumerate(snapshot.layout.segments) for row in part.chunks]
    found = []
    for place, chunk in zip(places, snapshot.chunks(places), strict=True):
        vector = snapshot.vectors(place[0])[place[1]]
        (score,) = index.scores(query, vector[None, :], metric)
        found.append(Row(float(score), chunk.key.hex(), chunk.document, chunk.span == (0, 0), vector))
    return found


def answer(
    rows: list[Row],
    metric: Any,
    *,
    k: int = 10,
    offset: int = 0,
    titles: bool = False,
    per_document: int | None = None,
    min_score: float | None = None,
    diversity: float | None = None,
    keep: Callable[[Row], bool] = lambda _: True,
) -> list[Row]:
    """The hits `offset` to `offset + k`."""
    ranking = sorted((row for row in rows if keep(row)), key=lambda row: (-row.score, row.key))
    if titles:
        ranking = _lifted(ranking)
    if min_score is not None:
        ranking = [row for row in ranking if row.score >= min_score]
    if per_document is not None:
        counts: dict[str, int] = {}
        kept = []
        for row in ranking:
            counts[row.document] = counts.get(row.document, 0) + 1
            kept += [row] * (counts[row.document] <= per_document)
        ranking = kept
    if diversity:
        ranking = _diverse(ranking, metric, diversity, offset + k)
    return ranking[offset : offset + k]


def _lifted(ranking: list[Row]) -> list[Row]:
    best: dict[str, Row] = {}
    for row in ranking:
        if not row.is_title:
            best.setdefault(row.document, row)
    found: dict[str, Row] = {}
    for row in ranking:
        if row.is_title and row.document in best:
            row = best[row.document]._replace(score=row.score, by="title")
        found.setdefault(row.key, row)
    return list(found.values())


def _diverse(ranking: list[Row], metric: Any, diversity: float, count: int) -> list[Row]:
    left, chosen = list(enumerate(ranking, 1)), list[Row]()
    for place in range(1, min(count, len(ranking)) + 1):
        pool = [(number, row) for number, row in left if number <= max(40, 4 * place)]

        def value(row: Row) -> float:
            near = max(float(index.scores(row.vector, one.vector[None, :], metric)[0]) for one in chosen)
            return (1 - diversity) * row.score - diversity * near

        best = min(pool, key=lambda one: (-value(one[1]), one[1].key)) if chosen else pool[0]
        left.remove(best)
        chosen.append(best[1])
    return chosen


def told(found: vecver.Answer) -> list[tuple[str, float, str | None]]:
    """The hits of an answer in the form of the reference."""
    return [(hit.key, hit.score, hit.by) for hit in found]


def expected(rows: list[Row]) -> list[tuple[str, float, str | None]]:
    """The same of the reference's rows."""
    return [(row.key, row.score, row.by) for row in rows]


def query_of(found: vecver.Answer) -> Vectors:
    """The vector that was searched with, from the receipt."""
    import base64

    return np.frombuffer(base64.b64decode(found.receipt["query"]["vector"]), "<f4")
