"""The FAISS package: imports it when it is first needed, keeps it on one thread, and calls its array functions.

Decisions
1. A search, also of a batch, runs on one thread. FAISS's threads spin while they wait for each other: on two cores
   that others used too (10,000 x 384), one query took 4 ms of CPU on two threads and 1.2 on one, 64 queries 100 ms
   and 60. Callers who have spare cores search from several threads.
2. Few rows are also trained on one thread. With other processes on the cores, 8,192 x 384 took 21 s on two threads
   and 0.5 s on one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecver.index.scoring import Rows
    from vecver.model import Metric, Vectors

_ONE_THREAD_BELOW = 65536  # rows


@cache
def library() -> Any:
    """FAISS, untyped: its stubs lack much of it."""
    import faiss

    return faiss


def version() -> str:
    """The version of FAISS that builds and reads; recorded beside an index."""
    return str(library().__version__)


def metric_number(metric: Metric) -> int:
    """FAISS's number for a metric."""
    return int(library().METRIC_L2 if metric == "l2" else library().METRIC_INNER_PRODUCT)


def threads_for(rows: int) -> contextlib.AbstractContextManager[None]:
    """One FAISS thread inside where rows are few, else as many as FAISS likes."""
    return one_thread() if rows < _ONE_THREAD_BELOW else contextlib.nullcontext()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """FAISS uses only the calling thread inside."""
    faiss = library()
    before = faiss.omp_get_max_threads()
    if before == 1:
        yield
        return
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def products(query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """The inner products of a query `(dim,)` with some rows of `vectors`, `(len(rows),)`, without copying them."""
    with one_thread():
        return by_row("fvec_inner_products_by_idx", query, vectors, rows)


def by_row(function: str, query: Vectors, vectors: Vectors, rows: Rows) -> npt.NDArray[np.float32]:
    """What one of FAISS's `..._by_idx` functions computes of a query and some rows of `vectors`, `(len(rows),)`."""
    faiss, values = library(), np.empty(len(rows), np.float32)
    pointers = [faiss.swig_ptr(array) for array in (values, query, vectors, np.ascontiguousarray(rows, np.int64))]
    getattr(faiss, function)(*pointers, vectors.shape[1], 1, len(rows))
    return values
