"""O(change): what a commit costs as the dataset grows, and what many small commits cost a search.

    python benchmarks/commits.py [--rows 10000 100000] [--changed 1000] [--dim 384]

Vectors are given (clustered, seed 0), so nothing is embedded. Commits are timed alternately on the two
sizes; quoted are medians and their ratio. Then 200 one-chunk commits are made, and a warm search of head
is timed before and after, in exact mode, with the answers compared to a brute force over the same rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import vecver

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs=2, default=[10_000, 100_000])
    parser.add_argument("--changed", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--small", type=int, default=200, help="one-chunk commits")
    parser.add_argument("--out", type=Path, default=HERE / "out/commits.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = {rows: Growing(Path(folder, str(rows)), rows, args.dim) for rows in args.rows}
        seconds: dict[int, list[float]] = {rows: [] for rows in args.rows}
        for turn in range(args.repeat):
            for rows in args.rows:
                seconds[rows].append(sets[rows].commit(args.changed, turn + 1))
        medians = {rows: statistics.median(times) for rows, times in seconds.items()}
        small, large = args.rows
        print(
            f"commit of {args.changed} changed chunks: "
            + ", ".join(f"{medians[r] * 1e3:.0f} ms on {r:,}" for r in args.rows)
            + f"; ratio {medians[large] / medians[small]:.2f}"
        )
        big = sets[large]
        before = big.latency()
        many = [big.commit(1, args.repeat + 1 + turn) for turn in range(args.small)]
        after = big.latency()
        wrong = big.wrong_answers()
        print(
            f"{args.small} one-chunk commits on {large:,}: {statistics.median(many) * 1e3:.1f} ms each; "
            f"exact search p50 {before * 1e3:.2f} ms before, {after * 1e3:.2f} ms after; ratio {after / before:.2f}; "
            f"{wrong} wrong answers of 20"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    raw = {
        "seconds": seconds,
        "one_chunk": many,
        "p50": [before, after],
        "wrong": wrong,
        "args": {**vars(args), "out": ""},
    }
    args.out.write_text(json.dumps(raw, indent=1), "utf-8")


class Growing:
    """A dataset of one-chunk documents with given vectors."""

    def __init__(self, folder: Path, rows: int, dim: int) -> None:
        self.random = np.random.default_rng(0)
        centres = self.random.normal(size=(200, dim))
        self.vectors = centres[self.random.integers(0, 200, rows)] + 0.6 * self.random.normal(size=(rows, dim))
        self.vectors = self.vectors.astype(np.float32)
        self.centres = centres
        self.docs = vecver.open(folder, create=True).dataset("d")
        self.docs.ingest(self.table(np.arange(rows), 0), space="given", label="rows")

    def table(self, which: np.ndarray[Any, Any], turn: int) -> pa.Table:
        values = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors[which].reshape(-1)), self.vectors.shape[1])
        texts = [f"row {i} as of commit {turn}, with some words that stand for its text" for i in which]
        return pa.table({"id": [f"d{i:08d}" for i in which], "text": texts, "vector": values})

    def commit(self, count: int, turn: int) -> float:
        """Seconds to commit new texts and vectors for `count` rows."""
        which = np.sort(self.random.choice(len(self.vectors), count, replace=False))
        shift = self.centres[self.random.integers(0, 200, count)] + 0.6 * self.random.normal(
            size=(count, self.vectors.shape[1])
        )
        self.vectors[which] = shift.astype(np.float32)
        table = self.table(which, turn)
        began = time.perf_counter()
        self.docs.ingest(table, label="rows", keep_missing=True)
        return time.perf_counter() - began

    def latency(self) -> float:
        """Median seconds of a warm exact search at head."""
        times = []
        for query in self.queries(40):
            began = time.perf_counter()
            self.docs.search(query, k=10, exact=True)
            times.append(time.perf_counter() - began)
        return statistics.median(times[5:])

    def queries(self, count: int) -> np.ndarray[Any, Any]:
        return self.vectors[np.random.default_rng(1).integers(0, len(self.vectors), count)]

    def wrong_answers(self) -> int:
        """Answers whose ten documents are not those of a brute force in float64."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        wrong = 0
        for query in self.queries(20):
            true = np.argsort(-(unit @ (query / np.linalg.norm(query))))[:10]
            wrong += {f"d{i:08d}" for i in true} != {hit.document for hit in self.docs.search(query, k=10, exact=True)}
        return wrong


if __name__ == "__main__":
    main()
