"""Keyword scores: the only room that defines one, and its bits.

    score(query, row) = sum over the query's terms of  times in the query * round(2^36 * idf * w) / 2^36
    idf = ln(1 + (N - df + 0.5) / (df + 0.5)) = ln(2 N + 2) - ln(2 df + 1)
    w   = tf / (tf + k1 * (1 - b + b * length / mean length))           k1 = 1.5, b = 0.75

N rows of the version, df of them with the term; tf: how often the row has it. That is BM25 as Lucene and bm25s
(`method="lucene"`) compute it. Each term's part is rounded to a multiple of 2^-36 and the parts are summed as integers,
so a score has the same bits in any order of terms and rows. Logarithms are rounded correctly, as mathematics defines
them and no two libraries' `log` must; everything else is a single IEEE operation each. The parts of a query of a
million terms fit: each is below 2^43.

Order: score descending, then chunk key; rows without any of the terms have no score and are no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

K1: Final = 1.5
B: Final = 0.75
SCALE: Final = 2.0**36
UNIT: Final = 2.0**-36
_DIGITS: Final = 40  # more than twice those of a float64, so that rounding twice is rounding once

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def idf(rows: int, counts: Sequence[int]) -> Floats:
    """The weight of terms that so many of the version's `rows` have each, `(t,)`: above 0, and 0 where none has it."""
    most = _ln(2 * rows + 2)
    return np.array([most - _ln(2 * count + 1) if count else 0.0 for count in counts])


def damping(longest: int, rows: int, total_length: int) -> Floats:
    """By length of a row, from 0 to the longest: k1 * (1 - b + b * length / mean), `(longest + 1,)`."""
    lengths = np.arange(longest + 1, dtype=np.float64)
    return K1 * ((1 - B) + B * (lengths * rows / max(total_length, 1)))


def parts(weight: float, times: Integers, damped: Floats) -> Integers:
    """What a term of this idf adds to rows that have it so often, in units of 2^-36. `damped`: of each row."""
    return np.rint(weight * (times / (times + damped)) * SCALE).astype(np.int64)


@lru_cache(1 << 16)
def _ln(number: int) -> float:
    """The natural logarithm, correctly rounded: of decimal, which rounds so on every machine."""
    from decimal import Context, Decimal

    return float(Decimal(number).ln(Context(_DIGITS)))
