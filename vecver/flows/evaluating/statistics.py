"""Statistics of measures over questions: intervals, paired tests, and how much two rankings overlap.

Decisions
1. Every draw begins with the same seed, so the same measures have the same interval wherever and whenever they are
   computed, and a gate cannot be passed by trying again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

LEVEL = 0.95  # of intervals
_DRAWS = 2000
_SIGNS = 10_000
_SEED = 17
_AT_ONCE = 4_000_000  # numbers that are drawn at once
_TIES = 1e-12  # two means that differ by less are the same

Values = npt.NDArray[np.float64]  # (n,) a value a question


def interval(values: Values) -> tuple[float, float]:
    """The interval of the mean at `LEVEL`, by the percentile bootstrap over questions (Efron, 1979)."""
    if len(values) < 2 or np.ptp(values) == 0:
        mean = float(values.mean()) if len(values) else 0.0
        return mean, mean
    means = np.concatenate([values[rows].mean(axis=1) for rows in _resampled(len(values))])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def randomised(before: Values, after: Values) -> float:
    """p that the mean differs as much by chance: a paired randomisation test, two-sided (Fisher, 1935).

    Each question's difference keeps or changes its sign with equal chance; of up to 13 questions all ways are counted.
    """
    differences = after - before
    differences = differences[differences != 0]
    count, observed = len(differences), abs(differences.sum()) - _TIES
    if not count:
        return 1.0
    if 2**count <= _SIGNS:
        signs = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((2 * signs - 1) @ differences) >= observed).mean())
    draw, extreme = np.random.default_rng(_SEED), 0
    share = max(1, _AT_ONCE // count)
    for start in range(0, _SIGNS, share):
        signs = draw.integers(0, 2, (min(share, _SIGNS - start), count), np.int8)
        extreme += int((np.abs((2.0 * signs - 1) @ differences) >= observed).sum())
    return (extreme + 1) / (_SIGNS + 1)


def overlap(one: Sequence[str], other: Sequence[str], p: float = 0.9) -> float:
    """Rank-biased overlap of two rankings, 0 to 1, extrapolated (Webber, Moffat, Zobel 2010, RBO_ext).

    Both without repeated items. Two empty rankings are equal, 1.0.
    """
    if not one or not other:
        return float(not one and not other)
    short, long = sorted((one, other), key=len)
    s, depth = len(short), len(long)
    seen_short, seen_long = set[str](), set[str]()
    shared, agreement, total, shared_at_s = 0, 0.0, 0.0, 0
    for rank in range(1, depth + 1):
        item = long[rank - 1]
        shared += item in seen_short
        seen_long.add(item)
        if rank <= s:
            other_item = short[rank - 1]
            shared += other_item in seen_long
            seen_short.add(other_item)
            shared_at_s = shared
        agreement = shared / rank
        total += agreement * p**rank
        if rank > s:
            total += shared_at_s * (rank - s) / (s * rank) * p**rank
    last = (shared - shared_at_s) / depth + shared_at_s / s
    return min(1.0, max(0.0, (1 - p) / p * total + last * p**depth))


def _resampled(count: int) -> Iterable[npt.NDArray[np.int32]]:
    return (_drawn(count),) if count * _DRAWS <= _AT_ONCE else _draws(count)


@lru_cache(maxsize=1)  # the measures of one set have the same draws
def _drawn(count: int) -> npt.NDArray[np.int32]:
    return np.concatenate(list(_draws(count)))


def _draws(count: int) -> Iterator[npt.NDArray[np.int32]]:
    draw, share = np.random.default_rng(_SEED), max(1, _AT_ONCE // count)
    for start in range(0, _DRAWS, share):
        yield draw.integers(0, count, (min(share, _DRAWS - start), count), np.int32)
