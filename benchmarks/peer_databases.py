"""Peers that are databases, embedded in the process: each holds head and an old version in its own way.

LanceDB commits every version of the story to one table and checks the old one out. The others keep no versions, so
each version is a collection of its own. All answer with ids alone, where vecver brings texts and a receipt, and keep
their own thread pools: their CPU time is that of all threads.

1. LanceDB gets what its guides advise: a scalar index on the merge key, `optimize` every 20 commits, a new vector
   index for head, a refine factor. It is asked with graphs over 8-bit codes, and with RaBitQ's codes of one bit.
2. Chroma, milvus-lite and Qdrant Edge get graphs with 32 neighbours built at effort 200. Chroma applies a new search
   effort only when it is opened again. Qdrant's server is no package; Edge is its engine in the process. The local
   mode of `qdrant-client` scans all rows in numpy and is meant for tests.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from peer_indexes import THREADS, WIDTHS, build_once
from vectors import Ask, K, Story, Vectors, size_of

EFFORTS = WIDTHS[::2]
LOAD = 5000  # rows sent at once


class Lance:
    """LanceDB with graphs over 8-bit codes: a table whose commits are its versions; a version is checked out."""

    needs = "lancedb"
    versions = True

    def load(self, story: Story, folder: Path, versions: list[int]) -> dict[str, Any]:
        import lancedb

        facts = folder / "facts.json"
        self.db = lancedb.connect(folder / "db")
        if not facts.exists():
            cpu, wall = time.process_time(), time.perf_counter()
            kept: dict[str, Any] = {"numbers": self._write(story), "commits": self.commits}
            kept.update(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall, bytes=size_of(folder))
            facts.write_text(json.dumps(kept))
        costs = json.loads(facts.read_text())
        self.numbers = {int(version): number for version, number in costs["numbers"].items()}
        return costs

    def _write(self, story: Story) -> dict[int, int]:
        """Commits every version; LanceDB's numbers of the oldest and of head."""
        from lancedb.index import BTree

        schema = story.batch(story.first[:0], story.first[:0], 0).schema
        table = self.db.create_table("rows", story.batches(0), schema=schema)
        table.create_index("id", config=BTree())
        table.create_index("vector", config=self.index(len(story.first)))
        oldest, self.commits = table.version, []
        for version, (slots, numbers) in enumerate(story.changes, 1):
            began = time.perf_counter()
            merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(story.batch(slots, numbers, version))
            if version % 20 == 0:
                table.optimize()
            self.commits.append(time.perf_counter() - began)
        table.create_index("vector", config=self.index(len(story.first)))
        return {0: oldest, story.head: table.version}

    def index(self, rows: int) -> Any:
        from lancedb.index import HnswSq

        return HnswSq(distance_type="cosine", num_partitions=max(1, rows // 2**20), m=32, ef_construction=200)

    def settings(self) -> list[list[Any]]:
        efforts = [width for width in EFFORTS if width <= 1024]
        ladders = [[{"nprobes": 1, "refine_factor": r, "ef": e} for e in efforts if e >= K * r] for r in (1, 2, 4)]
        return ladders

    def ask(self, version: int, setting: dict[str, int], k: int = K) -> Ask:
        table = self.db.open_table("rows")
        table.checkout(self.numbers[version])

        def answer(query: Vectors) -> list[int]:
            search = table.search(query).distance_type("cosine").limit(k).select(["id", "_distance"])
            for option, value in setting.items():
                search = getattr(search, option)(value)
            return [int(id) for id in search.to_arrow()["id"].to_pylist()]

        return answer


class LanceRq(Lance):
    """LanceDB with RaBitQ's codes of one bit a number."""

    def index(self, rows: int) -> Any:
        from lancedb.index import IvfRq

        return IvfRq(distance_type="cosine", num_partitions=max(1, rows // 1024))

    def settings(self) -> list[list[Any]]:
        probes = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
        return [[{"nprobes": n, "refine_factor": r} for n in probes] for r in (1, 2, 4, 8, 16)]


class Collections:
    """A collection for each version, kept in a folder; subclasses say how a database writes, opens and asks."""

    needs: str
    versions = False

    def load(self, story: Story, folder: Path, versions: list[int]) -> dict[str, Any]:
        """Writes what the folder lacks, and opens all. What each version cost."""
        costs, self.opened, self.folder = {}, {}, folder
        for version in versions:
            place = folder / str(version)
            costs[place.name] = build_once(place, lambda into: self.write(story.rows(version), into))  # noqa: B023
            self.opened[version] = self.open(place)
        return costs

    def settings(self) -> list[list[Any]]:
        return [list(EFFORTS)]

    def write(self, rows: Vectors, folder: Path) -> None:
        raise NotImplementedError

    def open(self, folder: Path) -> Any:
        raise NotImplementedError

    def ask(self, version: int, setting: Any, k: int = K) -> Ask:
        raise NotImplementedError


class Chroma(Collections):
    needs = "chromadb"

    def write(self, rows: Vectors, folder: Path) -> None:
        graph = {"space": "ip", "ef_construction": 200, "max_neighbors": 32, "num_threads": THREADS}
        made = self.client(folder).create_collection("rows", configuration={"hnsw": graph}, embedding_function=None)
        for start in range(0, len(rows), LOAD):
            part = rows[start : start + LOAD]
            made.add(ids=[str(slot) for slot in range(start, start + len(part))], embeddings=part)

    def client(self, folder: Path) -> Any:
        import chromadb
        from chromadb.api.shared_system_client import SharedSystemClient
        from chromadb.config import Settings

        SharedSystemClient.clear_system_cache()
        return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))

    def open(self, folder: Path) -> Any:
        return folder

    def ask(self, version: int, setting: int, k: int = K) -> Ask:
        folder = self.opened[version]
        effort: Any = {"hnsw": {"ef_search": max(setting, k)}}
        self.client(folder).get_collection("rows", embedding_function=None).modify(configuration=effort)
        rows = self.client(folder).get_collection("rows", embedding_function=None)
        return lambda query: [int(id) for id in rows.query(query_embeddings=[query], n_results=k, include=[])["ids"][0]]


class MilvusLite(Collections):
    needs = "milvus-lite"

    def write(self, rows: Vectors, folder: Path) -> None:
        from pymilvus import DataType, MilvusClient

        client = MilvusClient(str(folder / "milvus.db"))
        schema, graph = client.create_schema(), client.prepare_index_params()
        schema.add_field("pk", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.shape[1])
        graph.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 32, "efConstruction": 200})
        client.create_collection("rows", schema=schema, index_params=graph)
        for part in batches(rows):
            client.insert("rows", [{"pk": slot, "vector": vector} for slot, vector in part])
        client.flush("rows")
        client.close()

    def open(self, folder: Path) -> Any:
        from pymilvus import MilvusClient

        client = MilvusClient(str(folder / "milvus.db"))
        client.load_collection("rows")
        return client

    def ask(self, version: int, setting: int, k: int = K) -> Ask:
        client, effort = self.opened[version], {"params": {"ef": max(setting, k)}}

        def answer(query: Vectors) -> list[int]:
            hits = client.search("rows", [query.tolist()], limit=k, search_params=effort)[0]
            return [hit["pk"] for hit in hits]

        return answer


class QdrantEdge(Collections):
    """Qdrant's engine in the process."""

    needs = "qdrant-edge-py"

    def write(self, rows: Vectors, folder: Path) -> None:
        import qdrant_edge as qdrant

        graph = qdrant.HnswIndexConfig(m=32, ef_construct=200, full_scan_threshold=100, max_indexing_threads=THREADS)
        vectors = qdrant.EdgeVectorParams(size=rows.shape[1], distance=qdrant.Distance.Dot, hnsw_config=graph)
        sizes = qdrant.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=100, max_segment_size=10**8)
        shard = qdrant.EdgeShard.create(str(folder), qdrant.EdgeConfig(vectors, hnsw_config=graph, optimizers=sizes))
        for part in batches(rows):
            points = [qdrant.Point(slot, vector.tolist()) for slot, vector in part]
            shard.update(qdrant.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.close()

    def open(self, folder: Path) -> Any:
        import qdrant_edge as qdrant

        return qdrant.EdgeShard.load(str(folder))

    def ask(self, version: int, setting: int, k: int = K) -> Ask:
        import qdrant_edge as qdrant

        shard, effort = self.opened[version], qdrant.SearchParams(hnsw_ef=max(setting, k))

        def answer(query: Vectors) -> list[int]:
            nearest = qdrant.Query.Nearest(query.tolist())
            return [hit.id for hit in shard.query(qdrant.QueryRequest(query=nearest, limit=k, params=effort))]

        return answer


class QdrantLocal(Collections):
    """The local mode of Qdrant's client: in memory, so written anew each time, and exact."""

    needs = "qdrant-client"

    def load(self, story: Story, folder: Path, versions: list[int]) -> dict[str, Any]:
        from qdrant_client import QdrantClient, models

        self.client = QdrantClient(":memory:")
        space = models.VectorParams(size=story.vectors.shape[1], distance=models.Distance.DOT)
        for version in versions:
            self.client.create_collection(f"v{version}", space)
            self.client.upload_collection(f"v{version}", story.rows(version), ids=range(len(story.first)))
        return {}

    def settings(self) -> list[list[Any]]:
        return [["scan"]]

    def ask(self, version: int, setting: None, k: int = K) -> Ask:
        name, client = f"v{version}", self.client
        return lambda query: [point.id for point in client.query_points(name, query, limit=k).points]


def batches(rows: Vectors) -> Iterator[list[tuple[int, Any]]]:
    """Slots and their vectors, some at a time."""
    pairs = enumerate(rows)
    while part := list(itertools.islice(pairs, LOAD)):
        yield part


DATABASES: dict[str, Callable[[], Any]] = {
    "lance": Lance,
    "lance-rq": LanceRq,
    "chroma": Chroma,
    "qdrant-edge": QdrantEdge,
    "qdrant-local": QdrantLocal,
    "milvus-lite": MilvusLite,
}
