"""Masks over rows as little-endian bits: which rows a selection of documents has, how many of them each list has.

With the compiled kernel where there is one; numpy gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecver.index.kernel import fits, kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecver.index.kernel import Bits, Numbers, Rows

    Mask = npt.NDArray[np.bool_]

_BITS, _NUMBERS, _FLAGS, _LISTS = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(bool), np.dtype(np.uint16)


def selected(documents: Mask, numbers: Numbers, codes: Numbers, live: Bits) -> tuple[Bits, int]:
    """The live rows whose document is selected, `(ceil(rows / 8),)` bits, and how many they are.

    `documents`: `(documents,)`; row i has the document `numbers[codes[i]]`, none where that is negative; `live`:
    `(ceil(rows / 8),)` bits.
    """
    compiled = kernel()
    arrays = ((documents, _FLAGS), (numbers, _NUMBERS), (codes, _NUMBERS), (live, _BITS))
    if compiled and all(fits(array, dtype) for array, dtype in arrays) and len(live) == -(-len(codes) // 8):
        return compiled.selected(documents, numbers, codes, live)
    bits = np.packbits(np.append(documents, False)[numbers][codes], bitorder="little") & live
    return bits, int(np.bitwise_count(bits).sum())


def list_sizes(lists: npt.NDArray[np.uint16], live: Bits, count: int) -> Rows:
    """The number of live rows in each of `count` lists, `(count,)`; `lists`: the list of each row, `(rows,)`."""
    compiled = kernel()
    if compiled and fits(lists, _LISTS) and fits(live, _BITS) and len(live) == -(-len(lists) // 8):
        return compiled.list_sizes(lists, live, count)
    return np.bincount(lists[flags_of(live, len(lists))], minlength=count)


def flags_of(bits: Bits, count: int) -> Mask:
    """Bits as `(count,)` bool."""
    return np.unpackbits(bits, count=count, bitorder="little").view(bool)
