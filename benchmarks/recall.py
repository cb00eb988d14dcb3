"""Recall of an index by kind of question, beside FAISS HNSW32 of the same rows.

    python benchmarks/recall.py [--k 10] [--live 1.0] [--each 150]

36,000 English passages under MiniLM and real questions of eight kinds (../shared/data/ann); nothing is measured where
they are not there. A line a kind: ann_recall@k, the worst question, the share below 0.8, CPU time of one warm query on
one thread (the least of three asks, then median and 95th percentile). HNSW32 (float32, of just the live rows) takes
the smallest efSearch that finds as much of all questions; so does one effort for all queries over the same lists
and codes, re-scored alike, which is how far vecver looked until 2026-11-26.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from vectors import about

from vecver.index import faiss, normalised, search
from vecver.index.live import live_rows
from vecver.model import Part, Vectors

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/ann"
EF = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
FIXED = ((8, 63), (22, 61), (32, 128), (48, 256), (64, 256), (96, 512), (128, 512), (128, 1024))  # lists, candidates
exact, library = import_module("vecver.index.exact"), import_module("faiss")

Rows = npt.NDArray[np.int64]
Ask = Callable[[Vectors], Rows]  # a query (dim,) -> the rows that answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--live", type=float, default=1.0, help="share of the rows that live")
    parser.add_argument("--each", type=int, default=150, help="questions of a kind")
    parser.add_argument("--out", type=Path, default=HERE / "out/recall.json")
    args = parser.parse_args()
    if not (DATA / "questions_minilm.npz").exists():
        print(f"skipped: {DATA} is not there")
        return
    library.omp_set_num_threads(1)
    part, seconds = indexed(normalised(np.load(DATA / "passages36k_minilm_f16.npz")["vectors"], "cosine"), args.live)
    asked = dict(questions(args.each))
    every = np.concatenate(list(asked.values()))
    print(f"{len(part.vectors):,} rows, {part.live_count:,} live, built in {seconds:.1f} s of CPU, k = {args.k}")
    true = {kind: found(vecver(part, args.k, exact=True), queries) for kind, queries in asked.items()}
    everything = np.concatenate(list(true.values()))
    ours = vecver(part, args.k)
    goal = float(shares(everything, found(ours, every)).mean())
    ways = [("vecver", ours), hnsw(part, args.k, every, everything, goal), fixed(part, args.k, every, everything, goal)]
    ways.append(("exact scan", vecver(part, args.k, exact=True)))
    measured = []
    for name, ask in ways:
        for kind, queries in [*asked.items(), ("all", every)]:
            known = everything if kind == "all" else true[kind]
            line = {"way": name, "kind": kind, **measure(ask, queries, known)}
            measured.append(line)
            print("  ".join(f"{value:>32}" if key == "way" else f"{key} {value}" for key, value in line.items()))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about(), "measured": measured}, indent=1), "utf-8")


def questions(each: int) -> Iterator[tuple[str, Vectors]]:
    """Real questions, by kind, `(n, dim)` each."""
    with np.load(DATA / "questions_minilm.npz") as kinds:
        yield from ((kind, normalised(kinds[kind][:each], "cosine")) for kind in kinds.files)


def indexed(rows: Vectors, share: float) -> tuple[Part, float]:
    """The rows with an index, some of them dead, and the seconds that it took to build."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (len(rows), 16), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        facts = faiss.build(rows, "cosine", Path(folder, "index"))
        seconds = time.process_time() - began
        index = faiss.load(memoryview(Path(folder, "index").read_bytes()), facts)
    if share >= 1:
        return Part(rows, None, len(rows), keys, 1.001, faiss.View(index, None, len(rows))), seconds
    live = rng.random(len(rows)) < share
    bits, count = np.packbits(live, bitorder="little"), int(live.sum())
    return Part(rows, bits, count, keys, 1.001, faiss.View(index, bits, count)), seconds


def vecver(part: Part, k: int, exact: bool = False) -> Ask:
    return lambda query: np.array([hit.row for hit in search([part], query[None, :], k, "cosine", exact=exact)[0]])


def hnsw(part: Part, k: int, queries: Vectors, true: Rows, goal: float) -> tuple[str, Ask]:
    """FAISS HNSW32 of the live rows, at the smallest effort that reaches the goal."""
    rows = live_rows(part)
    index = library.IndexHNSWFlat(part.vectors.shape[1], 32, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(np.ascontiguousarray(part.vectors[rows]))

    def way(ef: int) -> Ask:
        how = library.SearchParametersHNSW(efSearch=max(ef, k))
        return lambda query: rows[index.search(query[None, :], k, params=how)[1][0]]

    return _least([(f"FAISS HNSW32 ef {ef}", way(ef)) for ef in EF], queries, true, goal)


def fixed(part: Part, k: int, queries: Vectors, true: Rows, goal: float) -> tuple[str, Ask]:
    """One effort for all queries: so many lists, so many candidates, re-scored and ranked as in `search`."""
    scores = import_module("vecver.index.scoring")
    index, selector = part.index.index, None if part.live is None else library.IDSelectorBitmap(part.live)

    def way(lists: int, width: int) -> Ask:
        how = library.SearchParametersIVF(nprobe=lists, sel=selector)

        def ask(query: Vectors) -> Rows:
            rows = index.faiss.search(query[None, :], width, params=how)[1][0]
            rows = exact.narrowed(part, query, np.sort(rows[rows >= 0]), k, "cosine")
            return rows[scores.ranked(scores.scores(query, part.vectors, "cosine", rows), part.keys[rows], k)]

        return ask

    ways = [(f"{lists} lists, {width} candidates", way(lists, width)) for lists, width in FIXED]
    return _least(ways, queries, true, goal)


def _least(ways: list[tuple[str, Ask]], queries: Vectors, true: Rows, goal: float) -> tuple[str, Ask]:
    """The first that reaches the goal over all questions, else the last."""
    for name, ask in ways:
        if shares(true, found(ask, queries)).mean() >= goal:
            return name, ask
    return ways[-1]


def found(ask: Ask, queries: Vectors) -> Rows:
    return np.stack([ask(query) for query in queries])


def shares(true: Rows, got: Rows) -> npt.NDArray[np.float64]:
    """The share of its true rows that each question finds."""
    return np.array([np.isin(rows, answer).mean() for rows, answer in zip(true, got, strict=True)])


def measure(ask: Ask, queries: Vectors, true: Rows) -> dict[str, Any]:
    share = shares(true, found(ask, queries))
    times = [min(_cpu_us(ask, query) for _ in range(3)) for query in queries[:60]]
    return {
        "recall": round(float(share.mean()), 3),
        "worst": round(float(share.min()), 2),
        "below_0.8": f"{(share < 0.8).mean():.1%}",
        "cpu_us": round(statistics.median(times)),
        "p95_us": round(float(np.quantile(times, 0.95))),
    }


def _cpu_us(ask: Ask, query: Vectors) -> float:
    began = time.thread_time_ns()
    ask(query)
    return (time.thread_time_ns() - began) / 1e3


if __name__ == "__main__":
    main()
