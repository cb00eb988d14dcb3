"""One small adapter for every peer of `versions.py`: load a story, then answer at head and at the oldest version.

A peer with versions of its own (LanceDB) or with a filter (milvus-lite) commits all versions; the others
have no versions, so they hold an index of its own for head and one for the oldest, which favours them.
All answer with ids alone, where vecver brings text and a receipt. Vectors are unit vectors. FAISS, hnswlib
and usearch answer with one thread, as vecver does; LanceDB and milvus-lite keep their pools.

Decisions
- 2026-11-21 settings are a grid, of which `versions.py` takes the fastest that reaches vecver's recall.
  Graphs are built with M 32 and efConstruction 200; LanceDB gets what its guides advise: a scalar index on
  the merge key, `optimize` every 20 commits, a new vector index for head, a refine factor. Of its indexes,
  IVF_HNSW_SQ was the fastest on 74,000 passages (2.3 ms at 0.98; IVF_RQ 2.8, IVF_SQ 3.9, IVF_PQ 4.3,
  IVF_FLAT 5.5), and about a thousand rows a partition served the others best.
- 2026-11-21 milvus-lite keeps FLAT, one collection, `born` and `died`: measured as its fastest that answers
  a filter right. Qdrant's local mode is exact, and meant for tests: its answers are compared all the same.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from vectors import Ask, K, Numbers, Story, Vectors, in_turns, seconds_of

WIDTHS = [10, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024]
LOAD = 10_000  # rows sent at once
NEVER = 2**63 - 1


class Peer(Protocol):
    """One engine that holds a story."""

    needs: str  # the package
    settings: list[Any]  # cheap ones first
    commits: list[float]  # seconds of each commit; empty without versions

    def load(self, story: Story, folder: Path) -> None: ...
    def ask(self, version: int, setting: Any) -> Ask: ...


def opened(name: str) -> Peer:
    """A peer that holds nothing yet. Raises PackageNotFoundError."""
    metadata.version(PEERS[name].needs)
    return PEERS[name]()


def compared(story: Story, peer: Peer, askers: dict[str, Ask], version: int) -> dict[str, Any]:
    """A version asked of vecver by `askers`, and of a peer by its fastest setting with the first's recall, in turns."""
    state, ours = story.state(version), next(iter(askers.values()))
    wanted = story.recall(state, [ours(query) for query in story.queries])
    tried = []
    for setting in peer.settings:
        timed = in_turns({"peer": peer.ask(version, setting)}, story.queries)["peer"]
        tried.append({"setting": setting, "ms": timed.ms(), "recall": story.recall(state, timed.answers)})
    enough = [one for one in tried if one["recall"] >= wanted]
    best = min(enough, key=lambda one: one["ms"]) if enough else max(tried, key=lambda one: one["recall"])
    found = in_turns({**askers, "theirs": peer.ask(version, best["setting"])}, story.queries)
    reached = story.recall(state, found["theirs"].answers)
    return {"tried": tried, "setting": best["setting"], "recalls": (wanted, reached), **found}


def grid(**options: Any) -> list[dict[str, int]]:
    """Every combination of some options' values; no `ef` below the rows that are refined, which is an error."""
    made = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    return [one for one in made if one.get("ef", NEVER) >= K * one["refine_factor"]]


# -- an index for each version ------------------------------------------------------------------------


class Faiss:
    """FAISS HNSW over float32."""

    needs, settings = "faiss-cpu", WIDTHS

    def load(self, story: Story, folder: Path) -> None:
        import faiss

        self.commits: list[float] = []
        self.indexes = {}
        for version in {0, story.head}:
            index = faiss.IndexHNSWFlat(story.vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = 200
            with every_core():
                index.add(story.rows(version))
            self.indexes[version] = index

    def ask(self, version: int, setting: int) -> Ask:
        index = self.indexes[version]
        index.hnsw.efSearch = setting
        return lambda query: index.search(query[None], K)[1][0].tolist()


class Hnswlib:
    needs, settings = "hnswlib", WIDTHS

    def load(self, story: Story, folder: Path) -> None:
        import hnswlib

        self.commits: list[float] = []
        self.indexes = {}
        for version in {0, story.head}:
            index = hnswlib.Index("ip", story.vectors.shape[1])
            index.init_index(len(story.first), M=32, ef_construction=200, random_seed=0)
            index.add_items(story.rows(version))
            index.set_num_threads(1)
            self.indexes[version] = index

    def ask(self, version: int, setting: int) -> Ask:
        index = self.indexes[version]
        index.set_ef(setting)
        return lambda query: index.knn_query(query, K)[0][0].tolist()


class Usearch:
    """usearch, with the number type that is its default, and with float32, since the default's recall ends below 1."""

    needs = "usearch"
    settings: ClassVar = list(itertools.product(("bf16", "f32"), WIDTHS))

    def load(self, story: Story, folder: Path) -> None:
        from usearch.index import Index

        self.commits: list[float] = []
        self.indexes = {}
        for version, kind in itertools.product({0, story.head}, ("bf16", "f32")):
            index = Index(ndim=story.vectors.shape[1], metric="ip", dtype=kind, connectivity=32, expansion_add=200)
            index.add(np.arange(len(story.first)), story.rows(version))
            self.indexes[version, kind] = index

    def ask(self, version: int, setting: tuple[str, int]) -> Ask:
        kind, width = setting
        index = self.indexes[version, kind]
        index.expansion_search = width
        return lambda query: index.search(query, K, threads=1).keys.tolist()


class Qdrant:
    """Qdrant's local mode: a collection for each version, in memory, exact."""

    needs, settings = "qdrant-client", [None]

    def load(self, story: Story, folder: Path) -> None:
        from qdrant_client import QdrantClient, models

        self.commits: list[float] = []
        self.client = QdrantClient(":memory:")
        how = models.VectorParams(size=story.vectors.shape[1], distance=models.Distance.COSINE)
        for version in {0, story.head}:
            self.client.create_collection(f"v{version}", how)
            self.client.upload_collection(f"v{version}", story.rows(version), ids=range(len(story.first)))

    def ask(self, version: int, setting: None) -> Ask:
        name, client = f"v{version}", self.client
        return lambda query: [point.id for point in client.query_points(name, query, limit=K).points]


# -- versions of their own ----------------------------------------------------------------------------


class Lance:
    """LanceDB with graphs over 8-bit codes: a table whose commits are its versions; a version is checked out."""

    needs = "lancedb"
    settings: ClassVar = grid(nprobes=(1,), refine_factor=(1, 2, 4), ef=(16, 24, 32, 48, 64, 96, 128, 192, 256, 512))

    def load(self, story: Story, folder: Path) -> None:
        import lancedb
        from lancedb.index import BTree

        self.commits: list[float] = []
        self.db = lancedb.connect(folder)
        schema = story.batch(story.first[:0], story.first[:0], 0).schema
        table = self.db.create_table("rows", story.batches(0), schema=schema)
        table.create_index("id", config=BTree())
        table.create_index("vector", config=self.index(len(story.first), story.vectors.shape[1]))
        self.versions = {0: table.version}
        for version, (slots, numbers) in enumerate(story.changes, 1):
            self.commits.append(self._commit(table, story.batch(slots, numbers, version), version))
        table.create_index("vector", config=self.index(len(story.first), story.vectors.shape[1]))
        self.versions[story.head] = table.version

    def index(self, rows: int, dim: int) -> Any:
        from lancedb.index import HnswSq

        return HnswSq(distance_type="cosine", num_partitions=max(1, rows // 2**20))

    def _commit(self, table: Any, batch: Any, version: int) -> float:
        began = time.perf_counter()
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(batch)
        if version % 20 == 0:
            table.optimize()
        return time.perf_counter() - began

    def ask(self, version: int, setting: dict[str, int]) -> Ask:
        table = self.db.open_table("rows")
        table.checkout(self.versions[version])

        def answer(query: Vectors) -> list[int]:
            search = table.search(query).distance_type("cosine").limit(K).select(["id", "_distance"])
            for option, value in setting.items():
                search = getattr(search, option)(value)
            return [int(id) for id in search.to_arrow()["id"].to_pylist()]

        return answer


class LancePq(Lance):
    """LanceDB with product quantisation, its default."""

    settings: ClassVar = grid(nprobes=(1, 2, 4, 8, 16, 32, 64, 128), refine_factor=(2, 4, 8, 16, 32))

    def index(self, rows: int, dim: int) -> Any:
        from lancedb.index import IvfPq

        return IvfPq(distance_type="cosine", num_partitions=max(1, rows // 1024), num_sub_vectors=dim // 8)


class LanceRq(Lance):
    """LanceDB with RaBitQ's codes of one bit a number."""

    settings: ClassVar = grid(nprobes=(1, 2, 4, 8, 16, 32, 64, 128), refine_factor=(1, 2, 4, 8, 16))

    def index(self, rows: int, dim: int) -> Any:
        from lancedb.index import IvfRq

        return IvfRq(distance_type="cosine", num_partitions=max(1, rows // 1024))


class MilvusLite:
    """milvus-lite: one collection, a row is live in the versions from `born` to before `died`."""

    needs, settings = "milvus-lite", [None]

    def load(self, story: Story, folder: Path) -> None:
        from pymilvus import DataType, MilvusClient

        self.rows, self.commits = len(story.first), []
        self.client = MilvusClient(str(folder / "milvus.db"))
        schema = self.client.create_schema()
        schema.add_field("pk", DataType.INT64, is_primary=True)
        schema.add_field("born", DataType.INT64)
        schema.add_field("died", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=story.vectors.shape[1])
        how = self.client.prepare_index_params()
        how.add_index("vector", index_type="FLAT", metric_type="IP")
        self.client.create_collection("rows", schema=schema, index_params=how)
        born = np.zeros(self.rows, np.int64)
        self._write(story, np.arange(self.rows), story.first, born, NEVER)
        self.client.flush("rows")
        state = story.first.copy()
        for version, (slots, numbers) in enumerate(story.changes, 1):
            self.commits.append(seconds_of(lambda: self._commit(story, slots, numbers, state, born, version)))  # noqa: B023
            state[slots], born[slots] = numbers, version

    def _commit(
        self, story: Story, slots: Numbers, numbers: Numbers, state: Numbers, born: Numbers, version: int
    ) -> None:
        self._write(story, slots, numbers, np.full(len(slots), version), NEVER)
        self._write(story, slots, state[slots], born[slots], version)
        self.client.flush("rows")

    def _write(self, story: Story, slots: Numbers, numbers: Numbers, born: Numbers, died: int) -> None:
        rows = zip(slots.tolist(), story.vectors[numbers], born.tolist(), strict=True)
        while part := list(itertools.islice(rows, LOAD)):
            data = [{"pk": b * self.rows + slot, "born": b, "died": died, "vector": v} for slot, v, b in part]
            self.client.upsert("rows", data)

    def ask(self, version: int, setting: None) -> Ask:
        client, live = self.client, f"born <= {version} and died > {version}"

        def answer(query: Vectors) -> list[int]:
            found = client.search("rows", [query.tolist()], filter=live, limit=K)[0]
            return [hit["pk"] % self.rows for hit in found]

        return answer


PEERS: dict[str, type[Any]] = {
    "faiss": Faiss,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "qdrant": Qdrant,
    "lance": Lance,
    "lance-rq": LanceRq,
    "lance-pq": LancePq,
    "milvus-lite": MilvusLite,
}


@contextmanager
def every_core() -> Iterator[None]:
    """FAISS with all cores, for builds."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A new folder that is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in the block that takes longer, as soon as Python is at work in it."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
