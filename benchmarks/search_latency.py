"""Where the scan ends and the index begins: latency and recall under masks of many kinds, beside the cost rule.

    python benchmarks/search_latency.py [--rows 8192 100000] [--k 10 100]

One warm query at a time on one thread, medians. `index` and `scan` are what each takes to propose candidates,
`search` is the whole answer with its exact scores; recall is ann_recall@k of the index. `rule` says who
answers under the constants in `vecver/index/faiss/costs.py`. Rows die scattered, by whole lists of the index, and by
nearness to one row. Data: real passages where the cache has them (see vectors.py), else clustered.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import faiss as library
import numpy as np
import numpy.typing as npt
from vectors import CACHE, about, clustered, passages

from vecver.index import faiss, search
from vecver.model import Part, Vectors

HERE = Path(__file__).parent
QUERIES = 300
exact = import_module("vecver.index.exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[8192, 100_000])
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--out", type=Path, default=HERE / "out/search_latency.json")
    args = parser.parse_args()
    library.omp_set_num_threads(1)
    table = passages() if (CACHE / "passages.npy").exists() else clustered(max(args.rows) + QUERIES)
    picked = np.random.default_rng(1).permutation(len(table))
    queries = np.ascontiguousarray(table[picked[-QUERIES:]])
    measured = []
    for count in args.rows:
        part, seconds = indexed(np.ascontiguousarray(table[np.sort(picked[:count])]))
        index: faiss.Index = part.index.index
        print(f"{count:,} rows: built in {seconds:.1f} s, {index.list_count} lists, effort {index.effort}")
        for name, live in masks(part, index.lists):
            for k in args.k:
                line = {"rows": count, "mask": name, "k": k, **measure(masked(part, live), queries, k)}
                measured.append(line)
                print("  ".join(f"{key} {value}" for key, value in line.items() if key != "rows"), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about(), "measured": measured}, indent=1), "utf-8")


def indexed(rows: Vectors) -> tuple[Part, float]:
    """A part with an index, and the seconds it took to build."""
    keys = np.random.default_rng(0).integers(0, 256, (len(rows), 16), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        facts = faiss.build(rows, "cosine", Path(folder, "index"))
        seconds = time.perf_counter() - began
        index = faiss.load(memoryview(Path(folder, "index").read_bytes()), facts)
    part = Part(rows, None, len(rows), keys, 1.001)
    return replace(part, index=faiss.View(index, None, len(rows))), seconds


def masks(part: Part, lists: npt.NDArray[np.uint16]) -> Iterator[tuple[str, npt.NDArray[np.bool_] | None]]:
    rng, count = np.random.default_rng(2), len(part.vectors)
    yield "all", None
    for share in (0.5, 0.2, 0.05):
        yield f"{share:g} scattered", rng.random(count) < share
    dead = rng.permutation(int(lists.max()) + 1)
    yield "0.5 of the lists", ~np.isin(lists, dead[: len(dead) // 2])
    near = part.vectors @ part.vectors[count // 2]
    yield "0.5 farthest from a row", near < np.median(near)


def masked(part: Part, live: npt.NDArray[np.bool_] | None) -> Part:
    if live is None:
        return part
    bits, count = np.packbits(live, bitorder="little"), int(live.sum())
    return replace(part, live=bits, live_count=count, index=faiss.View(part.index.index, bits, count))


def measure(part: Part, queries: Vectors, k: int) -> dict[str, Any]:
    true = [{hit.row for hit in hits} for hits in search([part], queries, k, "cosine", exact=True)]
    found = faiss.candidates(part, queries, k)
    kept = [i for i, rows in enumerate(found) if rows is not None]
    shares = [len(set(found[i].tolist()) & true[i]) / len(true[i]) for i in kept]  # type: ignore[union-attr]
    return {
        "recall": round(float(np.mean(shares)), 4),
        "left to the scan": len(found) - len(kept),
        "index_us": median_us(lambda query: faiss.candidates(part, query, k), queries),
        "scan_us": median_us(lambda query: list(exact.candidates(part, query, k, "cosine")), queries[:60]),
        "search_us": median_us(lambda query: search([part], query, k, "cosine", exact=False), queries),
        "rule": "index" if faiss.proposes(part, k) else "scan",
    }


def median_us(run: Callable[[Vectors], Any], queries: Vectors) -> int:
    times = []
    for query in queries:
        began = time.perf_counter()
        run(query[None, :])
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1e6)


if __name__ == "__main__":
    main()
