"""Exact search: scans the live rows and keeps those that can be in the true top k. Ranks nothing.

Every live row gets a float32 score, or for few queries one from its 8-bit codes (`row_codes`) where the part has them.
All rows within twice the error bound of the k-th are kept; the true top k is certain to be among them, and the one rule
scores them again.

Decisions
1. The queries of a batch share each pass over the vectors, as many as their float32 scores fit in 64 MB: 64 queries
   on 100,000 rows cost one pass, not 64.
2. A single query is multiplied on one thread (`vecdot`), since it waits for memory. A BLAS that splits it over two busy
   cores took 93 ms on 100,000 x 384 where this takes 19 (FAISS's flat index: 65); on one thread they are equal.
3. A single query under a mask uses FAISS's products with the live rows: numpy would read the dead rows too, or copy
   the live ones first. Half of 150,000 x 384: 12 ms, 19 and 20; packed rows would take 8.5.
4. Up to 8 queries read the codes one after the other: on 200,000 x 384, 2 queries take 5 ms of CPU and 28 in float32,
   8 take 19 and 30 (one BLAS thread; with two busy ones 98). From 16 on a shared pass is as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecver.index import faiss
from vecver.index.live import live_rows
from vecver.index.row_codes import possible_rows
from vecver.index.scoring import Rows, bound, slack

if TYPE_CHECKING:
    from vecver.model import Metric, Part, Vectors

_BLOCK = 32768  # rows read at once
_NEAR_BYTES = 64 << 20  # of float32 scores held at once
_GATHER_BELOW = 0.25  # with fewer live rows in a block, reading them one by one beats scanning it
_CODED_QUERIES = 8  # more share a pass over the floats
_ROW_BY_ROW_BELOW = 0.7  # with fewer live rows, a query alone reads them where they lie

Near = npt.NDArray[np.float32]


def candidates(part: Part, queries: Vectors, k: int, metric: Metric) -> Iterator[Rows]:
    """For each query, rows that are certain to include the `k` live rows with the highest scores.

    `queries`: `(m, dim)` float32. Yields `(>= min(k, live),)` ascending rows a query.
    """
    if len(queries) <= _CODED_QUERIES and part.live_count > k and part.codes is not None:
        codes = part.codes.find(part, metric)
        if codes is not None:
            yield from (possible_rows(codes, part, query, k, metric) for query in queries)
            return
    rows = live_rows(part)
    share = max(1, _NEAR_BYTES // (4 * len(rows) + 1))
    for start in range(0, len(queries), share):
        block = queries[start : start + share]
        if len(rows) <= k:
            yield from [rows] * len(block)
            continue
        for query, near in zip(block, _near(part.vectors, rows, block, metric), strict=True):
            yield rows[_window(near, k, slack(query, part.max_norm, metric))]


def narrowed(part: Part, query: Vectors, rows: Rows, k: int, metric: Metric) -> Rows:
    """The rows among these that can be in the `k` with the highest scores, in the order of `rows`."""
    if len(rows) <= k:
        return rows
    if metric == "l2":
        near = _products(query[None, :], part.vectors[rows], metric)[0]
    else:
        near = faiss.products(query, part.vectors, rows)
    return rows[_window(near, k, slack(query, part.max_norm, metric))]


def _near(vectors: Vectors, rows: Rows, queries: Vectors, metric: Metric) -> Near:
    """Approximate scores of `vectors[rows]`, `(m, len(rows))` float32."""
    if len(queries) == 1 and metric != "l2" and len(rows) < _ROW_BY_ROW_BELOW * len(vectors):
        return faiss.products(queries[0], vectors, rows)[None, :]
    near = np.empty((len(queries), len(rows)), np.float32)
    starts = range(0, len(vectors), _BLOCK)
    edges = [*np.searchsorted(rows, starts), len(rows)]
    for start, (low, high) in zip(starts, pairwise(edges), strict=True):
        block, live = vectors[start : start + _BLOCK], rows[low:high] - start
        if len(live) < _GATHER_BELOW * len(block):
            near[:, low:high] = _products(queries, block[live], metric)
        else:
            products = _products(queries, block, metric)
            near[:, low:high] = products if len(live) == len(block) else products[:, live]
    return near


def _products(queries: Vectors, rows: Vectors, metric: Metric) -> Near:
    with np.errstate(over="ignore", invalid="ignore"):  # `_window` keeps all rows where these may have overflowed
        products = queries @ rows.T if len(queries) > 1 else np.vecdot(rows, queries)[None, :]
        return products if metric != "l2" else 2 * products - np.vecdot(rows, rows)


def _window(near: Near, k: int, slack: float) -> Rows:
    """Positions within two slacks of the k-th best; all positions where float32 may have overflowed."""
    least = bound(near, k, slack)
    return np.arange(len(near)) if np.isneginf(least) else np.flatnonzero(near >= least)
