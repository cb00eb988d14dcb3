"""The data of benchmarks: vectors, the story of versions over them, and every version's true neighbours.

A story has rows, numbered `slots`; in each version a slot holds one vector, named by its number in one
table of vectors. So a version is an array of numbers, and its true neighbours are found without vecver.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HERE = Path(__file__).resolve().parent
CACHE = HERE / "out/vectors"
PASSAGES = HERE.parents[1] / "shared/data/passages/passages_dev.parquet"
PASSAGE_COUNT = 150_000  # embedded once, then kept
ANN = HERE.parents[1] / "shared/data/ann"  # 36,000 passages and questions of eight kinds, under MiniLM
LIBRARIES = (
    *("vecver", "numpy", "pyarrow", "faiss-cpu", "hnswlib", "usearch", "scalable-vs"),
    *("lancedb", "chromadb", "pymilvus", "milvus-lite", "qdrant-client", "qdrant-edge-py"),
)
SEED = 0
K = 10
_BLOCK = 50_000  # rows made or multiplied at once
_NEAREST = 1000  # of all versions; nearly always ten of them live in each
_TOPICS = 256
_TOPIC_ROWS = 100  # edited together

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Ask = Callable[[Vectors], Sequence[int]]  # a query (dim,) -> the slots that answer, best first


# -- vectors ------------------------------------------------------------------------------------------


def passages(count: int = PASSAGE_COUNT) -> Vectors:
    """At least `count` unit vectors of real English passages, `(n, 384)` float32, mapped from the cache."""
    file = CACHE / "passages.npy"
    if not file.exists() or len(np.load(file, mmap_mode="r")) < count:
        np.save(_new(file), _embedded(count))
    return np.load(file, mmap_mode="r")


def clustered(count: int, dim: int = 384) -> Vectors:
    """`(count, dim)` float32 unit vectors in clusters of about 200, mapped from the cache."""
    file = CACHE / f"clustered-{count}x{dim}.npy"
    if not file.exists():
        rng = np.random.default_rng(SEED)
        centres = rng.standard_normal((max(count // 200, 1), dim), np.float32)
        part = _new(file).with_suffix(".part")
        made = np.lib.format.open_memmap(part, "w+", np.float32, (count, dim))
        for start in range(0, count, _BLOCK):
            block = made[start : start + _BLOCK]
            block[:] = centres[rng.integers(len(centres), size=len(block))]
            block += np.float32(0.7) * rng.standard_normal(block.shape, np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        made.flush()
        part.rename(file)  # whole, or not there
    return np.load(file, mmap_mode="r")


def mixtures(count: int, dim: int = 384) -> Vectors:
    """`(count, dim)` float32 unit vectors, mapped from the cache: real passages, then mixtures of two.

    Below 384 dimensions they are the first principal components of the 384, as the questions are.
    """
    file = CACHE / f"mixtures-{count}x{dim}.npy"
    if not file.exists():
        real, rng = _real_passages(), np.random.default_rng(SEED)
        part = _new(file).with_suffix(".part")
        made = np.lib.format.open_memmap(part, "w+", np.float32, (count, dim))
        for start in range(0, count, _BLOCK):
            made[start : start + _BLOCK] = _mixed(real, start, min(_BLOCK, count - start), rng) @ _components(dim)
            made[start : start + _BLOCK] /= np.linalg.norm(made[start : start + _BLOCK], axis=1, keepdims=True)
        made.flush()
        part.rename(file)
    return np.load(file, mmap_mode="r")


def questions(each: int, dim: int = 384) -> tuple[list[str], Vectors]:
    """Real questions of eight kinds, `(n, dim)` float32 unit vectors, and the kind of every one."""
    with np.load(_required(ANN / "questions_minilm.npz")) as kinds:
        parts = {kind: kinds[kind][:each].astype(np.float32) for kind in kinds.files}
    vectors = np.concatenate(list(parts.values())) @ _components(dim)
    names = [kind for kind, part in parts.items() for _ in part]
    return names, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _mixed(real: Vectors, start: int, count: int, rng: np.random.Generator) -> Vectors:
    first, second = rng.integers(len(real), size=(2, count))
    share = rng.uniform(0.2, 0.6, (count, 1)).astype(np.float32)
    pure = slice(0, max(0, min(count, len(real) - start)))  # every passage itself comes once, before the mixtures
    first[pure], share[pure] = np.arange(start, start + pure.stop), 0
    return real[first] + share * real[second]


@cache
def _real_passages() -> Vectors:
    with np.load(_required(ANN / "passages36k_minilm_f16.npz")) as data:
        return data["vectors"].astype(np.float32)


@cache
def _components(dim: int) -> Vectors:
    """`(384, dim)` the directions in which the passages vary most; all of them unturned for 384."""
    if dim == 384:
        return np.eye(dim, dtype=np.float32)
    real = _real_passages()
    return np.ascontiguousarray(np.linalg.eigh(real.T @ real)[1][:, ::-1][:, :dim])


def _required(file: Path) -> Path:
    if not file.exists():
        raise SystemExit(f"{file.name} is not on this machine: use --data clustered")
    return file


def _embedded(count: int) -> Vectors:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from vecver.pipeline import open_embedder

    table = pq.read_table(_required(PASSAGES), columns=["text", "lang"])
    texts = table.filter(pc.equal(table["lang"], "en"))["text"]
    rows = np.sort(np.random.default_rng(SEED).permutation(len(texts))[:count])
    print(f"embedding {len(rows):,} passages, once")
    return open_embedder("minilm").embed(texts.take(rows).to_pylist())


def _new(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


# -- the story ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """`versions` + 1 versions of `rows` slots. Version 0 is the first, `versions` is head."""

    data: str
    vectors: Vectors  # (M, dim), mapped
    queries: Vectors  # (q, dim), held out: no version holds them
    first: Numbers  # (rows,) the vector that each slot holds in version 0
    changes: list[tuple[Numbers, Numbers]]  # of each later version: slots, and the vectors that they hold now
    kinds: list[str]  # of each query

    def state(self, version: int) -> Numbers:
        """`(rows,)` the number of the vector that each slot holds."""
        state = self.first.copy()
        for slots, numbers in self.changes[:version]:
            state[slots] = numbers
        return state

    def rows(self, version: int) -> Vectors:
        """`(rows, dim)` a version's vectors, copied."""
        return np.ascontiguousarray(self.vectors[self.state(version)])

    @property
    def head(self) -> int:
        return len(self.changes)

    def batch(self, slots: Numbers, numbers: Numbers, version: int) -> pa.RecordBatch:
        """Slots as they are written in `version`: id, text, vector."""
        values = pa.array(np.ascontiguousarray(self.vectors[numbers]).reshape(-1))
        texts = [f"Row {slot} as of version {version}, with some words for its text. " * 4 for slot in slots]
        columns = {
            "id": pa.array([f"{slot:08d}" for slot in slots], pa.string()),
            "text": pa.array(texts, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(values, self.vectors.shape[1]),
        }
        return pa.record_batch(columns)

    def batches(self, version: int) -> Any:
        """All rows of a version, in batches."""
        state = self.state(version)
        for start in range(0, len(state), _BLOCK):
            slots = np.arange(start, min(start + _BLOCK, len(state)))
            yield self.batch(slots, state[slots], version)

    def recall(self, state: Numbers, answers: Sequence[Sequence[int]], k: int = K) -> float:
        """ann_recall@k of answers to the first queries, as a mean."""
        return float(self.shares(state, answers, k).mean())

    def shares(self, state: Numbers, answers: Sequence[Sequence[int]], k: int = K) -> npt.NDArray[np.float64]:
        """ann_recall@k of each answer: the share of its k slots that score no worse than the true k-th."""
        alive = np.zeros(len(self.vectors), bool)
        alive[state] = True
        shares = np.empty(len(answers))
        for number, (scores, near, slots) in enumerate(zip(self._scores, self._nearest, answers, strict=False)):
            true = near[alive[near]][:k]
            least = scores[true[-1]] if len(true) == k else np.partition(scores[state], -k)[-k]
            returned = scores[state[list(dict.fromkeys(slots))[:k]]]
            shares[number] = (returned >= least - 1e-6).sum() / k  # equal vectors are equally right
        return shares

    @cached_property
    def _nearest(self) -> Numbers:
        """`(q, n)` the vectors of any version that are nearest to each query, nearest first."""
        few = min(_NEAREST, len(self.vectors))
        tops = (np.argpartition(-row, few - 1)[:few] for row in self._scores)
        return np.stack([top[np.argsort(-row[top])] for row, top in zip(self._scores, tops, strict=True)])

    @cached_property
    def _scores(self) -> Vectors:
        """`(q, M)` every query against every vector of every version."""
        scores = np.empty((len(self.queries), len(self.vectors)), np.float32)
        for start in range(0, len(self.vectors), _BLOCK):
            scores[:, start : start + _BLOCK] = self.queries @ self.vectors[start : start + _BLOCK].T
        return scores

    @cached_property
    def digest(self) -> str:
        """sha256 of the vectors and of who holds which when."""
        hasher = hashlib.sha256()
        for start in range(0, len(self.vectors), _BLOCK):
            hasher.update(np.ascontiguousarray(self.vectors[start : start + _BLOCK]).data)
        for array in (self.queries, self.first, *(part for change in self.changes for part in change)):
            hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()


def story(data: str, rows: int, versions: int, changed: int, queries: int, dim: int = 384) -> Story:
    """The same story every time: each version changes `changed` slots, half of them by topic, half scattered.

    A changed slot gets a vector from a reserve, which replaced vectors join at its end. The queries are held-out
    vectors; of `mixtures` they are real questions, as many of each kind.
    """
    kinds, held_out = ["held out"] * queries, None
    wanted = queries + rows + versions * changed
    if data == "mixtures":
        kinds, held_out = questions(-(-queries // 8), dim)
        queries, wanted = 0, rows + versions * changed
    vectors = _vectors(data, wanted, dim)
    if len(vectors) < queries + rows + changed:
        raise SystemExit(f"{len(vectors):,} vectors are too few for {rows:,} rows: use --data clustered")
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(vectors))[:wanted]
    asked, first, reserve = np.split(order, [queries, queries + rows])
    topics, state, changes = _topics(vectors, rng), first.copy(), []
    for _ in range(versions):
        slots = _edited(topics[state], changed, rng)
        reserve, numbers = np.concatenate([reserve[changed:], state[slots]]), reserve[:changed]
        state[slots] = numbers
        changes.append((slots, numbers))
    return Story(
        data, vectors, np.ascontiguousarray(vectors[asked]) if held_out is None else held_out, first, changes, kinds
    )


def _vectors(data: str, count: int, dim: int) -> Vectors:
    if data == "passages":
        return passages(min(count, PASSAGE_COUNT))
    return {"clustered": clustered, "mixtures": mixtures}[data](count, dim)


def _edited(topics: Numbers, count: int, rng: np.random.Generator) -> Numbers:
    """`count` slots, ascending: half of them a hundred of one topic at a time, the others anywhere."""
    edited = np.zeros(len(topics), bool)
    while edited.sum() < count // 2:
        near = np.flatnonzero((topics == topics[rng.integers(len(topics))]) & ~edited)
        edited[near[: min(_TOPIC_ROWS, count // 2 - edited.sum())]] = True
    edited[rng.choice(np.flatnonzero(~edited), count - edited.sum(), replace=False)] = True
    return np.flatnonzero(edited)


def _topics(vectors: Vectors, rng: np.random.Generator) -> Numbers:
    """`(M,)` which of a few vectors each vector lies nearest to."""
    centres = vectors[np.sort(rng.choice(len(vectors), min(_TOPICS, len(vectors)), replace=False))]
    blocks = range(0, len(vectors), _BLOCK)
    return np.concatenate([np.argmax(vectors[start : start + _BLOCK] @ centres.T, axis=1) for start in blocks])


# -- measuring ----------------------------------------------------------------------------------------


@dataclass
class Timed:
    """What one asker answered, and the least time that each query took it: wall, and CPU of all threads."""

    seconds: list[float]
    cpu: list[float]
    answers: list[Sequence[int]]

    def ms(self, percent: float = 50) -> float:
        return float(np.percentile(self.seconds, percent)) * 1e3

    def cpu_ms(self, percent: float = 50) -> float:
        return float(np.percentile(self.cpu, percent)) * 1e3


def in_turns(askers: dict[str, Ask], queries: Vectors, turns: int = 1) -> dict[str, Timed]:
    """Every query to every asker, one at a time, warm, so that all of them see the same machine.

    Askers are some queries apart, so that none finds what another has just read into the CPU's cache, and their
    order changes, so that none always follows the one that empties it.
    """
    for ask in askers.values():
        for query in queries:
            ask(query)
    count, order = len(queries), np.random.default_rng(SEED)
    timed = {name: Timed([np.inf] * count, [np.inf] * count, [()] * count) for name in askers}
    for turn in range(turns * count):
        for place in order.permutation(len(askers)):
            name, ask = list(askers.items())[place]
            number = (turn + 7 * int(place)) % count
            wall, cpu = time.perf_counter(), time.process_time()
            answer = ask(queries[number])
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            mine = timed[name]
            mine.answers[number] = answer
            mine.seconds[number], mine.cpu[number] = min(mine.seconds[number], wall), min(mine.cpu[number], cpu)
    return timed


def cpu_and_wall(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds that an action took: CPU of all threads, and wall."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def seconds_of(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def size_of(folder: Path) -> int:
    """Bytes that a folder's files take on the disk."""
    return sum(file.lstat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def about(story: Story | None = None) -> dict[str, Any]:
    """What a number needs beside it to be believed: machine, seed, data, code, libraries."""
    data = None
    if story:
        data = {"name": story.data, "vectors": len(story.vectors), "rows": len(story.first), "sha256": story.digest}
    there = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    cpu = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "machine": {"cpu": cpu[:1], "cores": os.cpu_count(), "load": os.getloadavg(), "platform": platform.platform()},
        "seed": SEED,
        "data": data,
        "commit": _git("rev-parse", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "libraries": {"python": platform.python_version(), **{name: there.get(name) for name in LIBRARIES}},
    }


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True).stdout.strip()
