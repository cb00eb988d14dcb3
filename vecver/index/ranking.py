"""Searching parts: who proposes, one exact score for all, one order. Knows rows, not documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecver.index import exact as scan
from vecver.index import faiss
from vecver.index.scoring import Rows, ranked, scores
from vecver.model import Metric, Part, Vectors
from vecver.phases import phase


@dataclass(frozen=True)
class Found:
    """A row that answers: which part, which row of it, and its score."""

    part: int
    row: int
    score: float


def search(parts: Sequence[Part], queries: Vectors, k: int, metric: Metric, *, exact: bool) -> list[list[Found]]:
    """For each query the best `k` live rows over all parts, best first; fewer only if fewer are live.

    `queries`: `(m, dim)` float32, normalised as the space's metric wants. `exact`: the true top k;
    otherwise parts with an index may miss some. An answer does not depend on the other queries. The
    top k is a prefix of the top k+1, always in an exact answer, else where both have one `faiss.width`.
    """
    best: list[list[Found]] = [[] for _ in queries]
    for number, part in enumerate(parts):
        proposed = _proposed(part, queries, k, metric, exact=exact)
        for query, into in zip(queries, best, strict=True):
            with phase("propose"):
                rows = next(proposed)
            with phase("re-score"):
                found = scores(query, part.vectors, metric, rows)
                order = ranked(found, part.keys[rows], k)
                into += [Found(number, int(rows[j]), float(found[j])) for j in order]
    return [_merged(parts, found, k) if len(parts) > 1 else found for found in best]


def is_exact(parts: Sequence[Part], k: int, *, exact: bool) -> bool:
    """Will `search` answer with the true top k, whatever was asked?"""
    return exact or not any(faiss.proposes(part, k) for part in parts)


def _proposed(part: Part, queries: Vectors, k: int, metric: Metric, *, exact: bool) -> Iterator[Rows]:
    """Candidates for each query, from the index or a scan; both where the index could not help some."""
    if is_exact([part], k, exact=exact):
        yield from scan.candidates(part, queries, k, metric)
        return
    proposed = faiss.candidates(part, queries, k)
    scanned = scan.candidates(part, queries[[rows is None for rows in proposed]], k, metric)
    for query, rows in zip(queries, proposed, strict=True):
        yield next(scanned) if rows is None else scan.narrowed(part, query, rows, k, metric)


def _merged(parts: Sequence[Part], found: list[Found], k: int) -> list[Found]:
    """The best `k` of several parts' best."""
    if not found:
        return found
    keys = np.stack([parts[one.part].keys[one.row] for one in found])
    return [found[i] for i in ranked(np.array([one.score for one in found]), keys, k)]
