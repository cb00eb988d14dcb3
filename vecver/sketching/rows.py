"""Rows: what each row of a version counts as. Whole columns at once: some 3 us a chunk of 384 numbers.

    chunks      length · ending · language · text (for duplicates) · norm and cell of the vector
    documents   length · number of chunks

Decisions
1. The cells are fixed: 32 directions of plus and minus ones that follow from the dimension alone. A vector belongs to
   the direction along which, or against which, it reaches farthest. So any two versions can be compared, and nothing
   has to be kept or fetched. Centroids that are fitted to the first version would separate topics better, but a clone
   or a version from which that one was forgotten could not be counted.
2. Vectors are first rounded to whole numbers, so small that every product and sum is a whole number that float32 holds:
   at most 209 for 384 numbers. So the cell and the norm of a vector never depend on its neighbours in a batch or on the
   CPU. A norm so computed is right to about 0.1%.
3. Equal texts fall into the same slot of a table. The slots in use tell how many different texts there are, up to some
   4,000; so there are five tables, each of an eighth of the texts of the one before, chosen by the texts themselves.
   Counts per slot, unlike a list of the smallest digests, can also be subtracted.
4. Products are made of `_TOGETHER` vectors at a time, which BLAS does in this thread: for 1,000 at once it wakes its
   threads, and beside other processes waited 4 ms for what takes 0.2.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import isqrt
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import numpy.typing as npt

from vecver.digest import key
from vecver.json_columns import content_of
from vecver.sketching import bins
from vecver.sketching.languages import language_classes
from vecver.sketching.sketches import PARTS, SLOTS, TABLES, Sketch

if TYPE_CHECKING:
    import pyarrow as pa

_LEVELS = 511
_TOGETHER = 16  # vectors
_TINY = 1e-35  # the largest component of a vector that counts as zero
_EXACT = 1 << 24  # whole numbers below it are exact in float32
_SENTENCE, _CLOSING, _OTHER, _SPACE, _NOTHING = range(1, 6)

Vectors = npt.NDArray[np.float32]


def sketch_of_chunks(texts: pa.Array, vectors: Vectors) -> Sketch:
    """The sketch of these chunk rows: `texts` strings without nulls, `vectors` `(n, dim)` float32."""
    counted = chunk_bins(texts, vectors)
    return Sketch.of({name: np.bincount(each, minlength=PARTS[name]) for name, each in counted.items()})


def sketch_of_documents(characters: bins.Bins, chunks: bins.Bins) -> Sketch:
    """The sketch of these document rows: the length of each in characters, and its number of chunks."""
    counted = document_bins(characters, chunks)
    return Sketch.of({name: np.bincount(each, minlength=PARTS[name]) for name, each in counted.items()})


def chunk_bins(texts: pa.Array, vectors: Vectors) -> dict[str, bins.Bins]:
    """What each chunk row counts as, by part, `(n,)` each; `texts` may give several entries a row, or none."""
    import pyarrow.compute as pc

    cells, norms = _places(vectors)
    return {
        "lengths": bins.length_bins(np.asarray(pc.utf8_length(texts), np.int64)),
        "endings": _endings(texts),
        "languages": language_classes(texts),
        "texts": _slots(texts),
        "norms": norms,
        "cells": cells,
    }


def document_bins(characters: bins.Bins, chunks: bins.Bins) -> dict[str, bins.Bins]:
    """What each document row counts as, by part, `(n,)` each."""
    return {"document_lengths": bins.size_bins(characters), "document_chunks": bins.size_bins(chunks)}


def _endings(texts: pa.Array) -> bins.Bins:
    """The kind of sign at the end of each text."""
    content, ends = content_of(texts)
    letters = np.frombuffer(content, np.uint8)
    if not len(letters):
        return np.full(len(ends), _NOTHING)
    is_empty = np.diff(ends, prepend=0) == 0
    return np.where(is_empty, _NOTHING, _ending_kinds()[letters[np.maximum(ends - 1, 0)]])


@cache
def _ending_kinds() -> bins.Bins:
    """The kind of each last byte; a character beyond ASCII counts as a letter."""
    kinds = np.full(256, _OTHER)
    kinds[[byte for byte in range(256) if byte > 127 or chr(byte).isalnum()]] = 0
    kinds[list(b".!?:;,")] = _SENTENCE
    kinds[list(b")]}>\"'`*_")] = _CLOSING
    kinds[list(b" \t\n\r\f\v")] = _SPACE
    return kinds


def _slots(texts: pa.Array) -> bins.Bins:
    """The slots of the texts in every table that has them, one after the other."""
    content, ends = content_of(texts)
    sums = [crc32(content[start:end]) for start, end in pairwise([0, *ends.tolist()])]
    digests = np.array(sums, np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # spreads them over the high bits
    slots = (digests >> np.uint64(53)).astype(np.int64)
    rest = digests >> np.uint64(20)
    chosen = [(rest & np.uint64((1 << 3 * table) - 1)) == 0 for table in range(TABLES)]
    return np.concatenate([slots[of_table] + table * SLOTS for table, of_table in enumerate(chosen)])


def _places(vectors: Vectors) -> tuple[bins.Bins, bins.Bins]:
    """(cell, bin of the norm) of each vector."""
    count, dim = vectors.shape
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    levels = min(_LEVELS, isqrt(_EXACT // dim))
    largest = np.maximum(vectors.max(axis=1), -vectors.min(axis=1))
    scale = np.float32(levels) / np.where(largest > _TINY, largest, np.float32(1))
    whole = np.asarray(vectors * scale[:, None], np.float32)
    np.rint(whole, out=whole)
    reach = _products(whole, _directions(dim))
    best = np.abs(reach).argmax(axis=1)
    cells = best + (reach[np.arange(count), best] < 0) * (bins.CELLS // 2)
    squares = np.einsum("ij,ij->i", whole, whole).astype(np.float64)
    return cells, bins.norm_bins(np.sqrt(squares) / scale)


def _products(vectors: Vectors, directions: Vectors) -> Vectors:
    """`vectors @ directions`, in this thread alone."""
    even = len(vectors) // _TOGETHER * _TOGETHER
    stacked = vectors[:even].reshape(even // _TOGETHER, _TOGETHER, vectors.shape[1]) @ directions
    return np.concatenate([stacked.reshape(even, directions.shape[1]), vectors[even:] @ directions])


@cache
def _directions(dim: int) -> Vectors:
    """Directions of plus and minus ones, `(dim, CELLS / 2)`; they follow from the dimension."""
    wanted = dim * bins.CELLS // 2
    parts = [key(b"sketch", dim.to_bytes(8, "little"), n.to_bytes(8, "little")) for n in range(wanted // 128 + 1)]
    bits = np.unpackbits(np.frombuffer(b"".join(parts), np.uint8))[:wanted]
    return bits.reshape(dim, -1).astype(np.float32) * 2 - 1
