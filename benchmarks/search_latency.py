"""Where the scan ends and the index begins: latency and recall over rows, live share and index width.

    python benchmarks/search_latency.py [--rows 10000 50000] [--live 1 0.5 0.2 0.1] [--widths 64 128 256]

One warm query at a time, k = 10, medians; recall is ann_recall@10 of the index's candidates against the
true top 10. `asks` is who answers under the constants in force (`vecver/index/faiss.py`). `dead` is a
live share whose rows died by clusters, with half of the queries where they died. Then what a batch of 64
costs, and what an exact scan costs by the share at which rows are gathered. Data: clustered, 384-d, seed 0,
and real vectors where `../shared/data/ann` is there. A quiet machine matters more than repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecver.index import faiss, is_exact, normalised, search
from vecver.model import Metric, Part, Vectors

HERE = Path(__file__).parent
REAL = HERE.parent.parent / "shared/data/ann"
K = 10
exact = import_module("vecver.index.exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--live", type=float, nargs="+", default=[1, 0.5, 0.2, 0.1])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--out", type=Path, default=HERE / "out/search_latency.json")
    args = parser.parse_args()
    measured = []
    print(f"{'data':28} {'live':>8} {'width':>5} {'scan ms':>8} {'index ms':>8} {'recall':>6} {'None':>5} asks")
    for name, metric, rows, queries, cluster in data(args.rows, args.queries):
        with tempfile.TemporaryDirectory() as folder:
            part, seconds = built(rows, metric, Path(folder, "index"))
            print(f"{name}: built in {seconds:.0f} s")
            for live, one, asked in masks(part, queries, cluster, args.live):
                for line in measure(one, asked, metric, args.widths):
                    measured.append({"data": name, "build_s": seconds, "live": live, "rows": len(rows), **line})
                    print(
                        f"{name:28} {live:>8} {line['width']:5} {line['scan_ms']:8.2f} {line['index_ms']:8.2f} "
                        f"{line['recall']:6.3f} {line['refused']:5.2f} {line['asks']}"
                    )
            batches = {how: batch(part, queries, metric, exact=how == "exact") for how in ("exact", "index")}
            print(f"{name}: {', '.join(f'batch of 64 {how} {ms:.1f} ms' for how, ms in batches.items())}")
            gathers = gathered(part, queries, metric) if cluster is not None else {}
            for share, (dense, gather) in gathers.items():
                print(f"{name}: {share:.2f} live: scan all {dense:.2f} ms, gather {gather:.2f} ms")
            measured.append({"data": name, "batch_64_ms": batches, "gather_ms": gathers, "rows_sha256": digest(rows)})
    args.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg(), "seed": 0}
    args.out.write_text(json.dumps({"machine": machine, "faiss": faiss.version(), "measured": measured}, indent=1))


Data = tuple[str, Metric, Vectors, Vectors, npt.NDArray[np.int64] | None]


def data(sizes: list[int], count: int) -> Iterator[Data]:
    """(name, metric, rows, queries, cluster of each row and then of each query)."""
    for size in sizes:
        rng = np.random.default_rng(0)
        cluster = rng.integers(size // 200, size=size + count)
        centres = rng.standard_normal((size // 200, 384), np.float32)
        points = centres[cluster] + rng.standard_normal((size + count, 384), np.float32) * np.float32(0.7)
        vectors = normalised(points, "cosine")
        yield f"clustered {size:,} x 384", "cosine", vectors[:size], vectors[size:], cluster
    if REAL.is_dir():
        scifact, mnist = (np.load(REAL / file) for file in ("scifact_minilm_pca128.npz", "mnist784_10k.npz"))
        docs, queries = (normalised(scifact[part], "cosine") for part in ("docs", "queries"))
        yield "SciFact MiniLM 5,183 x 128", "cosine", docs, queries[:count], None
        base, queries = (mnist[part].astype(np.float32) for part in ("base", "queries"))
        yield "MNIST 9,000 x 784 (l2)", "l2", base, queries[:count], None


def built(rows: Vectors, metric: Metric, file: Path) -> tuple[Part, float]:
    start = time.perf_counter()
    faiss.build(rows, metric, file)
    seconds = time.perf_counter() - start
    keys = np.random.default_rng(0).integers(0, 256, (len(rows), 16), dtype=np.uint8)
    norm = float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1)).max())
    return Part(rows, None, len(rows), keys, norm, faiss.load(file)), seconds


def masks(
    part: Part, queries: Vectors, cluster: npt.NDArray[np.int64] | None, shares: list[float]
) -> Iterator[tuple[str, Part, Vectors]]:
    """(name, part under a mask, the queries to ask it)."""
    rng, count = np.random.default_rng(1), len(part.vectors)
    for share in shares:
        yield f"{share:g}", masked(part, rng.random(count) < share), queries
    if cluster is not None:
        cut = int(np.median(cluster))
        yield "dead 0.5", masked(part, cluster[:count] >= cut), queries


def masked(part: Part, live: npt.NDArray[np.bool_]) -> Part:
    return replace(part, live=np.packbits(live, bitorder="little"), live_count=int(live.sum()))


def measure(part: Part, queries: Vectors, metric: Metric, widths: list[int]) -> Iterator[dict[str, Any]]:
    true = [{hit.row for hit in hits} for hits in search([part], queries, K, metric, exact=True)]
    scan = median_ms(partial(_scan, part, metric), queries)
    asks = "scan" if is_exact([part], K, exact=False) else "index"
    chosen = faiss._FIRST_WIDTH
    for width in widths:
        faiss._FIRST_WIDTH = width
        index = median_ms(lambda query: faiss.candidates(part, query[None, :], K), queries)
        found = faiss.candidates(part, queries, K)
        recalls = [
            len(set(rows.tolist()) & best) / K for rows, best in zip(found, true, strict=True) if rows is not None
        ]
        yield {
            "width": width,
            "scan_ms": scan,
            "index_ms": index,
            "recall": statistics.mean(recalls) if recalls else 1.0,
            "refused": 1 - len(recalls) / len(found),
            "asks": asks,
        }
    faiss._FIRST_WIDTH = chosen


def batch(part: Part, queries: Vectors, metric: Metric, *, exact: bool) -> float:
    return median_ms(lambda batch: search([part], batch, K, metric, exact=exact), [queries[:64]] * 5)


def gathered(part: Part, queries: Vectors, metric: Metric) -> dict[float, tuple[float, float]]:
    """Live share -> ms of a scan that reads whole blocks, and of one that gathers the live rows."""
    found, chosen = {}, exact._GATHER_BELOW
    for share in (0.05, 0.15, 0.25, 0.35, 0.5):
        one = masked(part, np.random.default_rng(2).random(len(part.vectors)) < share)
        run = partial(_scan, one, metric)
        exact._GATHER_BELOW = 0.0
        dense = median_ms(run, queries[:20])
        exact._GATHER_BELOW = 2.0
        found[share] = (dense, median_ms(run, queries[:20]))
    exact._GATHER_BELOW = chosen
    return found


def _scan(part: Part, metric: Metric, query: Vectors) -> None:
    list(exact.candidates(part, query[None, :], K, metric))


def median_ms(run: Callable[[Any], Any], inputs: Any) -> float:
    run(inputs[0])
    times = []
    for value in inputs:
        start = time.perf_counter()
        run(value)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def digest(rows: Vectors) -> str:
    return sha256(np.ascontiguousarray(rows, "<f4")).hexdigest()


if __name__ == "__main__":
    main()
