"""Calibration: measures how far a search through an index must look, on vectors that are as hard as questions are.

Questions are harder for an index than its rows are. Their answers are more often rows that lie at the edge of
their list, they lie farther from all rows, and some come from another world than the rows. No model is at hand when
an index is built, so such vectors are made from the rows: rows as they are; rows from the edge of their list, and
the same moved by more and more of the difference of two other rows (as far as rows differ, and in the
directions in which they do); moved in any direction; and moved towards the mean of all rows. The row that a vector
was made from is not counted.

Decisions
- 2026-11-26 36,000 passages under MiniLM, 24 kinds of real questions: the nearness of the k-th row less that of the
  list's centroid, 98% quantile, was 0.23-0.33 where the k-th is at 0.25, and 0.31-0.42 where it is at 0.45. Plain rows
  say 0.28 and 0.23 there, mixtures of rows 0.2-0.28, rows from the edge 0.33-0.41, moved ones 0.31-0.41. Only vectors
  from the edge are as hard as questions.
- 2026-11-26 rows moved in any direction or to the mean are not asked for margins, only for candidates: they scale all
  nearness down, and a margin of 0.21 for far questions lost 15% of what Chinese questions have to find among English
  rows.
- 2026-11-26 neighbours are looked up among at most 131,072 rows: what is measured depends on nearness, not on how
  many rows there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.index.effort import CLASSES, Effort, Line, Reach
from vecver.index.scoring import Rows, normalised
from vecver.model import Metric, Vectors

MOST_ROWS = 131_072
_EACH = 48  # vectors of each kind
_MOVED = (0.0, 0.3, 0.5, 0.7, 1.0)  # by how much of the difference of two rows
# How far from the rows' mean, by how much of such a difference, and of the rows' spread in any direction.
_STRANGE = ((1.0, 0.5, 1.0), (1.0, 0.5, 1.5), (1.0, 0.5, 2.0), (0.4, 0.0, 0.0), (0.4, 0.0, 0.5))
_EDGE = 0.1  # share of the rows that are the edge
_KNOTS = 6
_REACHED, _RANKED = 0.99, 0.99  # share of the nearest rows whose lists are read, and that the codes rank high enough
_COMMON, _DEEP = 0.5, 0.9  # share of the queries for which lists and candidates of the first look suffice
_SAME = 1e-4  # no more is not worth a change
_DEEPEST = 2048  # candidates that are looked through for the rank of a near row, and 16 for each of k


def calibrate(index: Any, lists: npt.NDArray[np.uint16], vectors: Vectors, metric: Metric, *, rows: int) -> Effort:
    """The effort that finds the nearest rows of vectors like questions. `rows`: look among at most so many.

    `index`: FAISS's, over `vectors`, `(n, dim)`; `lists`: the list of each row.
    """
    base = np.unique(np.linspace(0, len(vectors) - 1, min(rows, len(vectors))).astype(np.int64))
    space = _Space(index, lists[base], np.ascontiguousarray(vectors[base]), metric)
    queries, origin = _question_like(space)
    most = min(CLASSES[-1], len(base) - 1)
    near, nearest = _nearest(space, queries, origin, most)
    centroid = space.centroid_nearness(queries)
    there = np.take_along_axis(centroid, space.lists[nearest].astype(np.int64), axis=1)
    places = _places(index, queries, base, nearest)
    measured = [_class(near[:, :k], there[:, :k], places[:, :k], centroid) for k in CLASSES]
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
    """An effort that also finds what these queries have to find among the `live` rows; never a smaller one.

    `queries`: `(m, dim)`, as the space's metric wants; `live`: row numbers, ascending.
    """
    base = live[np.unique(np.linspace(0, len(live) - 1, min(MOST_ROWS, len(live))).astype(np.int64))]
    space = _Space(index, lists[base], np.ascontiguousarray(vectors[base]), metric)
    most = min(CLASSES[-1], len(base) - 1)
    near, nearest = _nearest(space, queries, np.full(len(queries), -1), most)
    there = np.take_along_axis(space.centroid_nearness(queries), space.lists[nearest].astype(np.int64), axis=1)
    places = _places(index, queries, base, nearest)
    reach = [
        _raised(one, near[:, :k], there[:, :k], places[:, :k]) for one, k in zip(effort.reach, CLASSES, strict=True)
    ]
    return replace(effort, reach=tuple(reach))


def _raised(reach: Reach, near: npt.NDArray[np.float32], there: npt.NDArray[np.float32], places: Rows) -> Reach:
    kth = near[:, -1]
    beyond = (kth[:, None] - there) - np.array([reach.margins(one) for one in kth])[:, None]
    times = (places + 2) / np.array([reach.widths(one) for one in kth])[:, None]
    margin = float(np.quantile(beyond, _REACHED, method="higher"))
    width = float(np.quantile(times, _RANKED, method="higher"))
    if margin <= _SAME and width <= 1 + _SAME:
        return reach
    return reach.raised(max(margin + _SAME, 0.0), max(width + _SAME, 1.0))


def _class(
    near: npt.NDArray[np.float32], there: npt.NDArray[np.float32], places: Rows, centroid: npt.NDArray[np.float32]
) -> tuple[float, int, Reach]:
    """For one k the lists and candidates of a typical query, and the reach.

    `near`, `there`, `places`: `(m, k)` of each near row: its nearness, that of its list, its rank by codes.
    """
    kth, nearest = near[:, -1], centroid.max(axis=1)
    inside = (1 + len(_MOVED)) * _EACH  # the vectors that margins are asked of
    margins = _by_nearness(kth[:inside], (kth[:, None] - there)[:inside], _REACHED)
    widths = _by_nearness(kth, np.maximum(places + 2, near.shape[1]), _RANKED)
    least, wanted = kth - [margins(one) for one in kth], np.array([widths(one) for one in kth])
    first = _by_nearness(nearest, least, 1 - _COMMON)
    reach = Reach(margins, widths, first, _by_nearness(nearest, wanted, _DEEP))
    lists = (centroid >= least[:, None]).sum(axis=1)
    return max(1.0, float(np.median(lists))), int(np.ceil(np.median(wanted))), reach


def _by_nearness(near: npt.NDArray[np.float32], values: npt.NDArray[Any], share: float) -> Line:
    """The quantile of the queries' values, in groups of like nearness: at the middle of each."""
    groups = np.array_split(np.argsort(near, kind="stable"), _KNOTS)
    middles = [float(np.median(near[group])) for group in groups]
    quantiles = [float(np.quantile(values[group], share, method="higher")) for group in groups]
    return Line(tuple(np.round(middles, 4).tolist()), tuple(np.round(quantiles, 4).tolist()))


class _Space:
    """The rows that are looked among, their lists and the lists' centroids."""

    def __init__(self, index: Any, lists: npt.NDArray[np.uint16], rows: Vectors, metric: Metric) -> None:
        self.lists, self.rows, self.metric = lists, rows, metric
        self.centroids: Vectors = index.quantizer.reconstruct_n(0, index.nlist)

    def centroid_nearness(self, queries: Vectors) -> npt.NDArray[np.float32]:
        """`(m, lists)`."""
        if self.metric != "l2":
            return queries @ self.centroids.T / _norms(queries)[:, None]
        return np.stack([-np.sqrt(np.square(self.centroids - query).sum(axis=1)) for query in queries])

    def edge(self) -> Rows:
        """The rows that are least like the centroid of their list."""
        like = np.empty(len(self.rows), np.float32)
        for start in range(0, len(like), 8192):
            block = slice(start, start + 8192)
            rows, centroids = self.rows[block], self.centroids[self.lists[block]]
            if self.metric == "l2":
                like[block] = -np.square(rows - centroids).sum(axis=1)
            else:
                like[block] = np.vecdot(rows, centroids) / _norms(rows)
        count = max(1, int(_EDGE * len(like)))
        return np.sort(np.argpartition(like, count - 1)[:count])


def _question_like(space: _Space) -> tuple[Vectors, Rows]:
    """Vectors as hard as questions, `(m, dim)`, and the row that each was made from. The same for the same rows."""
    rng, rows, edge = np.random.default_rng(20261126), space.rows, space.edge()
    middle, dim = rows.mean(axis=0), rows.shape[1]
    spread = float(np.sqrt(np.square(rows - middle).sum(axis=1).mean()))
    origin = [rng.integers(len(rows), size=_EACH)]
    made = [rows[origin[0]]]
    for kept, moved, anywhere in [*((1.0, moved, 0.0) for moved in _MOVED), *_STRANGE]:
        origin.append(rng.choice(edge, _EACH))
        one, other = rng.integers(len(rows), size=(2, _EACH))
        aside = rng.standard_normal((_EACH, dim)) * spread / np.sqrt(dim)
        start = middle + kept * (rows[origin[-1]] - middle)
        made.append(start + moved * (rows[one] - rows[other]) / np.sqrt(2) + anywhere * aside)
    return normalised(np.concatenate(made).astype(np.float32), space.metric), np.concatenate(origin)


def _nearest(space: _Space, queries: Vectors, origin: Rows, most: int) -> tuple[npt.NDArray[np.float32], Rows]:
    """The nearness of the `most` nearest rows of each query, descending, and which they are; not its own row."""
    faiss = _library()
    kind = faiss.METRIC_L2 if space.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    scores, nearest = faiss.knn(queries, space.rows, most + 1, metric=kind)
    others = np.argsort(nearest == origin[:, None], axis=1, kind="stable")[:, :most]
    scores = np.take_along_axis(scores, others, axis=1)
    near = -np.sqrt(np.maximum(scores, 0)) if space.metric == "l2" else scores / _norms(queries)[:, None]
    return near.astype(np.float32), np.take_along_axis(nearest, others, axis=1)


def _places(index: Any, queries: Vectors, base: Rows, nearest: Rows) -> Rows:
    """Where the index ranks each of the nearest rows, `(m, k)`; behind all where it was not found so deep.

    Then the candidates become all rows, and the cost rule leaves such data (one vector a thousand times
    longer than the others spoils the codes of all) to the scan.
    """
    faiss, most, count = _library(), min(_DEEPEST + 16 * nearest.shape[1], len(base)), index.ntotal
    there = np.zeros(count, bool)
    there[base] = True
    selector = None if len(base) == count else faiss.IDSelectorBitmap(np.packbits(there, bitorder="little"))
    how = faiss.SearchParametersIVF(nprobe=index.nlist, sel=selector)
    _, ranked = index.search(queries, most, params=how)
    places, place_of = np.empty(nearest.shape, np.int64), np.full(count, count)
    for row, found in enumerate(ranked):
        found = found[found >= 0]
        place_of[found] = np.arange(len(found))
        places[row] = place_of[base[nearest[row]]]
        place_of[found] = count
    return places


def _norms(vectors: Vectors) -> npt.NDArray[np.float32]:
    norms = np.sqrt(np.vecdot(vectors, vectors))
    return np.where(norms > 0, norms, np.float32(1))


def _library() -> Any:
    """FAISS, untyped: its stubs do not know all that it has."""
    import faiss

    return faiss
