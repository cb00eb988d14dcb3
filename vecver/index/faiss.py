"""FAISS: one index over all rows of a segment, which proposes candidates for any version of them.

HNSW over 8-bit codes. An index is built once per segment, memory-mapped where it is a file, and
never decides: the rows it proposes are scored again by the one rule.

Decisions
- 2026-11-21 HNSW,SQ8 rather than float32 HNSW: twice as fast at equal recall (DESIGN §5), a quarter
  of the bytes, and the exact re-score repairs what the codes round.
- 2026-11-21 below INDEX_ROWS a segment is scanned: at 384 dimensions a scan of 20,000 rows takes 2 to
  5 ms (the index 0.2), is exact, and costs a commit nothing, where an index is built in 6 s (two cores,
  busy; benchmarks/search_latency.py).
- 2026-11-21 _FIRST_WIDTH 128: ann_recall@10 0.996 or more on clustered 384-d data, SciFact and MNIST at
  every live share from 1 to 0.1; 64 gave 0.95 on uniform data, 256 costs twice as much for 0.002.
- 2026-11-21 the mask is laid on what the index found, not given to it (IDSelector). A masked HNSW
  search fills its answer with far rows when the query's neighbourhood is dead: with 1/8 of the
  clusters deleted, recall@10 of queries there was 0.23, and nothing told. Here the same loss shows as
  too few live rows among the nearest, and that query is scanned (recall then >= 0.98; 20,000 x 64).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vecver.errors import IntegrityError
from vecver.index.scores import Rows
from vecver.model import Metric, Part, Vectors

SPEC = "hnsw32-sq8"
INDEX_ROWS = 20_000
_LINKS = 32
_BUILD_WIDTH = 80
_FIRST_WIDTH = 128  # live rows that are looked for where k is small
_SCANNED = 16  # live rows that a scan reads in the time that the index needs for one row of its width


def wanted(rows: int) -> bool:
    """Should a segment with so many rows have an index?"""
    return rows >= INDEX_ROWS


def build(vectors: Vectors, metric: Metric, file: Path) -> None:
    """Write an index over all of `vectors`, `(n, dim)` float32, to `file`."""
    faiss = _library()
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, _LINKS, kind)
    index.hnsw.efConstruction = _BUILD_WIDTH
    index.train(vectors)
    for start in range(0, len(vectors), 65536):
        index.add(np.ascontiguousarray(vectors[start : start + 65536]))
    faiss.write_index(index, str(file))


def load(source: Path | memoryview) -> Any:
    """Open an index whose digest was checked: mapped from a file, or read from bytes.

    Raises IntegrityError if FAISS cannot read it.
    """
    faiss = _library()
    try:
        if isinstance(source, Path):
            return faiss.read_index(str(source), faiss.IO_FLAG_MMAP_IFC)
        return faiss.deserialize_index(np.frombuffer(source, np.uint8))
    except RuntimeError as error:
        raise IntegrityError(
            "FAISS cannot read this segment's index",
            code="index_damaged",
            hint="delete the segment's index; the next ingest builds it again, searches scan until then",
        ) from error


def version() -> str:
    """The FAISS that builds and reads; recorded beside an index."""
    return str(_library().__version__)


def proposes(part: Part, k: int) -> bool:
    """Is the index the cheaper way to k candidates, or a scan of the live rows?

    As fewer rows live, there are fewer to scan and more to pass by: 2,048 rows that all live are worth
    an index, 8,192 of which half live, 200,000 of which a tenth lives.
    """
    return part.index is not None and _SCANNED * width(part, k) <= part.live_count


def width(part: Part, k: int) -> int:
    """How many of the nearest rows to ask for, live or not: so many that `_looked_for(k)` should live."""
    return int(_looked_for(k) * len(part.vectors) / max(part.live_count, 1))


def candidates(part: Part, queries: Vectors, k: int) -> list[Rows | None]:
    """For each query of `(m, dim)` float32 the live rows among the nearest, ascending.

    None where fewer than half as many live as their share promises: rows near that query have died
    together, and what the index finds behind them is not to be believed.
    """
    count = width(part, k)
    _, nearest = part.index.search(queries, count, params=_library().SearchParametersHNSW(efSearch=count))
    proposed = [_live(part, rows[rows >= 0]) for rows in nearest]
    return [np.sort(rows) if 2 * len(rows) >= _looked_for(k) else None for rows in proposed]


def _looked_for(k: int) -> int:
    """How many live rows to look for: the same for neighbouring k, and 4 k at least."""
    return max(_FIRST_WIDTH, 1 << (4 * k - 1).bit_length())


def _live(part: Part, rows: Rows) -> Rows:
    if part.live is None:
        return rows
    return rows[(part.live[rows >> 3] >> (rows & 7) & 1).astype(bool)]


def _library() -> Any:
    """FAISS, untyped: its stubs do not know all that it has."""
    import faiss

    return faiss
