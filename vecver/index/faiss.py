"""FAISS: one index over all rows of a segment, which proposes candidates for any version of them.

An inverted file (IVF) over 4-bit product codes: the rows lie in lists around centroids, a query reads
the lists nearest to it, and a version's mask hides its dead rows while they are read. The index never
decides: the rows it proposes are scored again by the one rule.

How many lists are read and how many candidates taken is decided for each query, from a first look into a few
lists (`effort`); by which margins is measured when the index is built, on vectors that are as hard as questions
are (`calibration`). Where rows died the k-th best is farther away, so more lists are read; where that costs more than
a scan, the query is scanned. What a part costs before a query is seen follows from what a typical one reads: to find k
of which the share f lives takes as many lists as k / f of all rows.

Decisions
- 2026-11-21 IVF,PQ4 rather than HNSW (the road taken before): built in 2 s instead of 24 (100,000 x 384), a
  thirtieth of the vectors' bytes instead of 30%, and a mask costs it little: with half of the rows dead
  101 us a query at recall 0.95, where HNSW,SQ8 takes 161 and a masked HNSW lost up to 0.8 of its recall
  where whole clusters had died. A raw float32 HNSW of just the live rows takes 78.
- 2026-11-21 below INDEX_ROWS a segment is scanned: 8,192 x 384 take a millisecond.
- 2026-11-26 effort per query rather than one for all (the road taken before: 22 lists and 61 candidates): of 36,000
  passages it found 0.94 of the true ten for questions of their domain, 0.82 and 0.64 for others, now 0.97 to 0.99.
- 2026-11-21 an index is read into memory, not mapped: its bytes are few, and all of them had to be hashed.
- 2026-11-21 a search is one thread's work, also of a batch: FAISS's threads spin while they wait for each other. On two
  cores that others used too, 10,000 x 384, a query took 4 ms of CPU on two threads and 1.2 on one, 64 queries
  100 ms and 60; callers who have cores to spare search in threads of their own.
- 2026-11-21 `_ONE_BY_ONE`: FAISS then reads the lists for each query alone. Its other ways share work between
  the queries of a batch, and a candidate could depend on the company.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.errors import BackendError, IntegrityError, index_again
from vecver.index import calibration
from vecver.index.calibration import MOST_ROWS, calibrate
from vecver.index.effort import Effort, class_of, first_lists
from vecver.index.scoring import Rows
from vecver.model import Json, Metric, Part, Vectors

SPEC = "ivf-pq4"
INDEX_ROWS = 8192
_QUICK_ROWS = 16_384  # among which an index is calibrated when it is opened without its effort
_ITERATIONS, _POINTS = 10, 128  # of k-means, and of rows a centroid
_LEAST = -3e38  # nearness; below it is only a list without a live row
_ONE_BY_ONE = 11  # FAISS's number for it
_LONGEST = 1e9  # vectors that FAISS is given
_ALONE_BELOW = 65536  # rows
_ADDED = 65536  # rows added at once
# What a search costs, in nanoseconds, on one core (benchmarks/search_latency.py).
_SCAN, _SCAN_VALUE = 20_000, 0.5  # a scan; each float of a live row
_PROBE, _PROBE_LIST, _PROBE_CODE, _PROBE_ROW = 60_000, 350, 0.07, 150  # an index; a list; a code's byte; a candidate

Progress = Callable[[int], None]  # told how many more rows are in


class Index:
    """An index, opened: shared by all versions whose rows lie in its segment."""

    def __init__(self, index: Any, effort: Effort, nbytes: int) -> None:
        index.implem = _ONE_BY_ONE
        self.faiss, self.effort = index, effort
        self.nbytes = nbytes  # about what it holds in memory
        self.count: int = index.ntotal
        self.list_count: int = index.nlist

    @cached_property
    def lists(self) -> npt.NDArray[np.uint16]:
        """The list in which each row lies, `(n,)`."""
        return _lists_of(self.faiss)

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Rows of each list."""
        return np.bincount(self.lists, minlength=self.list_count)

    @cached_property
    def centroids(self) -> Vectors:
        """`(lists, dim)`."""
        return np.ascontiguousarray(self.faiss.quantizer.reconstruct_n(0, self.list_count))

    @cached_property
    def is_l2(self) -> bool:
        """Are rows compared by distance? Else by product."""
        return bool(self.faiss.metric_type == _library().METRIC_L2)


@dataclass(frozen=True)
class View:
    """An index as one version sees it: under a mask of `(ceil(n / 8),)` little-endian bits, or None for all rows."""

    index: Index
    live: npt.NDArray[np.uint8] | None
    live_count: int
    _probes: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # by class of k
    _ways: dict[int, Any] = field(default_factory=dict, init=False, repr=False)  # by lists to read

    def way(self, lists: int) -> Any:
        """How FAISS is to search: so many lists, under the mask."""
        if lists not in self._ways:
            self._ways[lists] = _library().SearchParametersIVF(nprobe=lists, sel=self._selector)
        return self._ways[lists]

    @cached_property
    def _selector(self) -> Any:
        return None if self.live is None else _library().IDSelectorBitmap(self.live)

    @cached_property
    def live_sizes(self) -> npt.NDArray[np.int64]:
        """Live rows of each list."""
        if self.live is None:
            return self.index.sizes
        lives = np.unpackbits(self.live, count=self.index.count, bitorder="little").view(bool)
        return np.bincount(self.index.lists[lives], minlength=self.index.list_count)

    def probes(self, k: int) -> int:
        """Lists that a typical query reads for `k` live rows, if they died everywhere alike."""
        size = class_of(k)
        if size not in self._probes:
            needed = self.index.effort.probes_for(size * self.index.count / max(self.live_count, 1))
            self._probes[size] = min(int(np.ceil(needed)), self.index.list_count)
        return self._probes[size]

    def width(self, k: int) -> int:
        """Candidates that a typical query takes."""
        return min(self.index.effort.width_for(class_of(k)), max(self.live_count, 1))

    @cached_property
    def closed(self) -> npt.NDArray[np.bool_] | None:
        """Which lists have no live row; None if all have some."""
        closed = self.live_sizes == 0
        return closed if closed.any() else None


def wanted(rows: int, max_norm: float) -> bool:
    """Should a segment with so many rows, none longer than `max_norm`, have an index?

    Not where squares might leave float32: FAISS ends the process then.
    """
    return rows >= INDEX_ROWS and max_norm < _LONGEST


def version() -> str:
    """The FAISS that builds and reads; recorded beside an index."""
    return str(_library().__version__)


# -- building and opening -----------------------------------------------------------------------


def build(
    vectors: Vectors, metric: Metric, file: Path, *, grown: Index | None = None, progress: Progress | None = None
) -> Json:
    """Write an index over all of `vectors`, `(n, dim)` float32, to `file`; returns the facts that `load` needs.

    `grown`: an index over the first of these rows, whose centroids and codes are taken over.
    """
    faiss = _library()
    with _threads(len(vectors)):
        index = faiss.clone_index(grown.faiss) if grown else _trained(vectors, metric)
        _add(index, vectors, progress)
        index.implem = _ONE_BY_ONE
        effort = calibrate(index, _lists_of(index), vectors, metric, rows=MOST_ROWS)
    index.nprobe = min(math.ceil(effort.probes[0]), index.nlist)  # for those who read the file with FAISS alone
    _save(index, file)
    return {"faiss": version(), "lists": index.nlist, **effort.to_json()}


def build_flat(vectors: Vectors, metric: Metric, file: Path) -> Json:
    """As `build`, for rows that are too few for it: an index that scans them."""
    faiss = _library()
    index = faiss.index_factory(vectors.shape[1], "Flat", _kind(metric))
    index.add(np.ascontiguousarray(vectors))
    _save(index, file)
    return {"faiss": version()}


def _save(index: Any, file: Path) -> None:
    """Write an index and read it back: what a full disk says when a file is closed, FAISS (1.15) only prints.

    Raises BackendError if it was not written whole.
    """
    faiss = _library()
    try:
        faiss.write_index(index, str(file))
        faiss.read_index(str(file))
    except RuntimeError as error:
        raise BackendError(
            f"FAISS could not write {file}",
            code="index_not_written",
            hint="free space and try again; nothing was changed",
            retryable=True,
        ) from error


def grows(index: Index, rows: int) -> bool:
    """May this index grow to so many rows, or should one of that size be trained anew?"""
    return index.count < rows <= 2 * index.count and _list_count(rows) <= 2 * index.list_count


def load(content: memoryview, facts: Json, vectors: Vectors | None = None, metric: Metric = "cosine") -> Index:
    """Open an index whose digest was checked. Raises IntegrityError if this FAISS cannot read it.

    `vectors`: its rows, for the effort of an index that was built before effort was decided for each query.
    """
    faiss = _library()
    if _numbers(facts["faiss"]) > _numbers(version()):
        raise _unreadable(f"was built by FAISS {facts['faiss']}, this is {version()}", "index_version")
    try:
        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        effort = Effort.from_json(facts)
    except (RuntimeError, KeyError, TypeError) as error:
        raise _unreadable("cannot be read", "index_damaged") from error
    if not is_calibrated(facts):
        if vectors is None or len(vectors) != index.ntotal:
            return Index(index, effort.unlimited(), len(content))
        effort = _quickly_calibrated(index, vectors, metric)
    return Index(index, effort, len(content))


def raised(index: Index, part: Part, metric: Metric, queries: Vectors) -> Json | None:
    """The facts of an index that looks as far as these queries need among the part's rows; None if it does already.

    `queries`: `(m, dim)` float32, normalised as the metric wants.
    """
    with _one_thread():
        effort = calibration.raised(
            index.effort, index.faiss, index.lists, part.vectors, metric, queries, _live_rows(part)
        )
    return None if effort == index.effort else effort.to_json()


def _quickly_calibrated(index: Any, vectors: Vectors, metric: Metric) -> Effort:
    """In some tenths of a second, whatever the index's size."""
    index.implem = _ONE_BY_ONE
    with _one_thread():
        return calibrate(index, _lists_of(index), vectors, metric, rows=_QUICK_ROWS)


def is_calibrated(facts: Json) -> bool:
    """Do these facts say how far each query must look? Those from before 2026-11-26 do not."""
    return bool(facts.get("reach"))


def recalibrated(index: Index, vectors: Vectors, metric: Metric) -> Json:
    """The effort of an index that is there, as `build` would measure it: some of its facts."""
    with _threads(len(vectors)):
        return calibrate(index.faiss, index.lists, vectors, metric, rows=MOST_ROWS).to_json()


def _threads(rows: int) -> contextlib.AbstractContextManager[None]:
    """FAISS alone on one thread where rows are few: its threads wait for each other at every step of the training.

    With other processes on the cores, 8,192 x 384 then took 21 s on two threads, and 0.5 s on one.
    """
    return _one_thread() if rows < _ALONE_BELOW else contextlib.nullcontext()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS alone, where this thread calls it."""
    faiss = _library()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _add(index: Any, vectors: Vectors, progress: Progress | None) -> None:
    """Add the rows that the index does not hold yet."""
    for start in range(index.ntotal, len(vectors), _ADDED):
        block = np.ascontiguousarray(vectors[start : start + _ADDED])
        index.add(block)
        if progress:
            progress(len(block))


def _trained(vectors: Vectors, metric: Metric) -> Any:
    """An empty index whose centroids and codes suit `vectors`."""
    faiss = _library()
    dim, lists = vectors.shape[1], _list_count(len(vectors))
    index = faiss.index_factory(dim, f"IVF{lists},PQ{_code_parts(dim)}x4fs", _kind(metric))
    index.cp.niter, index.cp.max_points_per_centroid = _ITERATIONS, _POINTS
    index.pq.cp.niter = _ITERATIONS
    points = min(len(vectors), max(_POINTS * lists, 16384))
    index.train(np.ascontiguousarray(vectors[np.linspace(0, len(vectors) - 1, points).astype(np.int64)]))
    return index


def _list_count(rows: int) -> int:
    """The power of two near 0.8 sqrt(rows): 64 lists for 8,192 rows, 256 for 100,000, 1024 for 1,000,000."""
    return 1 << round(np.log2(0.8 * np.sqrt(rows)))


def _code_parts(dim: int) -> int:
    """Into how many parts a vector is cut for its code: four dimensions a part, or the next number that divides."""
    return next(parts for parts in range(-(-dim // 4), dim + 1) if dim % parts == 0)


def _lists_of(index: Any) -> npt.NDArray[np.uint16]:
    faiss, found = _library(), np.zeros(index.ntotal, np.uint16)
    for number in range(index.nlist):
        if size := index.invlists.list_size(number):
            found[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _unreadable(why: str, code: str) -> IntegrityError:
    return IntegrityError(
        f"a segment's index {why}",
        code=code,
        hint=index_again(),
    )


# -- searching ----------------------------------------------------------------------------------


def proposes(part: Part, k: int) -> bool:
    """Is the index the cheaper way to k candidates, or a scan of the live rows? By the constants above."""
    if part.index is None:
        return False
    view: View = part.index
    probes = view.probes(k)
    codes = probes / view.index.list_count * view.index.count
    return _cost(part, probes, codes, view.width(k)) <= _scan_cost(part)


def _cost(part: Part, lists: int, codes: float, width: int) -> float:
    """Nanoseconds of reading so many lists with so many codes, and of re-scoring so many candidates."""
    size = _code_parts(part.vectors.shape[1]) / 2
    return _PROBE + lists * _PROBE_LIST + codes * size * _PROBE_CODE + width * _PROBE_ROW


def _scan_cost(part: Part) -> float:
    return _SCAN + part.live_count * part.vectors.shape[1] * _SCAN_VALUE


def candidates(part: Part, queries: Vectors, k: int) -> list[Rows | None]:
    """For each query of `(m, dim)` float32 the live rows that may be among its best `k`, ascending.

    All live rows where reading the lists costs more than a scan. None where a query is farther from all of them than
    any calibrated vector, or float32 or FAISS cannot hold its products (a zero vector): then a scan has to say.
    """
    with _one_thread():
        return [_candidates(part, query, k) for query in queries]


def _candidates(part: Part, query: Vectors, k: int) -> Rows | None:
    """A first look into the nearest lists, then all lists that may still hold one of the best `k`."""
    view: View = part.index
    index, size = view.index, class_of(k)
    reach, norm = index.effort.reach_for(size), _norm(query)
    if norm == np.inf:
        return None
    centroids = _centroid_scores(index, query)
    near = _nearness(centroids, norm, index.is_l2)
    if view.closed is not None:
        near[view.closed] = -np.inf
    nearest = float(near.max())
    first = first_lists(near, view.live_sizes, reach.first(nearest), size)
    width = min(max(int(reach.first_widths(nearest)), size), view.live_count)
    rows, codes = _read_lists(view, query, first, centroids, width)
    kth = _kth(_nearness(_row_scores(index, query, part.vectors, rows), norm, index.is_l2), size)
    if not kth < np.inf or reach.is_beyond(kth):
        return None
    wanted, needed = min(int(reach.widths(kth)), view.live_count), near >= max(kth - reach.margins(kth), _LEAST)
    needed[first] = wanted > width  # then the first lists are read again, deeper
    more = np.flatnonzero(needed)
    if len(more):
        if _cost(part, len(more), float(index.sizes[more].sum()), wanted) - _PROBE > _scan_cost(part):
            return _live_rows(part)
        found, ranks = _read_lists(view, query, more, centroids, wanted)
        if wanted > width:
            rows, codes = found, ranks
        else:
            rows, codes = np.concatenate((rows, found)), np.concatenate((codes, ranks))
    if len(rows) < min(k, view.live_count):
        return None
    if len(rows) > wanted:
        rows = rows[np.argpartition(codes if index.is_l2 else -codes, wanted)[:wanted]]
    return np.sort(rows)


def _norm(query: Vectors) -> float:
    """Its length, 1 for none; infinite where float32 cannot hold its square."""
    with np.errstate(over="ignore"):
        return math.sqrt(np.dot(query, query)) or 1.0


def _live_rows(part: Part) -> Rows:
    if part.live is None:
        return np.arange(len(part.vectors))
    return np.flatnonzero(np.unpackbits(part.live, count=len(part.vectors), bitorder="little"))


def _nearness(scores: npt.NDArray[np.float32], norm: float, is_l2: bool) -> npt.NDArray[np.float32]:
    """Higher is nearer: see `effort`. `scores`: products, or squared distances."""
    return -np.sqrt(scores) if is_l2 else scores / np.float32(norm)


def _kth(near: npt.NDArray[np.float32], k: int) -> float:
    """The nearness of the `k`-th nearest of some rows; -inf if they are fewer."""
    return float(np.partition(near, len(near) - k)[len(near) - k]) if len(near) >= k else -np.inf


def _centroid_scores(index: Index, query: Vectors) -> npt.NDArray[np.float32]:
    """The products of a query with the lists' centroids, or its squared distances from them, `(lists,)`."""
    faiss, found = _library(), np.empty(index.list_count, np.float32)
    measure = faiss.fvec_L2sqr_ny if index.is_l2 else faiss.fvec_inner_products_ny
    measure(*(faiss.swig_ptr(array) for array in (found, query, index.centroids)), *index.centroids.shape[::-1])
    return found


def _row_scores(index: Index, query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """The same of some rows, `(len(rows),)`."""
    return _by_row("fvec_L2sqr_by_idx" if index.is_l2 else "fvec_inner_products_by_idx", query, vectors, rows)


def _read_lists(
    view: View, query: Vectors, lists: Rows, centroids: npt.NDArray[np.float32], width: int
) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The best `width` live rows in some lists and their scores by codes; fewer if fewer live there.

    FAISS's Python face takes no parameters here; its C++ face does.
    """
    faiss = _library()
    near, scores, found = centroids[lists], np.empty(width, np.float32), np.full(width, -1, np.int64)
    pointers = [faiss.swig_ptr(array) for array in (query, lists, near, scores, found)]
    how = view.way(len(lists))
    view.index.faiss.search_preassigned_c(1, pointers[0], width, *pointers[1:], False, how)
    there = found >= 0
    return (found, scores) if there.all() else (found[there], scores[there])


def products(query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """The inner products of a query with some rows, `(len(rows),)`, read where they lie."""
    with _one_thread():
        return _by_row("fvec_inner_products_by_idx", query, vectors, rows)


def _by_row(measure: str, query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    faiss, found = _library(), np.empty(len(rows), np.float32)
    pointers = [faiss.swig_ptr(array) for array in (found, query, vectors, np.ascontiguousarray(rows, np.int64))]
    getattr(faiss, measure)(*pointers, vectors.shape[1], 1, len(rows))
    return found


def _kind(metric: Metric) -> int:
    """The metric, for FAISS."""
    faiss = _library()
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def _library() -> Any:
    """FAISS, untyped: its stubs do not know all that it has."""
    import faiss

    return faiss
