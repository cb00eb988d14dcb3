"""Building an index over a segment's rows: train, add, calibrate, measure what to expect, write, read back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from vecver.errors import BackendError
from vecver.index.faiss import calibration
from vecver.index.faiss.calibration import MOST_ROWS, calibrate
from vecver.index.faiss.costs import code_parts
from vecver.index.faiss.expectation import with_expectation
from vecver.index.faiss.library import library, metric_number, one_thread, threads_for, version
from vecver.index.faiss.opened import IMPLEMENTATION, Index, is_calibrated, lists_of
from vecver.index.live import live_rows
from vecver.model import Json, Metric, Part, Vectors
from vecver.progress import Progress

__all__ = ["build", "build_flat", "grows", "raised", "recalibrated"]

_ITERATIONS, _POINTS = 10, 128  # of k-means; rows for each centroid
_ADDED = 65536  # rows added at once


def build(
    vectors: Vectors, metric: Metric, file: Path, *, grown: Index | None = None, progress: Progress | None = None
) -> Json:
    """Write an index over all of `vectors`, `(n, dim)` float32, to `file`; returns the facts that `load` needs.

    `grown`: an index over the first of these rows, whose centroids and codes are kept.
    Raises BackendError (the file could not be written whole).
    """
    with threads_for(len(vectors)):
        index = library().clone_index(grown.faiss) if grown else _trained(vectors, metric)
        _add(index, vectors, progress)
        index.implem = IMPLEMENTATION
        effort = calibrate(index, lists_of(index), vectors, metric, rows=MOST_ROWS)
        expectation = with_expectation(Index(index, effort, 0), vectors, metric)
    index.nprobe = min(math.ceil(effort.probes[0]), index.nlist)  # for those who read the file with FAISS alone
    _save(index, file)
    return {"faiss": version(), "lists": index.nlist, **effort.to_json(), **expectation}


def build_flat(vectors: Vectors, metric: Metric, file: Path) -> Json:
    """As `build`, for fewer rows than `build` can train on: an index that scans them."""
    index = library().index_factory(vectors.shape[1], "Flat", metric_number(metric))
    index.add(np.ascontiguousarray(vectors))
    _save(index, file)
    return {"faiss": version()}


def grows(index: Index, rows: int) -> bool:
    """True if this index may grow to so many rows, False if an index of that size should be trained anew."""
    return index.count < rows <= 2 * index.count and _list_count(rows) <= 2 * index.list_count


def recalibrated(index: Index, facts: Json, vectors: Vectors, metric: Metric) -> Json:
    """The facts that `build` measures and an existing index lacks: its effort, what it is expected to find.

    `facts`: those that it has. An effort for each query is kept, since it may have been raised.
    """
    with threads_for(len(vectors)):
        if is_calibrated(facts):
            return with_expectation(index, vectors, metric)
        effort = calibrate(index.faiss, index.lists, vectors, metric, rows=MOST_ROWS)
        return {**effort.to_json(), **with_expectation(Index(index.faiss, effort, 0), vectors, metric)}


def raised(index: Index, part: Part, metric: Metric, queries: Vectors) -> Json | None:
    """The facts of an index that looks as far as these queries need among the part's live rows; None if it does.

    `queries`: `(m, dim)` float32, normalised as the metric needs.
    """
    with one_thread():
        effort = calibration.raised(
            index.effort, index.faiss, index.lists, part.vectors, metric, queries, live_rows(part)
        )
    return None if effort == index.effort else effort.to_json()


def _trained(vectors: Vectors, metric: Metric) -> Any:
    """An empty index whose centroids and codes suit `vectors`."""
    dim, lists = vectors.shape[1], _list_count(len(vectors))
    index = library().index_factory(dim, f"IVF{lists},PQ{code_parts(dim)}x4fs", metric_number(metric))
    index.cp.niter, index.cp.max_points_per_centroid = _ITERATIONS, _POINTS
    index.pq.cp.niter = _ITERATIONS
    points = min(len(vectors), max(_POINTS * lists, 16384))
    index.train(np.ascontiguousarray(vectors[np.linspace(0, len(vectors) - 1, points).astype(np.int64)]))
    return index


def _list_count(rows: int) -> int:
    """The power of two near 0.8 sqrt(rows): 64 lists for 8,192 rows, 256 for 100,000, 1024 for 1,000,000."""
    return 1 << round(np.log2(0.8 * np.sqrt(rows)))


def _add(index: Any, vectors: Vectors, progress: Progress | None) -> None:
    """Add the rows that the index does not hold yet."""
    for start in range(index.ntotal, len(vectors), _ADDED):
        block = np.ascontiguousarray(vectors[start : start + _ADDED])
        index.add(block)
        if progress:
            progress("index rows", len(block))


def _save(index: Any, file: Path) -> None:
    """Write an index and read it back: FAISS 1.15 only prints that a disk was full when it closes the file.

    Raises BackendError (the file could not be written whole).
    """
    try:
        library().write_index(index, str(file))
        library().read_index(str(file))
    except RuntimeError as error:
        raise BackendError(
            f"FAISS could not write {file}",
            code="index_not_written",
            hint="free space and try again; nothing was changed",
            retryable=True,
        ) from error
