"""Expectation: the recall that an index is expected to reach, measured when it is built, before anybody asks it.

Fresh question-like vectors, of the kinds that calibration makes, are searched through the index with its effort, and
by a scan. The share of the true best rows that the index proposes is recorded beside its effort, with the share of
vectors that find less than 0.8 of them and the number of vectors.

Decisions
1. The vectors are not those of the calibration: an effort that was chosen for some vectors serves these too well.
2. The row that a vector was made from does not count, whether it is proposed or not: nothing is easier to find.
3. Every kind counts alike. On 36,000 passages (MiniLM) this gives 0.990, where real questions of eight kinds gave
   0.984 to 0.998 (benchmarks/recall.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecver.index.faiss.calibration import MOST_ROWS, Space, nearest_rows, question_like, spread_rows
from vecver.index.faiss.opened import Index, View, is_calibrated
from vecver.index.faiss.proposing import candidates
from vecver.index.scoring import Rows
from vecver.model import Json, Metric, Part, Vectors

EXPECTED = "expected"  # the name of the record among the facts of an index
K = 10
LOW = 0.8
_SEED = 20261127
_DIGITS = 4


def with_expectation(index: Index, vectors: Vectors, metric: Metric, *, rows: int = MOST_ROWS) -> Json:
    """The facts to record beside an index over `vectors`, `(n, dim)`: what it finds among at most `rows` of them."""
    live = spread_rows(np.arange(len(vectors)), rows)
    space = Space(index.faiss, index.lists[live], np.ascontiguousarray(vectors[live]), metric)
    queries, origin = question_like(space, _SEED)
    _, nearest = nearest_rows(space, queries, np.full(len(queries), -1), min(K, len(live)))
    proposals = candidates(_part(index, vectors, live), queries, K)
    shares = np.array([_share(*true) for true in zip(live[nearest], live[origin], proposals, strict=True)])
    recall, low = round(float(shares.mean()), _DIGITS), round(float((shares < LOW).mean()), _DIGITS)
    return {EXPECTED: {"k": K, "recall": recall, "below_0_8": low, "queries": len(queries)}}


def has_expectation(facts: Json) -> bool:
    """True unless the facts come from a vecver that recorded no effort for each query, or no expectation."""
    return EXPECTED in facts and is_calibrated(facts)


def _part(index: Index, vectors: Vectors, live: Rows) -> Part:
    """The rows as a version sees them of which just the `live` ones are alive."""
    mask: npt.NDArray[np.uint8] | None = None
    if len(live) < len(vectors):
        bits = np.zeros(len(vectors), bool)
        bits[live] = True
        mask = np.packbits(bits, bitorder="little")
    no_keys = np.empty((0, 16), np.uint8)  # proposing reads none
    return Part(vectors, mask, len(live), no_keys, 0.0, View(index, mask, len(live)))


def _share(nearest: Rows, origin: np.int64, proposed: Rows | None) -> float:
    """The share of the nearest rows but the origin that were proposed; all of them where the query is scanned."""
    others = nearest[nearest != origin]
    return 1.0 if proposed is None or not len(others) else float(np.isin(others, proposed).mean())
