"""Calibration: measures how far a search through an index must look, on vectors that are as hard as real questions.

Questions are harder for an index than its rows: their answers lie more often at the edge of a list, they lie farther
from all rows, and some come from another domain. Building an index has no questions at hand, so it makes vectors from
rows: plain rows; rows from the edge of their list; edge rows moved by growing parts of the difference of two other
rows; edge rows moved in a random direction; and edge rows moved towards the mean of all rows. The row that a vector
was made from does not count as its neighbour.

Decisions
1. Margins are measured on plain rows, edge rows and edge rows moved by differences. For 24 kinds of real questions on
   36,000 passages (MiniLM) the nearness of the k-th row less that of its list's centroid, 98% quantile, was 0.23-0.33
   where the k-th is at 0.25 and 0.31-0.42 where it is at 0.45. Plain rows give 0.28 and 0.23 there, mixtures of rows
   0.2-0.28, edge rows 0.33-0.41, moved ones 0.31-0.41.
2. Vectors moved in a random direction or to the mean count for candidates, not for margins. They shrink all nearness:
   their margin of 0.21 for far questions lost 15% of the answers of Chinese questions among English rows.
3. Neighbours are looked up among at most 131,072 rows, since margins depend on nearness, not on the row count. A row's
   rank by codes does grow with the rows: ranks are scaled with the root of how many times more rows there are. Without
   it 1,000,000 mixtures of 128 dimensions gave 0.978 for eight kinds of questions and 0.938 for the worst, with twice
   the candidates 0.988 and 0.960, with four times 0.994 and 0.978; looking among all rows took as long as the index.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.index.faiss.effort import CLASSES, Effort, Line, Reach
from vecver.index.faiss.library import library, metric_number
from vecver.index.scoring import Rows, normalised
from vecver.model import Metric, Vectors

MOST_ROWS = 131_072
_SEED = 20261126
_EACH = 48  # vectors of each kind
_MOVED = (0.0, 0.3, 0.5, 0.7, 1.0)  # part of the difference of two rows that is added
# How far from the rows' mean; part of such a difference; part of the rows' spread, in a random direction.
_STRANGE = ((1.0, 0.5, 1.0), (1.0, 0.5, 1.5), (1.0, 0.5, 2.0), (0.4, 0.0, 0.0), (0.4, 0.0, 0.5))
_EDGE = 0.1  # share of the rows that are the edge
_KNOTS = 6
_REACHED, _RANKED = 0.99, 0.99  # share of the nearest rows whose lists are read; that are among the candidates
_COMMON, _DEEP = 0.5, 0.9  # share of the queries for which the first look has enough lists; enough candidates
_SAME = 1e-4  # smaller changes are not stored
_DEEPEST = 2048  # candidates among which the rank of a near row is looked up, and 16 more for each of k


def calibrate(index: Any, lists: npt.NDArray[np.uint16], vectors: Vectors, metric: Metric, *, rows: int) -> Effort:
    """The effort that finds the nearest rows of question-like vectors, measured among at most `rows` rows.

    `index`: FAISS's, over `vectors`, `(n, dim)`; `lists`: the list of each row, `(n,)`.
    """
    base = spread_rows(np.arange(len(vectors)), rows)
    space = Space(index, lists[base], np.ascontiguousarray(vectors[base]), metric)
    queries, origin = question_like(space, _SEED)
    most = min(CLASSES[-1], len(base) - 1)
    near, nearest = nearest_rows(space, queries, origin, most)
    centroid_near = space.centroid_nearness(queries)
    list_near = np.take_along_axis(centroid_near, space.lists[nearest].astype(np.int64), axis=1)
    ranks = _ranks(index, queries, base, nearest, len(vectors))
    measured = [_class(near[:, :k], list_near[:, :k], ranks[:, :k], centroid_near) for k in CLASSES]
    probes = np.maximum.accumulate([lists for lists, _, _ in measured])
    widths = np.maximum.accumulate([width for _, width, _ in measured])
    return Effort(tuple(probes.tolist()), tuple(widths.tolist()), tuple(reach for *_, reach in measured))


def raised(
    effort: Effort,
    index: Any,
    lists: npt.NDArray[np.uint16],
    vectors: Vectors,
    metric: Metric,
    queries: Vectors,
    live: Rows,
) -> Effort:
    """The effort, widened until these queries find their nearest among the `live` rows; never narrowed.

    `queries`: `(m, dim)`, normalised as the metric needs; `live`: row numbers, ascending.
    """
    base = spread_rows(live, MOST_ROWS)
    space = Space(index, lists[base], np.ascontiguousarray(vectors[base]), metric)
    most = min(CLASSES[-1], len(base) - 1)
    near, nearest = nearest_rows(space, queries, np.full(len(queries), -1), most)
    list_near = np.take_along_axis(space.centroid_nearness(queries), space.lists[nearest].astype(np.int64), axis=1)
    ranks = _ranks(index, queries, base, nearest, len(live))
    reach = [
        _raised(old, near[:, :k], list_near[:, :k], ranks[:, :k]) for old, k in zip(effort.reach, CLASSES, strict=True)
    ]
    return replace(effort, reach=tuple(reach))


def spread_rows(rows: Rows, most: int) -> Rows:
    """At most `most` of these rows, spread evenly."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]


def _raised(reach: Reach, near: npt.NDArray[np.float32], list_near: npt.NDArray[np.float32], ranks: Rows) -> Reach:
    kth = near[:, -1]
    beyond = (kth[:, None] - list_near) - np.array([reach.margins(value) for value in kth])[:, None]
    times = (ranks + 2) / np.array([reach.widths(value) for value in kth])[:, None]
    margin = float(np.quantile(beyond, _REACHED, method="higher"))
    width = float(np.quantile(times, _RANKED, method="higher"))
    if margin <= _SAME and width <= 1 + _SAME:
        return reach
    return reach.raised(max(margin + _SAME, 0.0), max(width + _SAME, 1.0))


def _class(
    near: npt.NDArray[np.float32],
    list_near: npt.NDArray[np.float32],
    ranks: Rows,
    centroid_near: npt.NDArray[np.float32],
) -> tuple[float, int, Reach]:
    """For one k the lists and candidates of a typical query, and the reach.

    `near`, `list_near`, `ranks`: of each near row its nearness, that of its list's centroid, its rank by codes,
    `(m, k)`; `centroid_near`: `(m, lists)`.
    """
    kth, nearest = near[:, -1], centroid_near.max(axis=1)
    inside = (1 + len(_MOVED)) * _EACH  # the vectors on which margins are measured
    margins = _by_nearness(kth[:inside], (kth[:, None] - list_near)[:inside], _REACHED)
    widths = _by_nearness(kth, np.maximum(ranks + 2, near.shape[1]), _RANKED)
    least, wanted = kth - [margins(value) for value in kth], np.array([widths(value) for value in kth])
    first = _by_nearness(nearest, least, 1 - _COMMON)
    reach = Reach(margins, widths, first, _by_nearness(nearest, wanted, _DEEP))
    lists = (centroid_near >= least[:, None]).sum(axis=1)
    return max(1.0, float(np.median(lists))), int(np.ceil(np.median(wanted))), reach


def _by_nearness(near: npt.NDArray[np.float32], values: npt.NDArray[Any], share: float) -> Line:
    """The quantile of the queries' values in each group of queries of similar nearness, at the group's median."""
    groups = np.array_split(np.argsort(near, kind="stable"), _KNOTS)
    middles = [float(np.median(near[group])) for group in groups]
    quantiles = [float(np.quantile(values[group], share, method="higher")) for group in groups]
    return Line(tuple(np.round(middles, 4).tolist()), tuple(np.round(quantiles, 4).tolist()))


class Space:
    """The rows among which neighbours are looked up, their lists, and the centroids of all lists."""

    def __init__(self, index: Any, lists: npt.NDArray[np.uint16], rows: Vectors, metric: Metric) -> None:
        self.lists, self.rows, self.metric = lists, rows, metric
        self.centroids: Vectors = index.quantizer.reconstruct_n(0, index.nlist)

    def centroid_nearness(self, queries: Vectors) -> npt.NDArray[np.float32]:
        """`(m, lists)`."""
        if self.metric != "l2":
            return queries @ self.centroids.T / _norms(queries)[:, None]
        return np.stack([-np.sqrt(np.square(self.centroids - query).sum(axis=1)) for query in queries])

    def edge(self) -> Rows:
        """The rows that are least similar to the centroid of their list, `(n,)` ascending."""
        similarity = np.empty(len(self.rows), np.float32)
        for start in range(0, len(similarity), 8192):
            block = slice(start, start + 8192)
            rows, centroids = self.rows[block], self.centroids[self.lists[block]]
            if self.metric == "l2":
                similarity[block] = -np.square(rows - centroids).sum(axis=1)
            else:
                similarity[block] = np.vecdot(rows, centroids) / _norms(rows)
        count = max(1, int(_EDGE * len(similarity)))
        return np.sort(np.argpartition(similarity, count - 1)[:count])


def question_like(space: Space, seed: int) -> tuple[Vectors, Rows]:
    """Vectors as hard as questions, `(m, dim)`, and the row that each was made from, `(m,)`."""
    rng, rows, edge = np.random.default_rng(seed), space.rows, space.edge()
    middle, dim = rows.mean(axis=0), rows.shape[1]
    spread = float(np.sqrt(np.square(rows - middle).sum(axis=1).mean()))
    origin = [rng.integers(len(rows), size=_EACH)]
    made = [rows[origin[0]]]
    for kept, moved, random in [*((1.0, moved, 0.0) for moved in _MOVED), *_STRANGE]:
        origin.append(rng.choice(edge, _EACH))
        left, right = rng.integers(len(rows), size=(2, _EACH))
        aside = rng.standard_normal((_EACH, dim)) * spread / np.sqrt(dim)
        start = middle + kept * (rows[origin[-1]] - middle)
        made.append(start + moved * (rows[left] - rows[right]) / np.sqrt(2) + random * aside)
    return normalised(np.concatenate(made).astype(np.float32), space.metric), np.concatenate(origin)


def nearest_rows(space: Space, queries: Vectors, origin: Rows, most: int) -> tuple[npt.NDArray[np.float32], Rows]:
    """The nearness of the `most` nearest rows of each query but its origin, descending, and their numbers."""
    scores, nearest = library().knn(queries, space.rows, most + 1, metric=metric_number(space.metric))
    others = np.argsort(nearest == origin[:, None], axis=1, kind="stable")[:, :most]
    scores = np.take_along_axis(scores, others, axis=1)
    near = -np.sqrt(np.maximum(scores, 0)) if space.metric == "l2" else scores / _norms(queries)[:, None]
    return near.astype(np.float32), np.take_along_axis(nearest, others, axis=1)


def _ranks(index: Any, queries: Vectors, base: Rows, nearest: Rows, among: int) -> Rows:
    """The rank that the index's codes give each of the nearest rows, `(m, k)`, estimated from that in a sample.

    `base`: the sample; `among`: how many rows it was drawn from. The row count where the codes rank a row too low: all
    rows become candidates then, and the cost rule prefers the scan (one vector a thousand times longer than the others
    spoils the codes of all).
    """
    faiss, most, count = library(), min(_DEEPEST + 16 * nearest.shape[1], len(base)), index.ntotal
    more = np.sqrt(among / len(base))
    selected = np.zeros(count, bool)
    selected[base] = True
    selector = None if len(base) == count else faiss.IDSelectorBitmap(np.packbits(selected, bitorder="little"))
    _, ranked = index.search(queries, most, params=faiss.SearchParametersIVF(nprobe=index.nlist, sel=selector))
    ranks, rank_of = np.empty(nearest.shape, np.int64), np.full(count, count)
    for query, rows in enumerate(ranked):
        rows = rows[rows >= 0]
        rank_of[rows] = np.minimum(more * np.arange(len(rows)), count)
        ranks[query] = rank_of[base[nearest[query]]]
        rank_of[rows] = count
    return ranks


def _norms(vectors: Vectors) -> npt.NDArray[np.float32]:
    norms = np.sqrt(np.vecdot(vectors, vectors))
    return np.where(norms > 0, norms, np.float32(1))
