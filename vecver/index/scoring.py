"""Scores: the only room that defines a score, its direction, and the order of equal scores.

A score is higher-is-better for every metric:

    cosine, ip    sum_i q_i * v_i         (vectors of a cosine space are normalised once, by `normalised`)
    l2            -sum_i (q_i - v_i)^2

Each product of two float32 numbers is exact in float64. It is scaled by a power of two, rounded to
int64, and the integers are summed: integer addition has no order, so a score has the same bits on
every CPU, for every batch size and thread count, whichever engine proposed the row. Order: score descending,
then chunk key ascending; so the top k is always a prefix of the top k+1.

The scale depends on the pair alone: with every |term| < 2^e, terms are multiples of 2^(e + b - 62),
where b is the bit length of the dimension. The sum cannot overflow (it stays below 2^62), and a score
lies within dim * 2^(e + b - 63) plus half an ulp of the true sum; at 384 dimensions the first part is
2^-54 of the largest possible sum, and unit vectors were measured within 2^-52. For l2, each term has
been rounded by float64 as well (3 * 2^-53 of its size). The idea is Demmel & Nguyen's reproducible
summation (2013), with one bin.

Where the compiled `kernel` can be used it computes the same bits, several times faster; this room is the definition.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from vecver.errors import InvalidInputError
from vecver.index.kernel import fits, kernel
from vecver.model import Metric, Vectors

METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
_BITS = 62
_SCALES = 1000  # 2 to these powers is a normal float64
_OVERFLOW = 1e30  # a slack above it means products that float32 may not hold
_FEW = 64  # vectors; scoring so few takes no longer than ruling some out in float32
_BLOCK = 1 << 21  # elements scored at once: 16 MB of float64
_FLOAT, _INT, _BYTE = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def check_metric(metric: str) -> None:
    """Raises InvalidInputError unless `metric` is one of METRICS."""
    if metric not in METRICS:
        raise InvalidInputError(
            f"no metric is called {metric!r}", code="unknown_metric", hint=f"use one of {', '.join(METRICS)}"
        )


def scores(query: Vectors, vectors: Vectors, metric: Metric, rows: Rows | None = None) -> Scores:
    """The score of each vector, or of each of `vectors[rows]`, `(n,)` float64.

    The other vectors do not change its bits. `query`: `(dim,)` float32, `vectors`: `(n, dim)`
    float32, both finite; mapped vectors are read a block at a time.
    """
    compiled = kernel()
    if compiled and fits(vectors, _FLOAT, len(query)) and fits(query, _FLOAT) and (rows is None or fits(rows, _INT)):
        return compiled.scores(query, vectors, rows, is_l2=metric == "l2")
    count, step = len(vectors) if rows is None else len(rows), max(1, _BLOCK // len(query))
    score = np.empty(count)
    for start in range(0, count, step):
        block = slice(start, start + step)
        score[block] = _scores(query, vectors[block if rows is None else rows[block]], metric)
    return score


def best_rows(
    query: Vectors,
    vectors: Vectors,
    keys: npt.NDArray[np.uint8],
    rows: Rows,
    k: int,
    slack: float,
) -> tuple[list[int], list[float]] | None:
    """The best `k` of `vectors[rows]` by inner product, best first, and their scores; None without the kernel.

    `keys`: `(n, 16)`, of `vectors`; `slack`: of the query and these vectors.
    """
    compiled = kernel()
    if compiled is None or not (fits(query, _FLOAT) and fits(vectors, _FLOAT) and fits(keys, _BYTE)):
        return None
    if not fits(rows, _INT) or len(keys) != len(vectors):
        return None
    return compiled.best(query, vectors, keys, rows, k, slack)


def ranked(score: Scores, keys: npt.NDArray[np.uint8], k: int) -> npt.NDArray[np.int64]:
    """The positions of the best `k`, best first. `keys`: `(n, 16)`."""
    words = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    return np.lexsort((words[:, 1], words[:, 0], -score))[:k]


def normalised(vectors: Vectors, metric: Metric) -> Vectors:
    """Vectors `(n, dim)` as a space stores and searches them: of unit length for cosine, else unchanged.

    A zero vector stays zero. Division is by the reproducible norm, so the bits are the same everywhere.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if metric != "cosine" or not len(vectors):
        return vectors
    if compiled := kernel():
        return compiled.normalised(vectors)
    wide = vectors.astype(np.float64)
    norms = np.sqrt(_sums(wide * wide, 2 * _exponents(wide)))
    return (wide / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)


def bits(score: float) -> str:
    """The score's IEEE 754 bits, 16 hex characters, big-endian."""
    return struct.pack(">d", score).hex()


def from_bits(text: str) -> float:
    """The score whose `bits` these are."""
    return float(struct.unpack(">d", bytes.fromhex(text))[0])


def slack(query: Vectors, max_norm: float, metric: Metric) -> float:
    """How far a float32 product, summed in any order, can lie from the score of a row no longer than `max_norm`.

    For l2 the float32 form is 2 q.v - v.v (the score plus q.q, which keeps the order of rows), or the score itself in
    any order of summation. Three parts: the classic bound n u / (1 - n u) |q| |v| (Higham, Accuracy and Stability,
    3.5) with n a little raised for the last operations; what the rule itself rounds (twice the module's bound, which
    covers l2); and what a CPU that flushes subnormals to zero loses.
    """
    n, norm = len(query), math.sqrt(np.square(query, dtype=np.float64).sum()) * (1 + 1e-12)
    n_u = (n + 8) * 2.0**-24  # half an ulp of float32 each
    near, rule = norm * max_norm, norm * max_norm
    if metric == "l2":
        near = rule = (norm + max_norm) ** 2
    return n_u / (1 - n_u) * near + (n * n * 2.0**-60 + 2.0**-50) * rule + n * 2.0**-126 * (norm + max_norm + 1)


def bound(near: npt.NDArray[np.float32], k: int, slack: float) -> np.float32:
    """No row whose float32 score is below this is among the best `k`; -inf where float32 may have overflowed.

    `near`: float32 scores of at least `k` rows, each within `slack` of the score.
    """
    if not slack < _OVERFLOW:
        return np.float32(-np.inf)
    kth = float(np.partition(near, len(near) - k)[len(near) - k])
    return np.nextafter(np.float32(kth - 2 * slack), np.float32(-np.inf))


def best_of(query: Vectors, vectors: Vectors, keys: npt.NDArray[np.uint8], metric: Metric) -> int:
    """The position of the best vector of `(n, dim)`; of many, only those that float32 cannot rule out are scored."""
    rows = np.arange(len(vectors))
    if len(rows) > _FEW:
        with np.errstate(over="ignore", invalid="ignore"):  # `bound` is -inf where these may have overflowed
            near, squares = vectors @ query, np.vecdot(vectors, vectors)
            near = 2 * near - squares if metric == "l2" else near
        longest = float(np.sqrt(squares.max(), dtype=np.float64)) * (1 + 1e-3)
        least = bound(near, 1, slack(query, longest, metric))
        rows = rows if np.isneginf(least) else np.flatnonzero(near >= least)
    return int(rows[ranked(scores(query, vectors, metric, rows), keys[rows], 1)[0]])


def _scores(query: Vectors, rows: Vectors, metric: Metric) -> Scores:
    wide, wide_query = rows.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        apart = wide - wide_query
        return -_sums(apart * apart, 2 * _exponents(apart)) + 0.0
    return _sums(wide * wide_query, _exponents(wide) + _exponents(wide_query[None, :]))


def _sums(terms: Scores, exponents: npt.NDArray[np.int64]) -> Scores:
    """The sum of each row, the same in any order; `|term| < 2**exponent` in each row. Overwrites `terms`."""
    shift = (_BITS - int(terms.shape[1]).bit_length() - exponents).astype(np.int32)
    if len(shift) and np.abs(shift).max() <= _SCALES:
        terms *= np.ldexp(1.0, shift)[:, None]  # the same bits as ldexp, several times faster
    else:
        np.ldexp(terms, shift[:, None], out=terms)
    sums = np.rint(terms, out=terms).astype(np.int64).sum(axis=1, dtype=np.int64)
    return np.ldexp(sums.astype(np.float64), -shift)


def _exponents(rows: Scores) -> npt.NDArray[np.int64]:
    """The smallest e with `|x| < 2**e` for every x of a row, `(n,)`."""
    return np.frexp(np.abs(rows).max(axis=1, initial=0.0))[1].astype(np.int64)
