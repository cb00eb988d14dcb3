"""Peers that are an index alone: one built of just a version's rows, written to a file, read back, asked.

They know no versions, texts or receipts, which favours them. All are graphs with 32 neighbours (64 edges on the
lowest layer) built at effort 200, as their guides advise, and answer with one thread. `settings` are ladders of
search effort; what a ladder's first item is chosen at build time, its second is raised until recall is reached.

1. Narrow number types stand beside float32: FAISS with 8-bit codes, usearch in bfloat16 (its default), SVS in
   float16. SVS's codes of 4 and 8 bits (LVQ) refuse every processor that is not Intel's.
2. Vamana has one layer, so its degree is 64; its window is that of SVS's own example.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from vectors import Ask, K, Story, Vectors, size_of

WIDTHS = [10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256]
WIDTHS += [288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1280, 1536, 2048]
THREADS = os.cpu_count() or 1  # of builds


class Indexes:
    """One index for each version of a story, kept in a folder; subclasses say how a library builds and asks."""

    needs: str
    kinds: ClassVar[list[str]] = ["f32"]  # number types
    versions = False  # whether it keeps versions itself

    def load(self, story: Story, folder: Path, versions: list[int]) -> dict[str, Any]:
        """Builds what the folder lacks, and opens all. What each build cost."""
        costs, self.indexes = {}, {}
        for version in versions:
            for kind in self.kinds:
                place = folder / f"{version}-{kind}"
                costs[place.name] = build_once(place, lambda into: self.build(story.rows(version), kind, into))  # noqa: B023
                self.indexes[version, kind] = self.read(place, kind, story)
        return costs

    def settings(self) -> list[list[Any]]:
        """Ladders of settings, each with rising effort."""
        return [[(kind, width) for width in WIDTHS] for kind in self.kinds]

    def build(self, rows: Vectors, kind: str, folder: Path) -> None:
        raise NotImplementedError

    def read(self, folder: Path, kind: str, story: Story) -> Any:
        raise NotImplementedError

    def ask(self, version: int, setting: tuple[str, int], k: int = K) -> Ask:
        raise NotImplementedError


def build_once(place: Path, build: Any) -> dict[str, float]:
    """Runs `build` on a new folder unless the place is there; CPU and wall seconds that it took, and bytes."""
    facts = place.with_name(place.name + ".json")
    if not facts.exists():
        place.mkdir(parents=True, exist_ok=True)
        cpu, wall = time.process_time(), time.perf_counter()
        build(place)
        costs = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "bytes": size_of(place)}
        facts.write_text(json.dumps(costs))
    return json.loads(facts.read_text())


class Faiss(Indexes):
    needs, kinds = "faiss-cpu", ["f32"]

    def build(self, rows: Vectors, kind: str, folder: Path) -> None:
        import faiss

        untyped: Any = faiss  # its stubs lack some signatures
        dim, metric = rows.shape[1], faiss.METRIC_INNER_PRODUCT
        index = untyped.IndexHNSWFlat(dim, 32, metric)
        if kind == "sq8":
            index = untyped.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 32, metric)
        index.hnsw.efConstruction = 200
        with every_core():
            index.train(rows)
            index.add(rows)
        faiss.write_index(index, str(folder / "index"))

    def read(self, folder: Path, kind: str, story: Story) -> Any:
        import faiss

        return faiss.read_index(str(folder / "index"))

    def ask(self, version: int, setting: tuple[str, int], k: int = K) -> Ask:
        import faiss

        kind, width = setting
        untyped: Any = faiss  # its stubs lack some parameters
        index, effort = self.indexes[version, kind], untyped.SearchParametersHNSW(efSearch=max(width, k))
        return lambda query: index.search(query[None], k, params=effort)[1][0].tolist()


class FaissSq8(Faiss):
    kinds: ClassVar = ["sq8"]


class Hnswlib(Indexes):
    needs = "hnswlib"

    def build(self, rows: Vectors, kind: str, folder: Path) -> None:
        import hnswlib

        index = hnswlib.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=32, ef_construction=200, random_seed=0)
        index.add_items(rows, num_threads=THREADS)
        index.save_index(str(folder / "index"))

    def read(self, folder: Path, kind: str, story: Story) -> Any:
        import hnswlib

        index = hnswlib.Index("ip", story.vectors.shape[1])
        index.load_index(str(folder / "index"))
        index.set_num_threads(1)
        return index

    def ask(self, version: int, setting: tuple[str, int], k: int = K) -> Ask:
        index, width = self.indexes[version, setting[0]], max(setting[1], k)

        def answer(query: Vectors) -> list[int]:
            index.set_ef(width)
            return index.knn_query(query, k)[0][0].tolist()

        return answer


class Usearch(Indexes):
    needs = "usearch"
    kinds: ClassVar = ["bf16"]

    def build(self, rows: Vectors, kind: str, folder: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=rows.shape[1], metric="ip", dtype=kind, connectivity=32, expansion_add=200)
        index.add(np.arange(len(rows)), rows, threads=THREADS)
        index.save(str(folder / "index"))

    def read(self, folder: Path, kind: str, story: Story) -> Any:
        from usearch.index import Index

        return Index.restore(str(folder / "index"))

    def ask(self, version: int, setting: tuple[str, int], k: int = K) -> Ask:
        index, width = self.indexes[version, setting[0]], max(setting[1], k)

        def answer(query: Vectors) -> list[int]:
            index.expansion_search = width
            return index.search(query, k, threads=1).keys.tolist()

        return answer


class UsearchF32(Usearch):
    kinds: ClassVar = ["f32"]


class Svs(Indexes):
    """Vamana, in float32. Its codes (LVQ, LeanVec) run on Intel's processors alone."""

    needs = "scalable-vs"

    def build(self, rows: Vectors, kind: str, folder: Path) -> None:
        import svs

        effort = svs.VamanaBuildParameters(alpha=0.95, graph_max_degree=64, window_size=128)
        data = rows.astype(np.float16) if kind == "f16" else rows
        index = svs.Vamana.build(effort, data, svs.DistanceType.MIP, num_threads=THREADS)
        index.save(*(str(folder / part) for part in ("config", "graph", "data")))

    def read(self, folder: Path, kind: str, story: Story) -> Any:
        import svs

        data = svs.VectorDataLoader(str(folder / "data"))
        graph = svs.GraphLoader(str(folder / "graph"))
        return svs.Vamana(str(folder / "config"), graph, data, svs.DistanceType.MIP, num_threads=1)

    def ask(self, version: int, setting: tuple[str, int], k: int = K) -> Ask:
        index, width = self.indexes[version, setting[0]], max(setting[1], k)

        def answer(query: Vectors) -> list[int]:
            index.search_window_size = width
            return index.search(query[None], k)[0][0].tolist()

        return answer


class SvsF16(Svs):
    kinds: ClassVar = ["f16"]


@contextmanager
def every_core() -> Iterator[None]:
    """FAISS with all cores, for builds."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(THREADS)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


INDEXES: dict[str, type[Indexes]] = {
    "faiss": Faiss,
    "faiss-sq8": FaissSq8,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "usearch-f32": UsearchF32,
    "svs": Svs,
    "svs-f16": SvsF16,
}
