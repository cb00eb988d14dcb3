"""FAISS: one index over all rows of a segment, which proposes candidates for any version of them.

An inverted file (IVF) over 4-bit product codes: the rows lie in lists around centroids, a query reads
the lists nearest to it, and a version's mask hides its dead rows while they are read. The index never
decides: the rows it proposes are scored again by the one rule.

How many lists to probe and how many candidates to take is measured on the segment's own rows when its
index is built (`Effort`), so that queries like the rows find them in easy data and hard; for queries of
another kind `vecver recall --queries` tells. Rows that died are made
up for by probing on: to find k of which the share f lives takes as many lists as k / f of all rows.

Decisions
- 2026-11-21 IVF,PQ4 rather than HNSW (the road taken before): built in 2 s instead of 24 (100,000 x 384), a
  thirtieth of the vectors' bytes instead of 30%, and a mask costs it little: with half of the rows dead
  101 us a query at recall 0.95, where HNSW,SQ8 takes 161 and a masked HNSW lost up to 0.8 of its recall
  where whole clusters had died. A raw float32 HNSW of just the live rows takes 78.
- 2026-11-21 below INDEX_ROWS a segment is scanned: 8,192 x 384 take a millisecond.
- 2026-11-21 the share f is that of the lists which a query reads, not of the segment: deaths come in clusters.
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

from vecver.errors import BackendError, IntegrityError
from vecver.index.scores import Rows
from vecver.model import Json, Metric, Part, Vectors

SPEC = "ivf-pq4"
INDEX_ROWS = 8192
_CLASSES = (10, 40, 160, 640)  # an answer of k rows takes the effort of the first of these that is not below k
_SAMPLE = 192  # rows that are asked when the effort is measured
_REACHED, _RANKED = 0.98, 0.99  # share of the nearest rows that the lists hold, and that the codes rank high enough
_DEEPEST = 2048  # candidates that are looked through for the rank of a near row; hard data have it low
_ITERATIONS, _POINTS = 10, 128  # of k-means, and of rows a centroid
_ONE_BY_ONE = 11  # FAISS's number for it
_LONGEST = 1e9  # vectors that FAISS is given
_ALONE_BELOW = 65536  # rows
_ADDED = 65536  # rows added at once
# What a search costs, in nanoseconds, on one core (benchmarks/search_latency.py).
_SCAN, _SCAN_VALUE = 20_000, 0.5  # a scan; each float of a live row
_PROBE, _PROBE_LIST, _PROBE_CODE, _PROBE_ROW = 60_000, 700, 0.07, 300  # an index; a list; a code's byte; a candidate

Progress = Callable[[int], None]  # told how many more rows are in


@dataclass(frozen=True)
class Effort:
    """What finding the nearest rows takes, as measured: for 10, 40, 160 and 640 of them."""

    probes: tuple[float, ...]  # lists to read
    widths: tuple[int, ...]  # candidates to take

    def probes_for(self, k: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Lists to read for the nearest `k`: between and beyond the classes on the line through them, in logarithms."""
        x, y = np.log(_CLASSES), np.log(self.probes)
        asked = np.log(np.maximum(k, 1.0))
        beyond = np.maximum(asked - x[-1], 0) * max((y[-1] - y[-2]) / (x[-1] - x[-2]), 0.5)
        return np.exp(np.interp(asked, x, y) + beyond)

    def width_for(self, k: int) -> int:
        """Candidates to take for the nearest `k`."""
        for known, width in zip(_CLASSES, self.widths, strict=True):
            if k <= known:
                return width
        return -(-self.widths[-1] * k // _CLASSES[-1])

    def to_json(self) -> Json:
        return {"probes": list(self.probes), "widths": list(self.widths)}


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
    def enough_for(self) -> npt.NDArray[np.float64]:
        """How many of the nearest rows the first 1, 2, 3 ... lists are enough for."""
        k = np.geomspace(1, 2 * self.count, 400)
        lists = np.arange(1, self.list_count + 1)
        found = np.interp(lists, np.maximum.accumulate(self.effort.probes_for(k)), k, left=0.0)
        found[-1] = np.inf
        return found


@dataclass(frozen=True)
class View:
    """An index as one version sees it: under a mask of `(ceil(n / 8),)` little-endian bits, or None for all rows."""

    index: Index
    live: npt.NDArray[np.uint8] | None
    live_count: int
    _probes: dict[int, int] = field(default_factory=dict, init=False, repr=False)  # by class of k
    _ways: dict[int, Any] = field(default_factory=dict, init=False, repr=False)  # by lists to read

    def way(self, probes: int) -> Any:
        """How FAISS is to search: so many lists, under the mask."""
        if probes not in self._ways:
            faiss = _library()
            selector = None if self.live is None else faiss.IDSelectorBitmap(self.live)
            self._ways[probes] = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        return self._ways[probes]

    @cached_property
    def live_sizes(self) -> npt.NDArray[np.int64]:
        """Live rows of each list."""
        assert self.live is not None
        lives = np.unpackbits(self.live, count=self.index.count, bitorder="little").view(bool)
        return np.bincount(self.index.lists[lives], minlength=self.index.list_count)

    def probes(self, k: int) -> int:
        """Lists to read for `k` live rows, if they died everywhere alike."""
        known = _class_of(k)
        if known not in self._probes:
            needed = self.index.effort.probes_for(known * self.index.count / max(self.live_count, 1))
            self._probes[known] = min(int(np.ceil(needed)), self.index.list_count)
        return self._probes[known]

    def width(self, k: int) -> int:
        """Candidates to take."""
        return min(self.index.effort.width_for(_class_of(k)), max(self.live_count, 1))


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
        effort = _measured(index, vectors, metric)
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
            hint="free space and repeat the command; nothing was changed",
            retryable=True,
        ) from error


def grows(index: Index, rows: int) -> bool:
    """May this index grow to so many rows, or should one of that size be trained anew?"""
    return index.count < rows <= 2 * index.count and _list_count(rows) <= 2 * index.list_count


def load(content: memoryview, facts: Json) -> Index:
    """Open an index whose digest was checked. Raises IntegrityError if this FAISS cannot read it."""
    faiss = _library()
    if _numbers(facts["faiss"]) > _numbers(version()):
        raise _unreadable(f"was built by FAISS {facts['faiss']}, this is {version()}", "index_version")
    try:
        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
        return Index(index, Effort(tuple(facts["probes"]), tuple(facts["widths"])), len(content))
    except (RuntimeError, KeyError) as error:
        raise _unreadable("cannot be read", "index_damaged") from error


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


def _measured(index: Any, vectors: Vectors, metric: Metric) -> Effort:
    """The effort that finds the nearest rows of some of the index's own; those rows do not count as found."""
    faiss = _library()
    asked = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64))
    queries, most = np.ascontiguousarray(vectors[asked]), min(_CLASSES[-1], len(vectors) - 1)
    _, nearest = faiss.knn(queries, vectors, most + 1, metric=_kind(metric))
    nearest = np.stack([rows[rows != own][:most] for rows, own in zip(nearest, asked, strict=True)])
    ranks = _ranks(index.quantizer.search(queries, index.nlist)[1], index.nlist)
    reached = np.take_along_axis(ranks, _lists_of(index)[nearest].astype(np.int64), axis=1)
    probes, widths = [1.0], [1]
    for k in _CLASSES:
        probes.append(max(probes[-1], 1 + _quantile(reached[:, :k], _REACHED)))
        places = _places(index, queries, nearest[:, :k], int(probes[-1]))
        widths.append(max(widths[-1], k, 2 + _quantile(places[reached[:, :k] < probes[-1]], _RANKED)))
    return Effort(tuple(probes[1:]), tuple(widths[1:]))


def _places(index: Any, queries: Vectors, nearest: Rows, probes: int) -> Rows:
    """Where the index ranks each of the nearest rows, `(m, k)`; behind all where it was not found so deep.

    Then the width becomes that of all rows, and the cost rule leaves such data (one vector a thousand times
    longer than the others spoils the codes of all) to the scan.
    """
    most = min(_DEEPEST + 16 * nearest.shape[1], index.ntotal)
    how = _library().SearchParametersIVF(nprobe=probes)
    _, ranked = index.search(queries, most, params=how)
    places, place_of = np.empty(nearest.shape, np.int64), np.full(index.ntotal, index.ntotal)
    for row, found in enumerate(ranked):
        found = found[found >= 0]
        place_of[found] = np.arange(len(found))
        places[row] = place_of[nearest[row]]
        place_of[found] = index.ntotal
    return places


def _ranks(order: Rows, count: int) -> Rows:
    """For each query the rank of each list, `(m, lists)`, from the lists in their order."""
    ranks = np.full((len(order), count), count)
    np.put_along_axis(ranks, order, np.arange(count)[None, :], axis=1)
    return ranks


def _quantile(values: Rows, share: float) -> int:
    return int(np.quantile(values, share, method="higher")) if values.size else 0


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
        hint="`vecver optimize DATASET` builds it again; until then search with --exact",
    )


# -- searching ----------------------------------------------------------------------------------


def proposes(part: Part, k: int) -> bool:
    """Is the index the cheaper way to k candidates, or a scan of the live rows? By the constants above."""
    if part.index is None:
        return False
    view: View = part.index
    dim, probes, width = part.vectors.shape[1], view.probes(k), view.width(k)
    read = probes / view.index.list_count * view.index.count * _code_parts(dim) / 2
    cost = _PROBE + probes * _PROBE_LIST + read * _PROBE_CODE + width * _PROBE_ROW
    return cost <= _SCAN + part.live_count * dim * _SCAN_VALUE


def candidates(part: Part, queries: Vectors, k: int) -> list[Rows | None]:
    """For each query of `(m, dim)` float32 the live rows that may be among its best `k`, ascending.

    None where so few rows live near a query that a scan finds them sooner.
    """
    view: View = part.index
    with _one_thread():
        if part.live is not None:
            return _masked(view, queries, k)
        found = view.index.faiss.search(queries, view.width(k), params=view.way(view.probes(k)))[1]
        return [np.sort(rows[rows >= 0]) for rows in found]


def _masked(view: View, queries: Vectors, k: int) -> list[Rows | None]:
    """Each query reads the first lists of which enough rows live."""
    index = view.index
    most = min(2 * view.probes(k), index.list_count)
    near, order = index.faiss.quantizer.search(queries, most)
    lived, there = view.live_sizes[order].cumsum(axis=1), index.sizes[order].cumsum(axis=1)
    enough = lived * index.enough_for[:most] >= _class_of(k) * there
    reached = enough.any(axis=1)
    reads = np.where(reached, enough.argmax(axis=1) + 1, 0)
    widest = max(int(reads.max(initial=1)), 1)
    order = np.where(np.arange(widest) < reads[:, None], order[:, :widest], -1)
    found = _read_lists(view, queries, order, near[:, :widest], view.width(k))
    return [np.sort(rows[rows >= 0]) if fine else None for rows, fine in zip(found, reached, strict=True)]


def _read_lists(view: View, queries: Vectors, order: Rows, near: npt.NDArray[np.float32], width: int) -> Rows:
    """The best `width` live rows in the lists given for each query, `(m, lists)`; -1: no list, no more rows.

    FAISS's Python face takes no parameters here; its C++ face does.
    """
    faiss, shape = _library(), (len(queries), width)
    order, near = np.ascontiguousarray(order), np.ascontiguousarray(near)
    scores, found = np.empty(shape, np.float32), np.full(shape, -1, np.int64)
    pointers = [faiss.swig_ptr(array) for array in (order, near, scores, found)]
    how = view.way(order.shape[1])
    view.index.faiss.search_preassigned_c(len(queries), faiss.swig_ptr(queries), width, *pointers, False, how)
    return found


def products(query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """The inner products of a query with some rows, `(len(rows),)`, read where they lie."""
    faiss, found = _library(), np.empty(len(rows), np.float32)
    pointers = [faiss.swig_ptr(array) for array in (found, query, vectors, np.ascontiguousarray(rows, np.int64))]
    with _one_thread():
        faiss.fvec_inner_products_by_idx(*pointers, vectors.shape[1], 1, len(rows))
    return found


def _class_of(k: int) -> int:
    """Neighbouring k take one effort, so that the top k is a prefix of the top k + 1 among them."""
    return next((known for known in _CLASSES if k <= known), k)


def _kind(metric: Metric) -> int:
    """The metric, for FAISS."""
    faiss = _library()
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def _library() -> Any:
    """FAISS, untyped: its stubs do not know all that it has."""
    import faiss

    return faiss
