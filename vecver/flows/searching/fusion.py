"""Fusion: one score from that of a row's vector and that of its words. Arithmetic alone; it knows no rows.

    convex   weight * part(vector) + (1 - weight) * part(words), where a part runs from 0 to 1:
             of vectors from the 100th best score of the version (or of what the filter selects) to the best,
             of words from 0, no word of the query, to the best
    rrf      1 / (60 + rank by vector) + 1 / (60 + rank by words), of the rows among the first of either side

Decisions
1. The bounds are those of the question, and depend neither on `k` nor on `offset`. So a row has one score, the top k is
   a prefix of the top k + 1, and pages join. A row below the 100th has a part below 0: it is not cut, so it keeps its
   order.
2. Each operation is one rounding of IEEE 754, in this order, so the bits are the same on every machine. Every operation
   is monotone, so a row that is no better on either side is not better in the sum (`Convex.of` of what lies below).
3. Words start at 0 and not at their 100th best, so that a word that nearly all rows have decides little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

DEPTH: Final = 100  # rows of either side that give the bounds, and that have a rank
K: Final = 60  # of rrf (Cormack, Clarke and Buettcher 2009)

Scores = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bounds:
    """Between which scores a question's parts run."""

    dense_low: float
    dense_high: float
    keyword_high: float  # 0: no row has a word of the query


@dataclass(frozen=True)
class Convex:
    """The fused score of a question's rows."""

    weight: float  # of the vectors, 0 to 1
    bounds: Bounds

    def of(self, dense: Scores, keyword: Scores) -> Scores:
        """The score of each row, `(n,)`."""
        bounds, zeros = self.bounds, np.zeros(len(keyword))
        width = bounds.dense_high - bounds.dense_low
        by_vector = (dense - bounds.dense_low) / width if width > 0 else (dense >= bounds.dense_high).astype(np.float64)
        by_words = keyword / bounds.keyword_high if bounds.keyword_high > 0 else zeros
        return self.weight * by_vector + (1.0 - self.weight) * by_words


def bounds_of(dense: Scores, keyword: Scores) -> Bounds:
    """The bounds from the best DEPTH scores of either side, best first."""
    best = dense[:DEPTH] if len(dense) else np.zeros(1)
    return Bounds(float(best[-1]), float(best[0]), float(keyword[0]) if len(keyword) else 0.0)


def reciprocal(ranks: Ranks) -> Scores:
    """What a side adds for rows of these ranks, from 1, `(n,)`; 0: a row is not among the first."""
    return np.where(ranks > 0, 1.0 / (K + ranks), 0.0)
