"""Measures commits of 1,000 changed chunks in 100,000 rows, given with vectors: an Arrow table, a Parquet file, dicts.

    python benchmarks/commits.py [--rows 100000] [--changed 1000] [--times 9] [--dim 384] [--peer lance]

Every turn commits new texts and vectors for random rows, once in each form and once to the peer, in random order.
CPU is that of the process with its threads, wall includes every fsync; the median and the least of the turns are
printed in ms, and fsyncs of files and folders a commit. What vecver folds and indexes in a thread after its commits is
waited for between them, and printed as the mean CPU a commit. LanceDB merges by a scalar index on the id.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import vecver

done: Counter[str] = Counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--peer", choices=["lance", "none"], default="none")
    parser.add_argument("--folder", type=Path, help="where the repository is made; a temporary one otherwise")
    args = parser.parse_args()
    count_syncs()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run(args, Path(folder))


def run(args: argparse.Namespace, folder: Path) -> None:
    rng = np.random.default_rng(0)
    docs = vecver.open(folder / "kb", create=True).dataset("d")
    first = table(rng, np.arange(args.rows), args.dim, 0)
    cpu, wall = measured(lambda: docs.ingest(first, space="given", label="rows"))
    docs.repository.settle()
    print(f"first commit of {args.rows:,} rows: CPU {cpu:.1f} s, wall {wall:.1f} s", flush=True)
    ways: dict[str, Callable[[pa.Table], Any]] = {
        "arrow": lambda rows: docs.ingest(rows, label="rows", keep_missing=True),
        "parquet": lambda rows: docs.ingest(str(folder / "rows.parquet"), label="rows", keep_missing=True),
        "dicts": lambda rows: docs.ingest(rows.to_pylist(), label="rows", keep_missing=True),
    }
    if args.peer == "lance":
        ways["lance"] = lance(first, folder)
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    syncs: dict[str, Counter[str]] = {}
    upkeep: list[float] = []
    for turn in range(1, args.times + 1):
        for way in rng.permutation(list(ways)):
            slots = np.sort(rng.choice(args.rows, args.changed, replace=False))
            rows = table(rng, slots, args.dim, turn)
            pq.write_table(rows, folder / "rows.parquet")
            done.clear()
            results[way].append(measured(lambda: ways[way](rows)))  # noqa: B023 (called at once)
            syncs[way] = Counter(done)
            upkeep.append(measured(docs.repository.settle)[0])
    for way, pairs in results.items():
        cpus, walls = ([1000 * value for value in values] for values in zip(*pairs, strict=True))
        named = (("CPU", cpus), ("wall", walls))
        figures = [f"{name} {statistics.median(of):6.1f} ({min(of):6.1f})" for name, of in named]
        print(f"{way:8} {'  '.join(figures)}  {dict(syncs[way])}", flush=True)
    print(f"upkeep   CPU {1000 * sum(upkeep) / args.times / sum(way != 'lance' for way in ways):.1f} in the mean")
    print(json.dumps({way: pairs for way, pairs in results.items()}))


def table(rng: np.random.Generator, slots: Any, dim: int, version: int) -> pa.Table:
    """Rows as an application sends them: id, text of some 200 characters, a number, a vector."""
    vectors = rng.standard_normal((len(slots), dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = "Row {} as of version {}, with some words for its text. "
    return pa.table(
        {
            "id": pa.array([f"{slot:08d}" for slot in slots]),
            "text": pa.array([text.format(slot, version) * 4 for slot in slots]),
            "group": pa.array([int(slot) * 7919 % 1000 for slot in slots], pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim),
        }
    )


def lance(first: pa.Table, folder: Path) -> Callable[[pa.Table], Any]:
    """A LanceDB table with the same rows; what merges changed ones into it."""
    import lancedb
    from lancedb.index import BTree

    peer = lancedb.connect(folder / "lance").create_table("rows", first)
    peer.create_index("id", config=BTree())
    return lambda rows: peer.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """(CPU seconds of this process and all its threads, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def count_syncs() -> None:
    """Count fsyncs of files and of folders; those of LanceDB's own code are not seen."""
    original = os.fsync

    def counted(file: int) -> None:
        done["folders" if os.path.isdir(f"/proc/self/fd/{file}") else "files"] += 1
        original(file)

    os.fsync = counted  # type: ignore[assignment]


if __name__ == "__main__":
    main()
