"""Costs: when a segment gets an index, and when reading the index is cheaper than scanning the live rows.

What a search costs before its query is seen follows from a typical query: to find k rows where the share f is live
takes as many lists as finding k / f among all rows. The constants are nanoseconds on one core, measured by
`benchmarks/search_latency.py`.

Decisions
1. A segment with fewer than INDEX_ROWS rows is scanned: 8,192 x 384 take a millisecond.
2. The sparser the mask, the dearer a list: FAISS looks up in the mask each code that is nearer than the farthest
   candidate so far, and with few live rows that stays far. 64,000 codes for 379 candidates take 250 us where 90% of
   the rows live, 380 where 45% do, 650 where 5% do; scanning those 5,000 rows takes 540. No mask, no look-up.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from vecver.index.faiss.effort import CLASSES, class_of
from vecver.model import Part

if TYPE_CHECKING:
    from vecver.index.faiss.opened import View

SPEC = "ivf-pq4"
INDEX_ROWS = 8192
_LONGEST = 1e9  # longer vectors are not given to FAISS
_SCAN, _SCAN_VALUE = 20_000, 0.5  # a scan; each float of a live row
_SPARSE, _SPARSE_VALUE = 0.25, 0.3  # with a smaller share of live rows: each float, since these are read one by one
_PROBE, _LIST, _CODE_BYTE, _CANDIDATE = 60_000, 350, 0.07, 150  # a search of an index; a list; a code's byte; ...
_LOOKED_UP = 15  # a code that is nearer than the farthest candidate so far: is its row live?


def wanted(rows: int, max_norm: float) -> bool:
    """Should a segment of so many rows, none longer than `max_norm`, have an index?

    Not where squares might exceed float32: FAISS would end the process.
    """
    return rows >= INDEX_ROWS and max_norm < _LONGEST


def proposes(part: Part, k: int) -> bool:
    """Is the part's index a cheaper way to `k` candidates than a scan of its live rows?"""
    if part.index is None:
        return False
    view: View = part.index
    size = class_of(k)
    cheaper = view.proposes.get(size)
    if cheaper is None:
        cheaper = _is_cheaper(part, view, size)
        if size <= CLASSES[-1]:
            view.proposes[size] = cheaper
    return cheaper


def _is_cheaper(part: Part, view: View, k: int) -> bool:
    lists = view.probes(k)
    codes = lists / view.index.list_count * view.index.count
    return _PROBE + reading_cost(part, lists, codes, view.width(k)) <= scan_cost(part)


def reading_cost(part: Part, lists: int, codes: float, width: int) -> float:
    """Nanoseconds to read so many lists with so many codes, and to score so many candidates."""
    code_bytes, live = code_parts(part.vectors.shape[1]) / 2, max(part.live_count, 1) / max(len(part.vectors), 1)
    no_mask = part.live is None  # FAISS looks nothing up then
    looked_up = 0.0 if no_mask else min(width / live * (1 + math.log(max(codes * live / width, 1))), codes)
    return lists * _LIST + codes * code_bytes * _CODE_BYTE + looked_up * _LOOKED_UP + width * _CANDIDATE


def scan_cost(part: Part) -> float:
    """Nanoseconds to scan the part's live rows."""
    value = _SPARSE_VALUE if part.live_count < _SPARSE * len(part.vectors) else _SCAN_VALUE
    return _SCAN + part.live_count * part.vectors.shape[1] * value


@cache
def code_parts(dim: int) -> int:
    """Into how many parts a vector is cut for its code: four dimensions a part, or the next number that divides."""
    return next(parts for parts in range(-(-dim // 4), dim + 1) if dim % parts == 0)
