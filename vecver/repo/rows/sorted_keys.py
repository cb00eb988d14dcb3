"""Sorted keys: finds 16-byte keys among many by a stored sort order. Pure functions over arrays.

`order` is the argsort of the keys' first 8 bytes; it is stored beside the rows, so that opening a segment sorts
nothing. Among equal prefixes whole keys are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint8]  # (n, 16)
Rows = npt.NDArray[np.int64]


def prefixes(keys: Keys) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each key as one integer, `(n,)`."""
    return np.ascontiguousarray(keys[:, :8]).view("<u8").reshape(-1)


def order_of(keys: Keys) -> npt.NDArray[np.uint32]:
    """The rows sorted by prefix, ties by row: `(n,)` uint32."""
    return np.argsort(prefixes(keys), kind="stable").astype("<u4")


def find(sorted_: npt.NDArray[np.uint64], order: npt.NDArray[np.uint32], keys: Keys, wanted: Keys) -> tuple[Rows, Rows]:
    """Every (i, row) with `wanted[i] == keys[row]`, as two int64 arrays, ascending in i and then in row.

    `sorted_` is `prefixes(keys)[order]`.
    """
    query = prefixes(wanted)
    low, high = (np.searchsorted(sorted_, query, side=side) for side in ("left", "right"))
    return _equal_rows(low, high, order, keys, wanted)


def find_few(order: npt.NDArray[np.uint32], keys: Keys, wanted: Keys) -> tuple[Rows, Rows]:
    """As `find`, without the sorted prefixes: it looks only at the keys that a binary search meets."""
    query = prefixes(wanted)
    low, high = (_bisected(order, keys, query, after) for after in (np.less, np.less_equal))
    return _equal_rows(low, high, order, keys, wanted)


def _bisected(order: npt.NDArray[np.uint32], keys: Keys, query: npt.NDArray[np.uint64], after: np.ufunc) -> Rows:
    """How many sorted prefixes stand before each query: those of which `after(prefix, query)` holds."""
    low, high = np.zeros(len(query), np.int64), np.full(len(query), len(order), np.int64)
    while (open_ := low < high).any():
        middle = (low + high) // 2
        before = open_ & after(prefixes(keys[order[np.minimum(middle, len(order) - 1)]]), query)
        low, high = np.where(before, middle + 1, low), np.where(open_ & ~before, middle, high)
    return low


def _equal_rows(low: Rows, high: Rows, order: npt.NDArray[np.uint32], keys: Keys, wanted: Keys) -> tuple[Rows, Rows]:
    """Of the sorted rows `[low, high)`, which have the prefix of each wanted key, those that have the whole key."""
    count = high - low
    which = np.repeat(np.arange(len(wanted)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    rows = order[np.repeat(low, count) + within].astype(np.int64)
    equal = (wanted[which] == keys[rows]).all(axis=1)
    return which[equal], rows[equal]


def as_keys(values: list[bytes]) -> Keys:
    """A list of 16-byte strings as `(n, 16)` uint8."""
    data: Any = np.frombuffer(b"".join(values), np.uint8)
    return data.reshape(-1, 16)
