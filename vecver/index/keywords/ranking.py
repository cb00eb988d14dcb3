"""Ranking by keywords: the best rows of a version for some terms, and the scores of given rows. Knows no words.

count the live rows that have each term -> weigh the terms -> add up each row's parts -> order the selected rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vecver.index.keywords.kernel import FIELDS, address_of, kernel, part_row
from vecver.index.keywords.postings import Postings, Rows
from vecver.index.keywords.scoring import UNIT, Floats, damping, idf, parts
from vecver.index.keywords.terms import Hashes, Terms
from vecver.index.scoring import ranked

_KNOWN = 1 << 12  # terms whose counts a version remembers: at most 0.5 MB

_NONE = np.zeros(0, np.int64)

Bits = npt.NDArray[np.uint8]  # little-endian, row i is bit i


@dataclass(frozen=True, eq=False)
class KeywordPart:
    """The postings of a segment, and which of its rows a version has."""

    postings: Postings
    live: Bits | None  # (ceil(rows / 8),); None: all
    live_count: int
    keys: npt.NDArray[np.uint8]  # (rows, 16), C-contiguous: the tie-break

    @cached_property
    def total_length(self) -> int:
        """The sum of the lengths of live rows."""
        if self.live is None:
            return self.postings.total_length
        return int(self.postings.lengths[_flags(self.live, self.postings.row_count)].sum(dtype=np.int64))


class Best(NamedTuple):
    """Rows of an answer, best first, `(n,)` each."""

    parts: Rows
    rows: Rows
    scores: Floats


class KeywordVersion:
    """A version as keyword search sees it. May be used from several threads."""

    def __init__(self, parts: Sequence[KeywordPart]) -> None:
        self.parts = tuple(parts)
        self.row_count = sum(part.live_count for part in self.parts)
        self.total_length = sum(part.total_length for part in self.parts)
        self._counts: dict[int, int] = {}  # by term: the live rows that have it

    def best(self, terms: Terms, n: int, selected: Sequence[Bits | None] | None = None) -> list[tuple[int, int, float]]:
        """The best `n` live rows that have a term, as (part, row, score), best first; fewer if fewer have one.

        `selected`: by part, which rows may be answers (a subset of the live ones); None: all live ones.
        """
        best, _ = self.best_and_given(terms, n, selected, _NONE, _NONE)
        return list(zip(best.parts.tolist(), best.rows.tolist(), best.scores.tolist(), strict=True))

    def best_and_given(
        self, terms: Terms, n: int, selected: Sequence[Bits | None] | None, numbers: Rows, rows: Rows
    ) -> tuple[Best, Floats]:
        """What `best` finds, and in the same pass the scores of given live rows, `(m,)`; 0.0 for one without a term.

        `numbers`, `rows`: the parts of these rows, and their rows there, `(m,)` each.
        """
        compiled, weights = kernel(), self._weights(terms)
        if n < 1 or not weights.any():
            return Best(_NONE, _NONE, np.zeros(0)), np.zeros(len(rows))
        masks = [part.live for part in self.parts] if selected is None else selected
        n, order = min(n, self.row_count), np.lexsort((rows, numbers))
        starts, given = np.searchsorted(numbers[order], np.arange(len(self.parts) + 1)), np.zeros(len(rows))
        if compiled is None:
            found, sums = self._best(terms, weights, n, masks, starts, rows[order])
        else:
            places = np.array([address_of(mask) for mask in masks], np.int64)
            wanted = (starts, rows[order]) if len(rows) else None
            found, sums = compiled.best(
                self._table, places, terms.hashes, weights, terms.counts, self._by_length, n, wanted
            )
        given[order] = sums * UNIT
        return Best(found[0], found[1], found[2] * UNIT), given

    def scores(self, terms: Terms, places: Sequence[tuple[int, int]]) -> list[float]:
        """The scores of live rows, (part, row) each; 0.0 where a row has none of the terms."""
        weights, found = self._weights(terms), dict[tuple[int, int], float]()
        for number in {part for part, _ in places}:
            rows = np.unique(np.array([row for part, row in places if part == number], np.int64))
            sums = self._sums_of(number, terms, weights, rows)
            found |= {(number, row): total * UNIT for row, total in zip(rows.tolist(), sums.tolist(), strict=True)}
        return [found[place] for place in places]

    # -- statistics -----------------------------------------------------------------------------

    @cached_property
    def _by_length(self) -> tuple[Floats, Floats]:
        """By length of a row: `damping`, and what a term that it has once is weighed by."""
        longest = max((int(part.postings.lengths.max(initial=0)) for part in self.parts), default=0)
        by_length = damping(longest, self.row_count, self.total_length)
        return by_length, 1 / (1 + by_length)

    @cached_property
    def _table(self) -> npt.NDArray[np.int64]:
        """The parts as the kernel takes them."""
        rows = [part_row(*part.postings.arrays, part.live, part.keys) for part in self.parts]
        return np.stack(rows) if rows else np.zeros((0, FIELDS), np.int64)

    def _weights(self, terms: Terms) -> Floats:
        """The idf of each term; 0 where no live row has it."""
        known, names = self._counts, terms.hashes.tolist()
        missing = [number for number, name in enumerate(names) if name not in known]
        if missing:
            if len(known) > _KNOWN:
                known = self._counts = {}
            new = self._count(terms.hashes[missing])
            known.update(zip([names[number] for number in missing], new.tolist(), strict=True))
        counts = [known.get(name, 0) for name in names]
        return idf(self.row_count, counts)

    def _count(self, hashes: Hashes) -> npt.NDArray[np.int64]:
        """In how many live rows each term is."""
        compiled = kernel()
        if compiled is not None:
            return compiled.count(self._table, hashes)
        counts = np.zeros(len(hashes), np.int64)
        for part in self.parts:
            for number, rows, _ in _lists(part, hashes):
                counts[number] += len(rows)
        return counts

    # -- sums by numpy --------------------------------------------------------------------------

    def _best(
        self,
        terms: Terms,
        weights: Floats,
        n: int,
        masks: Sequence[Bits | None],
        starts: Rows,
        wanted: Rows,
    ) -> tuple[Rows, Rows]:
        """What `Kernel.best` gives."""
        found, given = list[tuple[int, int, int]](), np.zeros(len(wanted), np.int64)
        for number, (part, mask) in enumerate(zip(self.parts, masks, strict=True)):
            sums, mine = self._sums(part, terms, weights), slice(starts[number], starts[number + 1])
            given[mine] = sums[wanted[mine]]
            if mask is not None:
                sums[~_flags(mask, len(sums))] = 0
            found += [(number, int(row), int(sums[row])) for row in _most(sums, n)]
        keys = np.array([self.parts[part].keys[row] for part, row, _ in found], np.uint8).reshape(-1, 16)
        table = np.array(found, np.int64).reshape(-1, 3).T
        return table[:, ranked(table[2] * UNIT, keys, n)], given

    def _sums_of(self, number: int, terms: Terms, weights: Floats, rows: Rows) -> Rows:
        """The scores of ascending rows of a part, in units of 2^-36."""
        compiled = kernel()
        if compiled is None:
            return self._sums(self.parts[number], terms, weights)[rows]
        part = self._table[number]
        return compiled.scores(part, terms.hashes, weights, terms.counts, self._by_length, rows)

    def _sums(self, part: KeywordPart, terms: Terms, weights: Floats) -> Rows:
        """The score of each row, in units of 2^-36; 0 for dead ones."""
        sums = np.zeros(part.postings.row_count, np.int64)
        for number, rows, times in _lists(part, terms.hashes):
            damped = self._by_length[0][part.postings.lengths[rows]]
            sums[rows] += int(terms.counts[number]) * parts(float(weights[number]), times, damped)
        return sums


def _lists(part: KeywordPart, hashes: Hashes) -> Iterator[tuple[int, Rows, Rows]]:
    """For each term that the segment has: its number, the live rows with it, and how often each has it."""
    for number, place in enumerate(part.postings.find(hashes).tolist()):
        if place >= 0:
            rows, times = part.postings.rows(place)
            if part.live is not None:
                alive = (part.live[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).astype(bool)
                rows, times = rows[alive], times[alive]
            yield number, rows, times


def _most(sums: npt.NDArray[np.int64], n: int) -> Rows:
    """The rows with the `n` highest sums above 0, and all that are equal to the last of them."""
    rows = np.flatnonzero(sums)
    if len(rows) > n:
        least = np.partition(sums[rows], len(rows) - n)[len(rows) - n]
        rows = rows[sums[rows] >= least]
    return rows


def _flags(bits: Bits, count: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(bits, count=count, bitorder="little").view(bool)
