"""What a filter costs: `docs.search` with it ÷ without it, at head and at the oldest version.

    python benchmarks/filters.py [--rows 100000] [--versions 10] [--queries 24] [--turns 7] [--fresh]

Vectors and questions as in pinned_search.py; nothing is measured where they are not there. Every query goes to every
filter in turn, on one thread; a line shows the median over queries of the least CPU time, and its ratio to no filter.
`new filter` takes a filter that was never used before, so nothing of it is cached. To compare two commits, run this
file with PYTHONPATH on one checkout and then on the other, with the same --out: the repository is built once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pinned_search import HERE, Story, has_data, prepared, questions
from vectors import about

import vecver

NEW = "new filter, 50%"
FILTERS: dict[str, Any] = {
    "no filter": None,
    "50%": {"share": {"$lt": 500}},
    "5%": {"share": {"$lt": 50}},
    "0.5%": {"share": {"$lt": 5}},
    "nothing": {"share": {"$lt": 0}},
    "strings, 20%": {"lang": "l3"},
    "list items, 20%": {"tags": {"$contains": "t3"}},
    "json lists, 14%": {"groups": {"$in": [3]}},
    "bool and float, 25%": {"flag": True, "weight": {"$gt": 0.5}},
    NEW: None,
}


def main() -> None:
    args = parse()
    if not has_data():
        return
    _, docs, ids = prepared(args, table)
    queries = questions(-(-args.queries // 8))[: args.queries]
    print(f"vecver of {Path(vecver.__file__).parent.parent}", flush=True)
    measured = []
    for label, version in (("head", ids[-1]), ("oldest", ids[0])):
        for k in args.k:
            measured.append({"version": label, "k": k, "us": costs(docs, version, k, queries, args.turns)})
            show(measured[-1])
    (args.out / f"filters-{int(time.time())}.json").write_text(json.dumps({**about(), "measured": measured}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of each version")
    parser.add_argument("--versions", type=int, default=10, help="commits after the first")
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE / "out/filters")
    parser.add_argument("--fresh", action="store_true", help="forget the repository that was built before")
    return parser.parse_args()


def table(story: Story, version: int) -> pa.Table:
    """The rows that a version writes, with metadata of each type."""
    slots = story.changes(version)
    vectors = story.vectors[story.states[version][slots]]
    drawn = np.random.default_rng(version).integers(0, 1000, len(slots))
    return pa.table(
        {
            "id": [f"{slot:08d}" for slot in slots],
            "text": [f"Row {slot} as of version {version}." for slot in slots],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
            "share": drawn,
            "lang": [f"l{number % 5}" for number in drawn],
            "tags": [[f"t{number % 5}", "all"] for number in drawn],
            "groups": [[int(number % 7), 100] for number in drawn],
            "flag": drawn % 2 == 0,
            "weight": drawn / 1000,
        }
    )


def costs(docs: vecver.Dataset, version: str, k: int, queries: Any, turns: int) -> dict[str, float]:
    """The median over queries of the least CPU time of a search with each filter, in microseconds."""
    fresh, least = count(), {name: [float("inf")] * len(queries) for name in FILTERS}
    for _ in range(turns + 1):  # the first turn warms up
        for number, query in enumerate(queries):
            for name, filter in FILTERS.items():
                used = {"share": {"$lt": 500, "$ne": 10_000 + next(fresh)}} if name == NEW else filter
                since = time.thread_time_ns()
                answer = docs.search(query, at=version, k=k, filter=used)
                spent = (time.thread_time_ns() - since) / 1e3
                assert len(answer.hits) == (0 if name == "nothing" else k)
                least[name][number] = min(least[name][number], spent)
    return {name: statistics.median(values) for name, values in least.items()}


def show(measured: dict[str, Any]) -> None:
    """Print what was measured of one version."""
    print(f"{measured['version']}, k = {measured['k']}")
    base = measured["us"]["no filter"]
    for name, spent in measured["us"].items():
        print(f"  {name:24}{spent:9.0f} us{spent / base:8.2f}", flush=True)


if __name__ == "__main__":
    main()
