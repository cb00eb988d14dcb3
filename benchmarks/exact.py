"""Exact search of one query, beside `faiss.knn` and FAISS IndexFlatIP of just the live rows, packed.

    python benchmarks/exact.py [--rows 1000000 100000] [--live 1.0 0.67] [--k 10] [--queries 30]

Every query goes to every engine in turn, several times, on one thread (FAISS gives one query one thread too). A line
shows the median over the queries of each query's least CPU and wall time, and the ratio of its CPU to `faiss.knn`.

    codes     `index.search`: 8-bit codes, then the rule; what a process does from its third exact search on
    floats    `index.search` without codes: what its first search does

Recall is 1 by proof: the ids and score bits of both are compared, and the ids with FAISS's, whose float32 may order
near ties otherwise. Data: clustered unit vectors (see vectors.py); queries lie near rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from vectors import about, clustered

from vecver.index import SegmentCodes, normalised, search
from vecver.index.live import live_rows
from vecver.model import Part, Vectors

HERE = Path(__file__).resolve().parent
TURNS = 3

Ask = Callable[[Vectors], list[tuple[int, float]]]  # a query (dim,) -> rows and scores, best first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 100_000])
    parser.add_argument("--live", type=float, nargs="+", default=[1.0, 0.67], help="shares of the rows that live")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--out", type=Path, default=HERE / "out/exact.json")
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    measured = []
    for count in args.rows:
        rows = np.ascontiguousarray(clustered(count))
        for share in args.live:
            part = part_of(rows, share)
            print(f"{count:,} rows, {part.live_count:,} live, k = {args.k}", flush=True)
            for line in measure(part, queries_near(rows, args.queries), args.k):
                measured.append({"rows": count, "live": part.live_count, "k": args.k, **line})
                print("  " + "  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about(), "measured": measured}, indent=1), "utf-8")


def part_of(rows: Vectors, share: float) -> Part:
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 256, (len(rows), 16), dtype=np.uint8)
    if share >= 1:
        return Part(rows, None, len(rows), keys, 1.001)
    live = rng.random(len(rows)) < share
    return Part(rows, np.packbits(live, bitorder="little"), int(live.sum()), keys, 1.001)


def queries_near(rows: Vectors, count: int) -> Vectors:
    """Some rows with noise that leaves them a cosine of 0.86, `(count, dim)`."""
    rng = np.random.default_rng(2)
    near = rows[rng.choice(len(rows), count, replace=False)]
    noise = rng.standard_normal(near.shape).astype(np.float32) / np.float32(np.sqrt(near.shape[1]))
    return normalised(near + np.float32(0.6) * noise, "cosine")


def measure(part: Part, queries: Vectors, k: int) -> list[dict[str, Any]]:
    live = live_rows(part)
    packed = part.vectors if part.live is None else np.ascontiguousarray(part.vectors[live])
    flat = faiss.IndexFlatIP(packed.shape[1])
    flat.add(packed)
    coded = replace(part, codes=SegmentCodes(lambda nbytes: True))
    askers = {
        "faiss.knn": lambda query: in_part(live, *faiss.knn(query[None], packed, k, metric=faiss.METRIC_INNER_PRODUCT)),
        "IndexFlatIP": lambda query: in_part(live, *flat.search(query[None], k)),
        "codes": exact_search(coded, k),
        "floats": exact_search(part, k),
    }
    making = seconds_to_make_codes(askers["codes"], queries[0])
    times, answers = in_turns(askers, queries)
    assert answers["codes"] == answers["floats"], "the same rows and score bits"
    reference = [[row for row, _ in answer] for answer in answers["faiss.knn"]]
    lines = []
    for name, of_queries in times.items():
        cpu, wall = (statistics.median(column) for column in zip(*of_queries, strict=True))
        knn = statistics.median(first for first, _ in times["faiss.knn"])
        same = sum([row for row, _ in answer] == ids for answer, ids in zip(answers[name], reference, strict=True))
        line = {"engine": name, "cpu_ms": round(cpu, 2), "wall_ms": round(wall, 2), "ratio": round(cpu / knn, 2)}
        lines.append({**line, "ids_as_knn": f"{same} of {len(queries)}"})
    lines[2]["codes_made_in_cpu_s"] = making
    return lines


def exact_search(part: Part, k: int) -> Ask:
    return lambda query: [(hit.row, hit.score) for hit in search([part], query[None], k, "cosine", exact=True)[0]]


def in_part(live: Any, scores: Any, packed_rows: Any) -> list[tuple[int, float]]:
    return list(zip(live[packed_rows[0]].tolist(), scores[0].tolist(), strict=True))


def seconds_to_make_codes(ask: Ask, query: Vectors) -> float:
    """CPU of the second search, which makes them."""
    ask(query)
    began = time.process_time()
    ask(query)
    return round(time.process_time() - began, 2)


def in_turns(
    askers: dict[str, Ask], queries: Vectors
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[list[tuple[int, float]]]]]:
    """The least (CPU, wall) milliseconds of each query, and its answer, by engine."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in askers}
    answers: dict[str, list[list[tuple[int, float]]]] = {name: [] for name in askers}
    for query in queries:
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in askers}
        for _ in range(TURNS):
            for name, ask in askers.items():
                cpu, wall = time.process_time(), time.perf_counter()
                ask(query)
                turns[name].append(((time.process_time() - cpu) * 1e3, (time.perf_counter() - wall) * 1e3))
        for name, ask in askers.items():
            cpus, walls = zip(*turns[name], strict=True)
            times[name].append((min(cpus), min(walls)))
            answers[name].append(ask(query))
    return times, answers


if __name__ == "__main__":
    main()
