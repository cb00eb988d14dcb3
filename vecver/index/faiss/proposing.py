"""Proposing: the rows that an index finds for a query. They are scored and ranked elsewhere, by the one rule.

A query first looks into a few lists and learns how near its k-th best row is at least. Then it reads every list that
may still hold a nearer row, by the margins of `effort`. Where rows died the k-th best is farther away, so more lists
are read; where that costs more than a scan, the query is scanned.

Decisions
1. Effort is decided for each query. One effort for all (22 lists, 61 candidates) found 0.94 of the true ten among
   36,000 passages for questions of their domain, and 0.82 and 0.64 for others; now 0.97 to 0.99.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.index.faiss.costs import reading_cost, scan_cost
from vecver.index.faiss.effort import class_of, first_lists
from vecver.index.faiss.library import by_row, library, one_thread
from vecver.index.live import live_rows

if TYPE_CHECKING:
    from vecver.index.faiss.opened import Index, View
    from vecver.index.scoring import Rows
    from vecver.model import Part, Vectors

_LARGEST = float(np.finfo(np.float32).max)
_LEAST = -3e38  # nearness; only a list without live rows is below it
_SHOWING = 4  # times k of the first look's candidates, best first by their codes, show how near the k-th is


def candidates(part: Part, queries: Vectors, k: int) -> list[Rows | None]:
    """For each query of `(m, dim)` float32 the live rows that may be among its best `k`, ascending.

    All live rows where reading the lists costs more than a scan. None where a query is farther from all rows than any
    calibrated vector, or where float32 or FAISS cannot hold its products (a zero vector): such a query needs a scan.
    """
    with one_thread():
        return [_candidates(part, query, k) for query in queries]


def _candidates(part: Part, query: Vectors, k: int) -> Rows | None:
    """A first look into the nearest lists, then all lists that may still hold one of the best `k`."""
    view: View = part.index
    index, size = view.index, class_of(k)
    reach, norm = index.effort.reach_for(size), _norm(query)
    if norm == np.inf:
        return None
    centroid_scores = _centroid_scores(index, query)
    near = _nearness(centroid_scores, norm, index.is_l2)
    if view.empty_lists is not None:
        near[view.empty_lists] = -np.inf
    nearest = float(near.max())
    first = first_lists(near, view.live_sizes, reach.first(nearest), size)
    width = min(max(int(reach.first_widths(nearest)), size), view.live_count)
    rows, code_scores = _read_lists(view, query, first, centroid_scores, width)
    showing = rows[: _SHOWING * size]
    kth = _kth(_nearness(_row_scores(index, query, part.vectors, showing), norm, index.is_l2), size)
    if not kth < np.inf or reach.is_beyond(kth):
        return None
    final_width = min(int(reach.widths(kth)), view.live_count)
    needed = near >= max(kth - reach.margins(kth), _LEAST)
    needed[first] = final_width > width  # then the first lists are read again, deeper
    more = np.flatnonzero(needed)
    if len(more):
        if reading_cost(part, len(more), float(index.sizes[more].sum()), final_width) > scan_cost(part):
            return live_rows(part)
        more_rows, more_scores = _read_lists(view, query, more, centroid_scores, final_width)
        if final_width > width:
            rows, code_scores = more_rows, more_scores
        else:
            rows, code_scores = np.concatenate((rows, more_rows)), np.concatenate((code_scores, more_scores))
    if len(rows) < min(k, view.live_count):
        return None
    if len(rows) > final_width:
        order = code_scores if index.is_l2 else -code_scores
        rows = rows[np.argpartition(order, final_width)[:final_width]]
    return np.sort(rows)


def _norm(query: Vectors) -> float:
    """The query's length, 1 for a zero vector; infinite where float32 cannot hold its square."""
    square = float(np.square(query, dtype=np.float64).sum())
    return np.inf if square > _LARGEST else math.sqrt(square) or 1.0


def _nearness(scores: npt.NDArray[np.float32], norm: float, is_l2: bool) -> npt.NDArray[np.float32]:
    """Higher is nearer, as `effort` defines it. `scores`: products, or squared distances."""
    return -np.sqrt(scores) if is_l2 else scores / np.float32(norm)


def _kth(near: npt.NDArray[np.float32], k: int) -> float:
    """The nearness of the `k`-th nearest of some rows; -inf if they are fewer."""
    return float(np.partition(near, len(near) - k)[len(near) - k]) if len(near) >= k else -np.inf


def _centroid_scores(index: Index, query: Vectors) -> npt.NDArray[np.float32]:
    """The products of a query with the lists' centroids, or its squared distances from them, `(lists,)`."""
    faiss, scores = library(), np.empty(index.list_count, np.float32)
    measure = faiss.fvec_L2sqr_ny if index.is_l2 else faiss.fvec_inner_products_ny
    measure(*(faiss.swig_ptr(array) for array in (scores, query, index.centroids)), *index.centroids.shape[::-1])
    return scores


def _row_scores(index: Index, query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """The same for some rows, `(len(rows),)`."""
    return by_row("fvec_L2sqr_by_idx" if index.is_l2 else "fvec_inner_products_by_idx", query, vectors, rows)


def _read_lists(
    view: View, query: Vectors, lists: Rows, centroid_scores: npt.NDArray[np.float32], width: int
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The best `width` live rows of some lists and their scores by codes, `(<= width,)` each.

    Calls FAISS's C++ function, since its Python wrapper takes no parameters here.
    """
    faiss, count = library(), view.slots or len(lists)
    scores, rows = np.empty(width, np.float32), np.full(width, -1, np.int64)
    near = centroid_scores[lists]
    if count > len(
        lists
    ):  # a missing list's score must not be the least or the largest: FAISS scales its codes by both
        near = np.concatenate((near, near[:1].repeat(count - len(lists))))
        lists = np.concatenate((lists, np.full(count - len(lists), -1)))
    pointers = [faiss.swig_ptr(array) for array in (query, lists, near, scores, rows)]
    parameters = view.parameters(count)
    view.index.faiss.search_preassigned_c(1, pointers[0], width, *pointers[1:], False, parameters)
    filled = rows >= 0
    return (rows, scores) if filled.all() else (rows[filled], scores[filled])
