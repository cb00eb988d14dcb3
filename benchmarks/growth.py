"""How the cost of each verb grows with the rows: every size in turn, every verb in a process of its own.

    python benchmarks/growth.py [--sizes 100000 300000 1000000 3000000] [--dim 64] [--steps ...] [--fresh]

Vectors are mixtures of real ones, questions are real (see `vectors.py`), below 384 dimensions their first principal
components. Rows come from Parquet, which another process has written, with ids, 200 characters of text and vectors.

    ingest      all rows in one commit, index included
    search      one of 96 questions, k = 10, documents read: the least of 5 turns, median over the questions
    commit      1,000 changed rows from an Arrow table: median of 17; CPU with the upkeep that follows, wall without
    oldest      as search, at the version before these commits
    optimize    after these commits
    gc          mark what `optimize` left, then delete it
    check       every object and every root

CPU is that of all threads. Peak is the most resident memory (VmHWM, mapped files included), anon the most without
mapped files, sampled. The exponent of a step is log(cost ratio) / log(size ratio) from the size before, by CPU:
1 is linear. Repositories stay under --out; --steps runs some steps on them again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tables import head, row
from vectors import HERE, K, about, cpu_and_wall, mixtures, questions, size_of

import vecver

CHANGED, COMMITS, TURNS = 1000, 17, 5
SUPERLINEAR = 1.1  # an exponent above it is named


def main() -> None:
    args = parse()
    if args.worker:
        print(json.dumps(STEPS[args.steps[0]](args.out / f"{args.sizes[0]}x{args.dim}", args.sizes[0], args.dim)))
        return
    measured: dict[str, dict[int, dict[str, float]]] = {step: {} for step in args.steps}
    for rows in args.sizes:
        if args.fresh:
            shutil.rmtree(args.out / f"{rows}x{args.dim}", ignore_errors=True)
        for step in args.steps:
            measured[step][rows] = worker(args, step, rows)
            print(f"{rows:>10,} {step:9} {measured[step][rows]}", flush=True)
    show(measured)
    kept = {**about(), "arguments": sys.argv[1:], "measured": measured}
    (args.out / f"growth-{int(time.time())}.json").write_text(json.dumps(kept, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000, 3_000_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--out", type=Path, default=HERE / "out/growth")
    parser.add_argument("--fresh", action="store_true", help="forget the repositories that are there")
    parser.add_argument("--worker", action="store_true", help="internal: run one step of one size in this process")
    return parser.parse_args()


def worker(args: argparse.Namespace, step: str, rows: int) -> dict[str, float]:
    """What a step measured, in a process of its own."""
    options = ["--dim", str(args.dim), "--out", str(args.out), "--worker"]
    command = [sys.executable, __file__, "--steps", step, "--sizes", str(rows), *options]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def show(measured: dict[str, dict[int, dict[str, float]]]) -> None:
    """A table of every step, and what grew faster than the rows."""
    print(f"\n{head(['step', 'rows', 'CPU s', 'wall s', 'peak MB', 'anon MB', 'exponent'])}")
    for step, sizes in measured.items():
        before = None
        for rows, cost in sizes.items():
            power = "" if before is None else f"{exponent(before, (rows, cost)):.2f}"
            numbers = (f"{cost['cpu']:.4g}", f"{cost['wall']:.4g}", f"{cost['peak']:,.0f}", f"{cost['anon']:,.0f}")
            print(row([step, f"{rows:,}", *numbers, power]))
            if power and float(power) > SUPERLINEAR:
                print(f"superlinear: {step} from {before[0]:,} to {rows:,} rows" if before else "")
            before = rows, cost


def exponent(before: tuple[int, dict[str, float]], after: tuple[int, dict[str, float]]) -> float:
    return math.log(after[1]["cpu"] / before[1]["cpu"]) / math.log(after[0] / before[0])


# -- steps: each runs in a process of its own and returns its costs -----------------------------------------


def prepare(folder: Path, rows: int, dim: int) -> dict[str, float]:
    """Writes the Parquet file that `ingest` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors, file = mixtures(rows, dim), folder / "rows.parquet"
    with costs() as cost:
        if not file.exists():
            part = file.with_suffix(".part")
            with pq.ParquetWriter(part, table(np.arange(1), vectors, 0).schema) as writer:
                for start in range(0, rows, 50_000):
                    writer.write_table(table(np.arange(start, min(start + 50_000, rows)), vectors, 0))
            part.rename(file)
    return cost


def ingest(folder: Path, rows: int, dim: int) -> dict[str, float]:
    shutil.rmtree(folder / "kb", ignore_errors=True)
    docs = vecver.open(folder / "kb", create=True).dataset("d")
    with costs() as cost:
        docs.ingest(str(folder / "rows.parquet"), space="given", label="rows")
        docs.repository.settle()
    return {**cost, "cpu_us_a_row": cost["cpu"] / rows * 1e6, "bytes": size_of(folder / "kb")}


def search(folder: Path, rows: int, dim: int, at: str = "main") -> dict[str, float]:
    docs, queries = opened(folder), questions(12, dim)[1]
    least = np.full((2, len(queries)), np.inf)
    with costs() as cost:
        for _ in range(TURNS + 1):
            for number, query in enumerate(queries):
                wall, cpu = time.perf_counter(), time.thread_time()
                [hit.document for hit in docs.search(query, at=at, k=K)]
                spent = time.thread_time() - cpu, time.perf_counter() - wall
                least[:, number] = np.minimum(least[:, number], spent)
    cpu, wall = np.median(least, axis=1)
    return {**cost, "cpu": float(cpu), "wall": float(wall)}


def commit(folder: Path, rows: int, dim: int) -> dict[str, float]:
    docs, vectors, rng = opened(folder), mixtures(rows, dim), np.random.default_rng()
    each: list[tuple[float, float]] = []
    with costs() as cost:
        for turn in range(COMMITS):
            batch = table(np.sort(rng.choice(rows, CHANGED, replace=False)), vectors, turn + 1)
            each.append(cpu_and_wall(lambda: docs.ingest(batch, label="rows", keep_missing=True)))  # noqa: B023
            each[-1] = (each[-1][0] + cpu_and_wall(docs.repository.settle)[0], each[-1][1])
    cpu, wall = (statistics.median(values) for values in zip(*each, strict=True))
    return {**cost, "cpu": cpu, "wall": wall, "mean_cpu": statistics.mean(cpu for cpu, _ in each)}


def oldest(folder: Path, rows: int, dim: int) -> dict[str, float]:
    return search(folder, rows, dim, [*opened(folder).log()][-1].id)


def optimize(folder: Path, rows: int, dim: int) -> dict[str, float]:
    docs = opened(folder)
    with costs() as cost:
        docs.optimize()
    return cost


def gc(folder: Path, rows: int, dim: int) -> dict[str, float]:
    repository = vecver.open(folder / "kb")
    with costs() as cost:
        for _ in range(2):
            repository.gc(grace=timedelta(0), apply=True)
    return {**cost, "bytes": size_of(folder / "kb")}


def check(folder: Path, rows: int, dim: int) -> dict[str, float]:
    repository = vecver.open(folder / "kb")
    with costs() as cost:
        assert repository.check().clean
    return cost


def table(slots: Any, vectors: Any, version: int) -> pa.Table:
    """Rows as they are written in a version; a later version gives each slot another slot's vector."""
    values = vectors[np.sort((slots + 7919 * version) % len(vectors))]
    texts = [f"Row {slot} as of version {version}, with some words for its text. " * 4 for slot in slots]
    return pa.table(
        {
            "id": pa.array([f"{slot:08d}" for slot in slots]),
            "text": pa.array(texts),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), vectors.shape[1]),
        }
    )


def opened(folder: Path) -> vecver.Dataset:
    return vecver.open(folder / "kb").dataset("d")


# -- measuring ------------------------------------------------------------------------------------------------


@contextmanager
def costs() -> Iterator[dict[str, float]]:
    """CPU and wall seconds of the block, and the process's peak memory in MB."""
    cost: dict[str, float] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    with sampled() as anon:
        yield cost
    cost.update(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall, peak=status("VmHWM"), anon=max(anon))


@contextmanager
def sampled() -> Iterator[list[float]]:
    """Samples of the memory without mapped files, MB."""
    ended, samples = threading.Event(), [status("RssAnon")]

    def sample() -> None:
        while not ended.wait(0.1):
            samples.append(status("RssAnon"))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def status(field: str) -> float:
    """A field of this process's status, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1e3


STEPS: dict[str, Callable[[Path, int, int], dict[str, float]]] = {
    step.__name__: step for step in (prepare, ingest, search, commit, oldest, optimize, gc, check)
}


if __name__ == "__main__":
    main()
