"""Searching parts: who proposes, one exact score for all, one order. Knows rows, not documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecver.index import exact as scan
from vecver.index import faiss
from vecver.index.scores import ranked, scores
from vecver.model import Metric, Part, Vectors


@dataclass(frozen=True)
class Found:
    """A row that answers: which part, which row of it, and its score."""

    part: int
    row: int
    score: float


def search(parts: Sequence[Part], query: Vectors, k: int, metric: Metric, *, exact: bool) -> list[Found]:
    """The best `k` live rows over all parts, best first; fewer only if fewer are live.

    `query`: `(dim,)` float32, normalised as the space's metric wants. `exact`: the true top k;
    otherwise parts with an index may miss some.
    """
    where, score, keys = [], [], []
    for number, part in enumerate(parts):
        if not part.live_count:
            continue
        rows = faiss.candidates(part, query, k) if not exact and faiss.proposes(part, k) else None
        if rows is None or len(rows) < min(k, part.live_count):  # an index that came up short is not believed
            rows = scan.candidates(part, query, k, metric)
        found = scores(query, part.vectors[rows], metric)
        best = ranked(found, part.keys[rows], k)
        where.append(np.stack([np.full(len(best), number), rows[best]], axis=1))
        score.append(found[best])
        keys.append(part.keys[rows[best]])
    if not where:
        return []
    places, values = np.concatenate(where), np.concatenate(score)
    return [
        Found(int(places[i, 0]), int(places[i, 1]), float(values[i])) for i in ranked(values, np.concatenate(keys), k)
    ]


def is_exact(parts: Sequence[Part], k: int, *, exact: bool) -> bool:
    """Will `search` answer with the true top k, whatever was asked?"""
    return exact or not any(faiss.proposes(part, k) for part in parts)
