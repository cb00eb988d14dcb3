"""Ranking by keywords: the best rows of a version for some terms, and the scores of given rows. Knows no words.

count the live rows that have each term -> weigh the terms -> add up each row's parts -> order the selected rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vecver.index.keywords.postings import Postings, Rows
from vecver.index.keywords.scoring import UNIT, damping, idf, parts
from vecver.index.keywords.terms import Terms
from vecver.index.scoring import ranked

Bits = npt.NDArray[np.uint8]  # little-endian, row i is bit i


@dataclass(frozen=True, eq=False)
class KeywordPart:
    """The postings of a segment, and which of its rows a version has."""

    postings: Postings
    live: Bits | None  # (ceil(rows / 8),); None: all
    live_count: int
    keys: npt.NDArray[np.uint8]  # (rows, 16): the tie-break

    @cached_property
    def total_length(self) -> int:
        """The sum of the lengths of live rows."""
        if self.live is None:
            return self.postings.total_length
        return int(self.postings.lengths[_flags(self.live, self.postings.row_count)].sum(dtype=np.int64))


class KeywordVersion:
    """A version as keyword search sees it. May be used from several threads."""

    def __init__(self, parts: Sequence[KeywordPart]) -> None:
        self.parts = tuple(parts)
        self.row_count = sum(part.live_count for part in self.parts)
        self.total_length = sum(part.total_length for part in self.parts)

    def best(self, terms: Terms, n: int, selected: Sequence[Bits | None] | None = None) -> list[tuple[int, int, float]]:
        """The best `n` live rows that have a term, as (part, row, score), best first; fewer if fewer have one.

        `selected`: by part, which rows may be answers (a subset of the live ones); None: all live ones.
        """
        found = list[tuple[int, int, float]]()
        weights = self._weights(terms)
        for number, part in enumerate(self.parts):
            chosen = part.live if selected is None else selected[number]
            sums = self._sums(part, terms, weights)
            if chosen is not None:
                sums[~_flags(chosen, len(sums))] = 0
            rows = _most(sums, n)
            found += [(number, int(row), float(sums[row] * UNIT)) for row in rows]
        keys = np.array([self.parts[part].keys[row] for part, row, _ in found], np.uint8).reshape(-1, 16)
        return [found[i] for i in ranked(np.array([score for _, _, score in found]), keys, n)]

    def scores(self, terms: Terms, places: Sequence[tuple[int, int]]) -> list[float]:
        """The scores of live rows, (part, row) each; 0.0 where a row has none of the terms."""
        weights = self._weights(terms)
        sums = {number: self._sums(self.parts[number], terms, weights) for number in {part for part, _ in places}}
        return [float(sums[part][row] * UNIT) for part, row in places]

    def has_terms(self, terms: Terms, place: tuple[int, int]) -> list[bool]:
        """Which of the terms a row has, (part, row)."""
        part, row = self.parts[place[0]], place[1]
        return [at >= 0 and row in part.postings.rows(at)[0] for at in part.postings.find(terms.hashes).tolist()]

    # -- statistics -----------------------------------------------------------------------------

    @cached_property
    def _damping(self) -> npt.NDArray[np.float64]:
        longest = max((int(part.postings.lengths.max(initial=0)) for part in self.parts), default=0)
        return damping(longest, self.row_count, self.total_length)

    def _weights(self, terms: Terms) -> npt.NDArray[np.float64]:
        """The idf of each term; 0 where no live row has it."""
        counts = np.zeros(len(terms), np.int64)
        for part in self.parts:
            for number, rows, _ in _lists(part, terms):
                counts[number] += len(rows)
        return np.where(counts, idf(self.row_count, counts), 0.0)

    def _sums(self, part: KeywordPart, terms: Terms, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The score of each row, in units of 2^-36; 0 for dead ones."""
        sums = np.zeros(part.postings.row_count, np.int64)
        for number, rows, times in _lists(part, terms):
            damped = self._damping[part.postings.lengths[rows]]
            sums[rows] += int(terms.counts[number]) * parts(float(weights[number]), times, damped)
        return sums


def _lists(part: KeywordPart, terms: Terms) -> Iterator[tuple[int, Rows, Rows]]:
    """For each term that the segment has: its number, the live rows with it, and how often each has it."""
    for number, place in enumerate(part.postings.find(terms.hashes).tolist()):
        if place >= 0:
            rows, times = part.postings.rows(place)
            if part.live is not None:
                alive = (part.live[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).astype(bool)
                rows, times = rows[alive], times[alive]
            yield number, rows, times


def _most(sums: npt.NDArray[np.int64], n: int) -> Rows:
    """The rows with the `n` highest sums above 0, and all that are equal to the last of them."""
    rows = np.flatnonzero(sums)
    if n < 1:
        return rows[:0]
    if len(rows) > n:
        least = np.partition(sums[rows], len(rows) - n)[len(rows) - n]
        rows = rows[sums[rows] >= least]
    return rows


def _flags(bits: Bits, count: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(bits, count=count, bitorder="little").view(bool)
