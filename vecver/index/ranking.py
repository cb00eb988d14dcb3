"""Ranking: an index or a scan proposes rows of each part; one rule scores and orders them all. Knows no documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vecver.index import exact as exact_scan
from vecver.index import faiss
from vecver.index.scoring import Rows, best_rows, ranked, scores, slack
from vecver.index.side_by_side import each
from vecver.progress import phase

if TYPE_CHECKING:
    from vecver.model import Metric, Part, Vectors


Best = tuple[list[int], list[float]]  # rows of a part, best first, and their scores


class Found(NamedTuple):
    """A row of an answer: its part, its number there, and its score."""

    part: int
    row: int
    score: float


def search(parts: Sequence[Part], queries: Vectors, k: int, metric: Metric, *, exact: bool) -> list[list[Found]]:
    """For each query the best `k` live rows over all parts, best first; fewer only if fewer are live.

    `queries`: `(m, dim)` float32, normalised as the metric needs. `exact`: the true top k; otherwise parts with an
    index may miss some. An answer does not depend on the other queries. The top k is a prefix of the top k + 1: always
    in exact answers, else where both k are in one class of `faiss.effort`.
    """
    answers: list[list[Found]] = [[] for _ in queries]
    found = each(parts, partial(_searched, queries=queries, k=k, metric=metric, exact=exact))
    for number, of_part in enumerate(found):
        for answer, best in zip(answers, of_part, strict=True):
            answer += map(Found, repeat(number), *best)
    return [_merged(parts, answer, k) if len(parts) > 1 else answer for answer in answers]


def is_exact(parts: Sequence[Part], k: int, *, exact: bool) -> bool:
    """True if `search` finds the true top k, also where `exact` does not require it."""
    return exact or not any(faiss.proposes(part, k) for part in parts)


def _searched(part: Part, queries: Vectors, k: int, metric: Metric, *, exact: bool) -> list[Best]:
    """For each query the best `k` live rows of a part."""
    proposed, found = _proposed(part, queries, k, metric, exact=exact), list[Best]()
    for query in queries:
        with phase("propose"):
            rows = next(proposed)
        with phase("re-score"):
            found.append(_best(part, query, rows, k, metric))
    return found


def _proposed(part: Part, queries: Vectors, k: int, metric: Metric, *, exact: bool) -> Iterator[Rows]:
    """The candidates of each query: from the index, or from a scan where the index has none."""
    if is_exact([part], k, exact=exact):
        yield from exact_scan.candidates(part, queries, k, metric)
        return
    proposed = faiss.candidates(part, queries, k)
    missing = [number for number, rows in enumerate(proposed) if rows is None]
    scanned = exact_scan.candidates(part, queries[missing], k, metric) if missing else iter(())
    for rows in proposed:
        yield next(scanned) if rows is None else rows


def _best(part: Part, query: Vectors, rows: Rows, k: int, metric: Metric) -> Best:
    """The best `k` of a part's rows, best first, and their scores."""
    if metric != "l2" and len(rows):
        best = best_rows(query, part.vectors, part.keys, rows, k, slack(query, part.max_norm, metric))
        if best is not None:
            return best
    rows = exact_scan.narrowed(part, query, rows, k, metric)
    score = scores(query, part.vectors, metric, rows)
    order = ranked(score, part.keys[rows], k)
    return rows[order].tolist(), score[order].tolist()


def _merged(parts: Sequence[Part], rows: list[Found], k: int) -> list[Found]:
    """The best `k` of the best rows of several parts."""
    if not rows:
        return rows
    keys = np.stack([parts[row.part].keys[row.row] for row in rows])
    return [rows[i] for i in ranked(np.array([row.score for row in rows]), keys, k)]
