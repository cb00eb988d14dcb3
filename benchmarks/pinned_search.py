"""What one search of a pinned version costs, beside FAISS HNSW32 of just that version at equal recall.

    python benchmarks/pinned_search.py [--rows 100000] [--versions 50] [--k 10 100] [--fresh]

Rows are mixtures of real MiniLM vectors, queries are real questions of eight kinds (../shared/data/ann); nothing is
measured where they are not there. Each version changes 1% of the rows; all are optimized to one segment. Every
query goes to every engine in turn, several times, on one thread: a line shows the median over the queries of each
query's least CPU time, and its ratio to HNSW32. The lines of vecver:

    search            `docs.search`, nothing of the answer read
    search, ids       the same, and the document of every hit
    search, texts     the same, and the text of every hit
    search, receipt   the same, and the receipt
    engine            `index.search` alone: no revision, no hits

Decisions
1. HNSW32 gets the smallest efSearch whose recall reaches vecver's; where none does, its largest, and the line says so.
2. CPU time and the least of several turns, because the machine is shared; the raw answers are kept under --out.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from vectors import about

import vecver

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/ann"
EF = (10, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 1536, 2048)
BLOCK = 20_000

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Rows = Callable[["Story", int], pa.Table]  # a story, the number of a version -> what it writes
Ask = Callable[[Vectors], list[int]]  # a query (dim,) -> the slots that answer, best first


def main() -> None:
    args = parse()
    if not has_data():
        return
    story, docs, ids = prepared(args, table)
    measured = []
    for label, version in (("head", args.versions), ("oldest", 0)):
        for k in args.k:
            print(f"{label}, k = {k}", flush=True)
            measured += compared(docs, ids[version], story, version, k, args.queries, args.turns, args.out / story.name)
    (args.out / f"{story.name}-{int(time.time())}.json").write_text(json.dumps({**about(), "measured": measured}))


def has_data() -> bool:
    """Whether the real vectors lie on this machine; says so if they do not."""
    if not (DATA / "questions_minilm.npz").exists():
        print(f"skipped: {DATA} is not there")
        return False
    return True


def prepared(args: argparse.Namespace, rows: Rows) -> tuple[Story, vecver.Dataset, list[str]]:
    """The story of `--rows` and `--versions`, its dataset below `--out`, and the commit ids; built if it is not there.

    `rows`: gives the rows that a version writes.
    """
    faiss.omp_set_num_threads(1)
    story = Story(args.rows, args.versions)
    if args.fresh:
        shutil.rmtree(args.out / story.name, ignore_errors=True)
    return story, *repository(args.out / story.name, story, rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of each version")
    parser.add_argument("--versions", type=int, default=50, help="commits after the first")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--queries", type=int, default=12, help="questions of a kind")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--out", type=Path, default=HERE / "out/pinned_search")
    parser.add_argument("--fresh", action="store_true", help="forget the repository that was built before")
    return parser.parse_args()


# -- data ---------------------------------------------------------------------------------------------


class Story:
    """Slots that each hold one vector; every later version gives 1% of them new vectors."""

    def __init__(self, rows: int, versions: int) -> None:
        rng, self.changed = np.random.default_rng(0), max(rows // 100, 1)
        self.name = f"{rows}x{versions}"
        self.vectors = mixtures(rows + versions * self.changed, rng)
        self.states = [np.arange(rows)]
        for version in range(versions):
            state, first = self.states[-1].copy(), rows + version * self.changed
            state[rng.choice(rows, self.changed, replace=False)] = np.arange(first, first + self.changed)
            self.states.append(state)

    def changes(self, version: int) -> Numbers:
        """The slots that a version changes; all slots in the first version."""
        if version == 0:
            return self.states[0]
        return np.flatnonzero(self.states[version] != self.states[version - 1])


def mixtures(count: int, rng: np.random.Generator) -> Vectors:
    """`(count, 384)` unit vectors: real passages, then sums of a passage and a smaller share of another one."""
    real = np.load(DATA / "passages36k_minilm_f16.npz")["vectors"].astype(np.float32)
    first, second = rng.integers(len(real), size=(2, count))
    share = rng.uniform(0.2, 0.6, (count, 1)).astype(np.float32)
    share[: len(real)] = 0
    first[: len(real)] = np.arange(min(len(real), count))
    mixed = real[first] + share * real[second]
    order = rng.permutation(count)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True))[order]


def questions(each: int) -> Vectors:
    """Real questions of every kind, `(n, 384)` unit vectors."""
    with np.load(DATA / "questions_minilm.npz") as kinds:
        vectors = np.concatenate([kinds[kind][:each] for kind in kinds.files]).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def repository(folder: Path, story: Story, rows: Rows) -> tuple[vecver.Dataset, list[str]]:
    """The story's versions, committed and optimized once and kept, and their ids."""
    if not (folder / "ids.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        docs, ids = vecver.open(folder / "kb", create=True).dataset("d"), []
        for version in range(len(story.states)):
            batch = rows(story, version)
            docs.ingest(batch, space="given", label="rows", keep_missing=True, allow_removals=True)
            ids.append(docs.resolve())
        docs.optimize()
        (folder / "ids.json").write_text(json.dumps(ids))
    return vecver.open(folder / "kb").dataset("d"), json.loads((folder / "ids.json").read_text())


def table(story: Story, version: int) -> pa.Table:
    """The rows that a version writes."""
    slots = story.changes(version)
    vectors = story.vectors[story.states[version][slots]]
    columns = {
        "id": [f"{slot:08d}" for slot in slots],
        "text": [f"Row {slot} as of version {version}, with some words for its text. " * 4 for slot in slots],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    return pa.table(columns)


# -- engines ------------------------------------------------------------------------------------------


def vecver_ways(docs: vecver.Dataset, at: str, k: int) -> dict[str, Ask]:
    """The ways in which vecver is measured, by name."""
    from vecver import index
    from vecver.flows.searching.filtering import filtered

    def read(*names: str) -> Ask:
        def ask(query: Vectors) -> list[int]:
            answer = docs.search(query, k=k, at=at)
            documents = [int(hit.document) for hit in answer] if "document" in names else []
            if "text" in names:
                [hit.text for hit in answer]
            if "receipt" in names:
                answer.receipt["digest"]
            return documents

        return ask

    read()(np.eye(1, 384, dtype=np.float32)[0])  # opens the version
    snapshot = docs._versions.snapshot(docs.resolve(at))
    parts = filtered(snapshot, None)

    def engine(query: Vectors) -> list[int]:
        index.search(parts, query[None], k, "cosine", exact=False)
        return []

    return {
        "search, ids": read("document"),
        "search": read(),
        "search, texts": read("document", "text"),
        "search, receipt": read("document", "text", "receipt"),
        "engine": engine,
    }


def hnsw(folder: Path, rows: Vectors, version: int) -> Any:
    """FAISS HNSW32 of a version's rows; built once and kept."""
    file = folder / f"hnsw-{version}.faiss"
    if not file.exists():
        index = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 200
        faiss.omp_set_num_threads(2)
        index.add(rows)
        faiss.omp_set_num_threads(1)
        faiss.write_index(index, str(file))
    return faiss.read_index(str(file))


# -- measuring ----------------------------------------------------------------------------------------


def compared(
    docs: vecver.Dataset, at: str, story: Story, version: int, k: int, each: int, turns: int, folder: Path
) -> list[dict[str, Any]]:
    """A line for every engine, in one run."""
    rows, queries = np.ascontiguousarray(story.vectors[story.states[version]]), questions(each)
    kth = np.sort(np.partition(queries @ rows.T, -k, axis=1)[:, -k:], axis=1)[:, 0]

    def recall(answers: list[list[int]]) -> float:
        shares = [
            np.mean(rows[slots[:k]] @ query >= least - 1e-6)
            for slots, query, least in zip(answers, queries, kth, strict=True)
        ]
        return float(np.mean(shares))

    ways = vecver_ways(docs, at, k)
    goal, index = recall([ways["search, ids"](query) for query in queries]), hnsw(folder, rows, version)

    untyped: Any = faiss  # its stubs lack some parameters

    def with_effort(ef: int) -> Ask:
        parameters = untyped.SearchParametersHNSW(efSearch=max(ef, k))
        return lambda query: index.search(query[None], k, params=parameters)[1][0].tolist()

    reached = ((ef, recall([with_effort(ef)(query) for query in queries])) for ef in EF)
    ef, hnsw_recall = next(((ef, share) for ef, share in reached if share >= goal), (EF[-1], 0.0))
    ways["FAISS HNSW32"] = with_effort(ef)
    times, answers = in_turns(ways, queries, turns)
    base = times["FAISS HNSW32"]
    lines = []
    for name, us in times.items():
        share = hnsw_recall if name == "FAISS HNSW32" else goal
        line = {"at": version, "k": k, "engine": name, "recall": round(share, 4), "ef": ef, "cpu_us": round(us, 1)}
        lines.append({**line, "ratio": round(us / base, 3), "answers": answers[name]})
        print(f"  {name:18} recall {share:.3f}  {us:8.1f} us  {us / base:5.2f} x HNSW (ef {ef})", flush=True)
    return lines


def in_turns(ways: dict[str, Ask], queries: Vectors, turns: int) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """By name: the median over the queries of each query's least CPU microseconds, and the answers."""
    least = {name: np.full(len(queries), np.inf) for name in ways}
    answers: dict[str, list[Any]] = {name: [None] * len(queries) for name in ways}
    order, names = random.Random(0), list(ways)
    for _ in range(turns):
        for first in range(len(queries)):
            order.shuffle(names)  # else the engine behind the one that reads most always finds the cache emptied
            for name in names:
                ask, number = ways[name], (first + 7 * list(ways).index(name)) % len(queries)
                began = time.thread_time_ns()
                answers[name][number] = ask(queries[number])
                least[name][number] = min(least[name][number], (time.thread_time_ns() - began) / 1e3)
    return {name: statistics.median(values) for name, values in least.items()}, answers


if __name__ == "__main__":
    main()
