"""Diversity: chooses rows of a ranking that do not all say the same. Knows vectors, not documents.

Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): after the best row, each further row is the one with the
highest

    (1 - diversity) * score(query, row)  -  diversity * max over the rows chosen so far of score(chosen, row)

Decisions
1. The i-th row is chosen among the first 4 i of the ranking, at least among the first 40. So a choice depends on its
   place and not on k: the first k stay a prefix of the first k + 1, and pages join to one list. Other libraries take
   four candidates for each of k hits, which does not.
2. Similarity is the score of the space's metric, by the rule of `scoring`, and equal values stand in the order of their
   keys, so no rounding differs between machines. BLAS in float64 rules out the rows that cannot win, and only rows
   within its error of the best are scored exactly: 1,000 of 4,000 x 384 take 3 s of CPU; scoring all would take 30.
3. Rows with the same vector (one text in many documents) are scored once: 200 of 800 equal rows took 6.3 s.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecver.index.scoring import Rows, Scores, ranked, scores
from vecver.model import Metric, Vectors

LEAST_CANDIDATES = 40
CANDIDATES_A_HIT = 4


def candidates_for(count: int) -> int:
    """How many rows of a ranking the first `count` diverse ones are chosen from."""
    return max(LEAST_CANDIDATES, CANDIDATES_A_HIT * count)


def diverse(
    score: Scores, vectors: Vectors, keys: npt.NDArray[np.uint8], metric: Metric, diversity: float, count: int
) -> Rows:
    """The positions of up to `count` rows of a ranking, in the order in which they are chosen.

    `score`: `(n,)`, best first; `vectors`: `(n, dim)` float32; `keys`: `(n, 16)`; `diversity`: above 0, up to 1.
    """
    wide = vectors.astype(np.float64)
    squares = np.vecdot(wide, wide)
    error = diversity * _error(float(np.sqrt(squares.max(initial=0.0))), vectors.shape[1], metric)
    alike = _first_alike(vectors)
    nearest = np.full(len(score), -np.inf)  # to the chosen rows, within the error
    open_, chosen = np.ones(len(score), bool), list[int]()
    for place in range(1, min(count, len(score)) + 1):
        pool = np.flatnonzero(open_[: candidates_for(place)])
        best = int(pool[0])
        if chosen:
            value = (1 - diversity) * score[pool] - diversity * nearest[pool]
            pool = pool[value >= value.max() - 2 * error]
            best = int(pool[0])
            if len(pool) > 1:
                best = _first(pool, score, vectors, alike, keys, metric, diversity, chosen)
        chosen.append(best)
        open_[best] = False
        products = wide @ wide[best]
        near = products if metric != "l2" else 2 * products - squares - squares[best]
        np.maximum(nearest, near, out=nearest)
    return np.array(chosen, np.int64)


def _first(
    pool: Rows,
    score: Scores,
    vectors: Vectors,
    alike: Rows,
    keys: npt.NDArray[np.uint8],
    metric: Metric,
    diversity: float,
    chosen: list[int],
) -> int:
    """The row of `pool` with the highest exact value; of equal ones that with the lowest key."""
    different, place = np.unique(alike[pool], return_inverse=True)
    others = np.unique(alike[chosen])
    nearest = np.array([scores(vectors[row], vectors, metric, others).max() for row in different])[place]
    value = (1 - diversity) * score[pool] - diversity * nearest
    return int(pool[ranked(value, keys[pool], 1)[0]])


def _first_alike(vectors: Vectors) -> Rows:
    """For each of `(n, dim)` vectors the first row with the same bits, `(n,)`."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(vector.tobytes(), row) for row, vector in enumerate(vectors)], np.int64)


def _error(longest: float, dim: int, metric: Metric) -> float:
    """How far a float64 product, summed in any order, can lie from the score of two rows no longer than `longest`.

    As `scoring.slack`, with the half ulp of float64, and some more for the sums that follow.
    """
    size = longest**2 if metric != "l2" else 4 * longest**2
    return (8 * (dim + 8) * 2.0**-53 + dim * dim * 2.0**-60 + 2.0**-48) * size
