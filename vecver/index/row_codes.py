"""Row codes: 8-bit codes of a segment's rows, which tell an exact search the rows that can be among the best.

An exact search of one query reads a quarter of the bytes: the codes of the live rows instead of their floats. It keeps
the rows that the codes cannot rule out, and the one rule scores those, so ids and score bits are the same.

The proof. Rows are seen from a centre m: the part q.m of q.v is the same for every row and is left out. With r = v - m,
a row is held as r' = s c, with c of integers and an upper bound e of |r - r'|; a query q as q' = u z, with z of
integers. By Cauchy-Schwarz (as in the VA-file: Weber, Schek & Blott, VLDB 1998, which scans bounds, then rows):

    |q.r - q'.r'|  =  |q.(r - r') + (q - q').r'|  <=  |q| e + |q - q'| M            M: no r' and no v is longer

q'.r' is u s (z.c); z.c is an exact 32-bit sum, since no z exceeds (2^31 - 1) / (127 dim). For l2, scores are compared
as 2 q.r - v.v: twice the bound above, and 2^-23 of the v.v that is held in float32. To that is added
- what the rule rounds, as in `scoring.slack`: (n^2 2^-60 + 2^-50) |q| M, for l2 with (|q| + M)^2;
- what the scan rounds in float64: below 2^-49 of the same (each of its few operations 2^-53);
- what a CPU that flushes subnormals to zero loses: 4 n 2^-126 (|q| + M + 1). Scales and errors are never subnormal.
Norms and errors are raised by 1e-9 of their size, more than their sums round. So each score lies in low..high around
what the codes give; a row whose high is below the k-th largest low is worse than k rows, whatever the keys. Comparisons
are written so that a row is kept where a bound overflows.

Decisions
1. In memory, not in a file: a quarter more bytes on the disk would miss what a version may cost there.
2. Made by the second search that can use them, so that a process that searches once pays nothing: making them for
   1,000,000 x 384 takes 0.9 s of CPU (half of it for the memory's pages) and saves 40 ms a search. Not made where the
   budget of opened versions has no room; dropped before any version is closed.
3. A scale and an error a row: with the segment's largest error, one long row would keep all others in the window.
4. The centre is the mean of some rows: any would be right, and this one leaves short rows and small errors where all
   vectors share a direction, as many models' do. Rows with cosines of 0.96 to each other: 869 of 100,000 are possible,
   99,994 without a centre.
5. A query has 16 bits: their error is a hundredth of the rows', and one multiplication takes both (`pmaddwd`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vecver.index.kernel import Codes, Query, fits, kernel
from vecver.index.scoring import Rows
from vecver.model import Metric, Part, Vectors

FEWEST_ROWS = 8192  # live; fewer take 80 us less of a search, which is not worth their memory
_LEAST_SHARE = 1 / 8  # of live rows
_SEARCHES = 2  # the search that makes the codes, of those that can use them
_CODE_LIMIT, _INTEGER_LIMIT, _LARGEST_SUM = 127, 2**15 - 1, 2**31 - 1
_FEWEST_LEVELS = 1024  # of a query's numbers; with more columns than some 16,000 the sums have no room for them
_SAMPLED, _LARGEST_CENTRE = 4096, 1e18  # rows; with a number below, float32 subtracts from its largest
_RAISED = 1 + 1e-9
_FLOAT = np.dtype(np.float32)


class SegmentCodes:
    """The codes of one segment, made when searches are worth it. Threads may share it.

    `has_room`: True if this many bytes more may be held in memory.
    """

    def __init__(self, has_room: Callable[[int], bool]) -> None:
        self._has_room = has_room
        self._making = threading.Lock()
        self._codes: Codes | None = None
        self._searches = 0
        self.nbytes = 0  # of memory that they hold, or will hold when they are made

    def find(self, part: Part, metric: Metric) -> Codes | None:
        """The codes of the part's rows; None: scan its floats. While one thread makes them, others scan floats."""
        codes = self._codes
        if codes is not None or not _is_worth_it(part) or not self._making.acquire(blocking=False):
            return codes
        try:
            return self._codes or self._make(part, metric)
        finally:
            self._making.release()

    def drop(self) -> None:
        """Let the memory go; searches that use the codes end with them. Later searches may make them again."""
        self._codes, self._searches, self.nbytes = None, 0, 0

    def _make(self, part: Part, metric: Metric) -> Codes | None:
        self._searches += 1
        if self._searches < _SEARCHES or self._searches & (self._searches - 1):  # asks for room each time twice as late
            return None
        needed = len(part.vectors) * (part.vectors.shape[1] + 12)
        if not self._has_room(needed):
            return None
        self.nbytes = needed  # from now on, so that two segments do not take the same room
        codes = encoded(part.vectors, metric)
        self.nbytes = codes.nbytes if codes else 0
        self._codes = codes
        return codes


def _is_worth_it(part: Part) -> bool:
    """True if a search of so many live rows gains enough to make the codes of all."""
    return kernel() is not None and part.live_count >= max(FEWEST_ROWS, len(part.vectors) * _LEAST_SHARE)


def encoded(vectors: Vectors, metric: Metric) -> Codes | None:
    """The codes of `(n, dim)` float32 vectors; None without the kernel."""
    compiled, dim = kernel(), vectors.shape[1]
    if compiled is None or not fits(vectors, _FLOAT) or _levels(dim) < _FEWEST_LEVELS:
        return None
    return compiled.encode(vectors, centre_of(vectors), is_l2=metric == "l2")


def centre_of(vectors: Vectors) -> Vectors:
    """The mean of some rows, `(dim,)` float32; 0 where it is so large that a difference may exceed float32."""
    mean = vectors[:: len(vectors) // _SAMPLED + 1].mean(axis=0, dtype=np.float64)
    return np.where(np.abs(mean) < _LARGEST_CENTRE, mean, 0).astype(np.float32)


def possible_rows(codes: Codes, part: Part, query: Vectors, k: int, metric: Metric) -> Rows:
    """The live rows of the part, ascending, that can be among the `k` with the highest scores.

    `query`: `(dim,)` float32; `k`: below the number of live rows.
    """
    compiled = kernel()
    assert compiled, "codes are made by the kernel"
    live = None if part.live is None else np.ascontiguousarray(part.live)
    return compiled.scan(query_of(query, codes.longest, metric), codes, live, part.live_count, k)


def query_of(query: Vectors, longest: float, metric: Metric) -> Query:
    """A query in integers, with the bound of the module's proof. `longest`: of the codes."""
    wide, n = query.astype(np.float64), len(query)
    unit = float(np.abs(wide).max(initial=0.0)) / _levels(n) or 1.0
    integers = np.rint(wide / unit)
    norm = _length(wide)
    apart = _length(wide - integers * unit) + norm * 2.0**-50
    product = (norm + apart) * longest
    rounded, bound = product, apart * longest
    if metric == "l2":
        rounded, bound = (norm + apart + longest) ** 2, 2 * bound
    slack = bound + (n * n * 2.0**-60 + 2.0**-48) * rounded + 4 * n * 2.0**-126 * (norm + longest + 1)
    return Query(integers.astype(np.int16), unit, norm, slack * _RAISED)


def _levels(dim: int) -> int:
    return min(_INTEGER_LIMIT, _LARGEST_SUM // (_CODE_LIMIT * max(dim, 1)))


def _length(wide: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(wide).sum())) * _RAISED
