"""Exact search: the true top k of the live rows, at the price of a float32 scan.

Every live row is scored in float32; all rows within twice the float32 error bound of the k-th are
kept, which is certain to include the true top k, and are scored again by the one rule.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecver.index.scores import float32_error
from vecver.model import Metric, Part, Vectors

_BLOCK = 16384  # rows read at once
_GATHER_BELOW = 0.25  # with fewer live rows, reading them one by one beats scanning all

Rows = npt.NDArray[np.int64]


def candidates(part: Part, query: Vectors, k: int, metric: Metric) -> Rows:
    """Rows that are certain to include the `k` live rows with the highest scores; `(>= min(k, live),)`."""
    rows = live_rows(part)
    if rows is not None and len(rows) <= k:
        return rows
    bound = float32_error(query, part.max_norm, metric)
    if not bound < 1e30:  # float32 products could overflow: score every live row
        return np.arange(len(part.vectors)) if rows is None else rows
    gather = rows is not None and len(rows) < _GATHER_BELOW * len(part.vectors)
    near = _scan(part.vectors, query, metric, rows if gather else None)
    if rows is not None and not gather:
        near = _only(near, rows)
    places = _window(near, k, bound)
    return places if rows is None or not gather else rows[places]


def live_rows(part: Part) -> Rows | None:
    """The live rows in order, or None where all are."""
    if part.live is None:
        return None
    return np.flatnonzero(np.unpackbits(part.live, count=len(part.vectors), bitorder="little"))


def _scan(vectors: Vectors, query: Vectors, metric: Metric, rows: Rows | None) -> npt.NDArray[np.float32]:
    """Approximate scores of all vectors, or of `rows`, in float32."""
    count = len(vectors) if rows is None else len(rows)
    near = np.empty(count, np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        taken = vectors[block] if rows is None else vectors[rows[block]]
        products = taken @ query
        near[block] = products if metric != "l2" else 2 * products - np.einsum("ij,ij->i", taken, taken)
    return near


def _only(near: npt.NDArray[np.float32], rows: Rows) -> npt.NDArray[np.float32]:
    only = np.full_like(near, -np.inf)
    only[rows] = near[rows]
    return only


def _window(near: npt.NDArray[np.float32], k: int, bound: float) -> Rows:
    """Positions within two bounds of the k-th best."""
    if len(near) <= k:
        return np.arange(len(near))
    kth = float(np.partition(near, len(near) - k)[len(near) - k])
    return np.flatnonzero(near >= np.nextafter(np.float32(kth - 2 * bound), np.float32(-np.inf)))
