"""Titles: a title chunk is not a hit; it gives its score to the best passage of its document. Knows no engine.

The ranking of rows is by score, then key. In it every title row stands for the best passage of its document: the row
with the highest exact score that is no title and that the filter selects. Each passage appears once, where it or its
title comes first, with the score of that place. So a passage has the higher of two scores: its own and, if it is its
document's best, its title's. The title of a document without such a passage stays a hit. Rows are mapped in order from
the first on, so the top k stays a prefix of the top k + 1; k hits need 2 k rows where every document has one title.

Decisions
1. Whether a row is a title is looked up for ranked rows only. Keeping it for all rows of a version would make the first
   search of every commit read all its documents.
2. The passages of all titles among the first k rows are looked up and scored together: a search of 21,000 chunks of
   3,000 titled documents takes 1.6 ms, one by one 2.0, and 1.25 where titles are hits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vecver import index

if TYPE_CHECKING:
    from vecver.flows.searching.milvus import Ranked
    from vecver.flows.searching.selections import Selection
    from vecver.model import Json, Vectors
    from vecver.repo import Owner, Snapshot

BY_TITLE = "title"

Keys = npt.NDArray[np.uint8]  # (n, 16)
# (the query as `rank` got it, segment numbers, rows) -> the scores of these rows
Score: TypeAlias = "Callable[[Any, npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float64]]"


class Row(NamedTuple):
    """A chunk in a ranking."""

    place: tuple[int, int]  # segment number, row in it
    score: float
    title: tuple[int, int] | None = None  # the place of its document's title, if that gave it its score
    said: Json | None = None  # fields of its hit that say what gave it its place: `dense`, `keyword`, `reranked`

    @property
    def by(self) -> str | None:
        """`Hit.by`: what gave it its score; None: its own vector."""
        return BY_TITLE if self.title else None


def lifted(
    snapshot: Snapshot,
    selection: Selection | None,
    query: Vectors,
    rows: Ranked,
    enough: int | None = None,
    score: Score | None = None,
) -> list[Row]:
    """The passages that these rows rank, best first, each once; at least the first `enough`, or all for None.

    `query`: `(dim,)`; `rows`: best first; `score`: of passages, by default that of their vectors.
    """
    seen: dict[tuple[int, int], Row] = {}
    for some in (rows,) if enough is None else (rows[:enough], rows[enough:]):
        if enough is not None and len(seen) >= enough:
            break
        owners = snapshot.owners([place for place, _ in some])
        titles = [snapshot.is_title(place, owner) for (place, _), owner in zip(some, owners, strict=True)]
        best = best_passages(
            snapshot,
            selection,
            query,
            [owner for owner, is_title in zip(owners, titles, strict=True) if is_title],
            score,
        )
        for (place, value), owner, is_title in zip(some, owners, titles, strict=True):
            passage = best[owner.document] if is_title else None
            row = Row(place, value) if passage is None else Row(passage, value, place)
            seen.setdefault(row.place, row)
    return list(seen.values())


def best_passages(
    snapshot: Snapshot,
    selection: Selection | None,
    query: Vectors,
    owners: Sequence[Owner],
    score: Score | None = None,
) -> dict[str, tuple[int, int] | None]:
    """By document: the place of its best selected row that is no title; None where it has none."""
    keys = {owner.document: snapshot.chunk_keys(owner)[1] for owner in set(owners)}
    if not keys:
        return {}
    together = np.concatenate(list(keys.values()))
    numbers, rows = snapshot.find_chunks(together)
    edges = np.cumsum([0, *map(len, keys.values())])
    if selection is not None:
        chosen = np.flatnonzero(selection.holds(numbers, rows))
        together, numbers, rows = together[chosen], numbers[chosen], rows[chosen]
        edges = np.searchsorted(chosen, edges)
    metric = snapshot.commit.recipe.space.metric
    vectors = snapshot.vectors_at(numbers, rows) if score is None else None
    scores = None if score is None else score(query, numbers, rows)
    found: dict[str, tuple[int, int] | None] = {}
    for document, (first, last) in zip(keys, pairwise(edges.tolist()), strict=True):
        mine = slice(first, last)
        best = first
        if last > first + 1 and vectors is not None:
            best += index.best_of(query, vectors[mine], together[mine], metric)
        elif last > first + 1 and scores is not None:
            best += int(index.ranked(scores[mine], together[mine], 1)[0])
        found[document] = (int(numbers[best]), int(rows[best])) if last > first else None
    return found


def title_scores(
    snapshot: Snapshot, selection: Selection | None, query: Vectors, owner: Owner, score: Score | None = None
) -> list[tuple[float, bytes]]:
    """(score, key) of a document's selected title rows."""
    keys = snapshot.chunk_keys(owner)[0]
    numbers, rows = snapshot.find_chunks(keys)
    if selection is not None:
        chosen = selection.holds(numbers, rows)
        keys, numbers, rows = keys[chosen], numbers[chosen], rows[chosen]
    if score is not None:
        scores = score(query, numbers, rows)
    else:
        scores = index.scores(query, snapshot.vectors_at(numbers, rows), snapshot.commit.recipe.space.metric)
    return [(score, key.tobytes()) for score, key in zip(scores.tolist(), keys, strict=True)]
