"""The shared index: it only proposes, never a dead row, and is not believed where it cannot know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import open_on
from test_exact import part

import vecver
from vecver.errors import IntegrityError
from vecver.index import bits, faiss, is_exact, normalised, search
from vecver.model import Metric, Part, Vectors
from vecver.store import LocalStore, MemoryStore, Store

ROWS, DIM, QUERIES = 10_000, 32, 100
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def clustered(metric: Metric, clusters: int = 100, spread: float = 0.6) -> tuple[Vectors, Vectors, Numbers]:
    """Rows, queries, and the cluster of each row and then of each query."""
    rng = np.random.default_rng(11)
    cluster = rng.integers(clusters, size=ROWS + QUERIES)
    centres = rng.standard_normal((clusters, DIM)) / np.sqrt(DIM)
    points = centres[cluster] + rng.standard_normal((ROWS + QUERIES, DIM)) * spread / np.sqrt(DIM)
    vectors = normalised(points.astype(np.float32), metric)
    return vectors[:ROWS], vectors[ROWS:], cluster


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("faiss") / "index"
    faiss.build(clustered("cosine")[0], "cosine", file)
    return file


@pytest.fixture(scope="module")
def whole(built: Path) -> Part:
    return replace(part(clustered("cosine")[0]), index=faiss.load(built))


def masked(whole: Part, live: Flags) -> Part:
    return replace(whole, live=np.packbits(live, bitorder="little"), live_count=int(live.sum()))


def found(parts: list[Part], queries: Vectors, k: int = 10, exact: bool = False) -> list[list[tuple[int, str]]]:
    return [[(hit.row, bits(hit.score)) for hit in hits] for hits in search(parts, queries, k, "cosine", exact=exact)]


def recall(got: list[Any], true: list[Any]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(got, true, strict=True)]))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.1])
def test_recall_and_no_dead_row_at_any_live_share(whole: Part, share: float) -> None:
    live = np.random.default_rng(1).random(ROWS) < share
    one, queries = masked(whole, live), clustered("cosine")[1]
    true = [[row for row, _ in rows] for rows in found([one], queries, exact=True)]
    proposed = faiss.candidates(one, queries, 10)
    assert all(rows is not None and live[rows].all() and (np.diff(rows) > 0).all() for rows in proposed)
    assert recall(proposed, true) >= 0.98
    assert recall([[row for row, _ in rows] for rows in found([one], queries)], true) >= 0.98


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_recall_under_the_other_metrics(metric: Metric, tmp_path: Path) -> None:
    rows, queries, _ = clustered(metric)
    rows = rows[:4000] * np.random.default_rng(2).uniform(0.5, 1.5, (4000, 1)).astype(np.float32)
    faiss.build(rows, metric, tmp_path / "index")
    one = replace(part(rows), index=faiss.load(tmp_path / "index"))
    assert faiss.proposes(one, 10)
    answers = [search([one], queries, 10, metric, exact=exact) for exact in (False, True)]
    rows_of = [[[hit.row for hit in hits] for hits in answer] for answer in answers]
    assert recall(*rows_of) >= 0.98


def test_a_dead_neighbourhood_is_scanned(tmp_path: Path) -> None:
    """Half of 40 tight clusters dies. Queries that lie there find the true top 10; the others ask the index.

    The road not taken fails here: an HNSW search under the mask answers with far rows, and nothing tells.
    """
    import faiss as library

    rows, queries, cluster = clustered("cosine", 40, 0.3)
    faiss.build(rows, "cosine", tmp_path / "index")
    one = masked(replace(part(rows), index=faiss.load(tmp_path / "index")), cluster[:ROWS] >= 20)
    there = np.flatnonzero(cluster[ROWS:] < 20)
    proposed = faiss.candidates(one, queries, 10)
    assert {i for i, proposal in enumerate(proposed) if proposal is None} == set(there.tolist())
    got, true = found([one], queries), found([one], queries, exact=True)
    assert recall(got, true) >= 0.98 and [got[i] for i in there] == [true[i] for i in there]
    assert found([one], queries[there]) == [got[i] for i in there], "whoever else asks"
    how = library.SearchParametersHNSW(efSearch=256, sel=library.IDSelectorBitmap(one.live))  # type: ignore[attr-defined]
    under_mask = one.index.search(queries[there], 256, params=how)[1].tolist()
    assert recall(under_mask, [[row for row, _ in true[i]] for i in there]) < 0.8


def test_same_bits_for_any_batch_and_threads(whole: Part) -> None:
    import faiss as library

    live = np.random.default_rng(3).random(ROWS) < 0.7
    one, queries = masked(whole, live), clustered("cosine")[1]
    assert not is_exact([one], 10, exact=False)
    together = found([one], queries)
    assert [found([one], query[None, :])[0] for query in queries] == together
    assert [rows for i in range(0, QUERIES, 7) for rows in found([one], queries[i : i + 7])] == together
    before = library.omp_get_max_threads()
    for threads in (1, 2, 3):
        library.omp_set_num_threads(threads)
        assert found([one], queries) == together
    library.omp_set_num_threads(before)
    exact = found([one], queries, exact=True)
    same = [a for a, b in zip(together, exact, strict=True) if [row for row, _ in a] == [row for row, _ in b]]
    assert len(same) >= 90 and all(rows in exact for rows in same), "the same rows have the same score bits"


def test_top_k_is_a_prefix_within_one_width(whole: Part) -> None:
    queries = clustered("cosine")[1]
    longest = found([whole], queries, 32)
    for k in (1, 10, 25):
        assert faiss.width(whole, k) == faiss.width(whole, 32)
        assert found([whole], queries, k) == [rows[:k] for rows in longest]


def test_several_parts_one_with_an_index(whole: Part) -> None:
    other, queries = part(clustered("cosine")[1], seed=9), clustered("cosine")[1]
    answers = search([other, whole], queries, 10, "cosine", exact=False)
    assert [(hits[0].part, hits[0].row) for hits in answers] == [(0, i) for i in range(QUERIES)]
    assert {hit.part for hits in answers for hit in hits} == {0, 1}
    true = search([other, whole], queries, 10, "cosine", exact=True)
    assert recall(answers, true) >= 0.98


def test_when_the_index_proposes(whole: Part) -> None:
    """By hand: 128 live rows are looked for; passing one row by costs as much as scanning 16."""

    def of(rows: int, live: int) -> Part:
        return replace(whole, vectors=np.zeros((rows, 1), np.float32), live_count=live)

    assert [faiss.width(of(1000, 500), k) for k in (1, 32, 33, 64, 65)] == [256, 256, 512, 512, 1024]
    assert faiss.proposes(of(2048, 2048), 10) and not faiss.proposes(of(2047, 2047), 10)
    assert faiss.proposes(of(8192, 4096), 10) and not faiss.proposes(of(8192, 4000), 10)
    assert not faiss.proposes(of(2048, 2048), 33) and not faiss.proposes(of(2048, 0), 10)
    assert not faiss.proposes(replace(of(9999, 9999), index=None), 10)


def test_an_index_in_memory_answers_as_the_mapped_file(whole: Part, built: Path) -> None:
    queries = clustered("cosine")[1]
    in_memory = replace(whole, index=faiss.load(memoryview(built.read_bytes())))
    assert found([in_memory], queries) == found([whole], queries)


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_what_faiss_cannot_read_is_an_integrity_error(built: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut").write_bytes(built.read_bytes()[:cut])
    for source in (tmp_path / "cut", memoryview((tmp_path / "cut").read_bytes())):
        with pytest.raises(IntegrityError) as caught:
            faiss.load(source)
        assert caught.value.code == "index_damaged" and caught.value.hint


# -- other processes, other instructions --------------------------------------------------------

CHILD = """
import hashlib, json, sys
import faiss, numpy as np
sys.path.insert(0, "tests")
from test_faiss import clustered, found, part
from dataclasses import replace
from pathlib import Path
from vecver.index import faiss as shared
rows, queries, _ = clustered("cosine")
one = replace(part(rows), index=shared.load(Path(sys.argv[1])))
flat = faiss.IndexFlatIP(rows.shape[1]); flat.add(rows)
raw = [flat.search(queries, 10)[0], queries @ rows.T]
print(json.dumps({"exact": found([one], queries, exact=True), "index": found([one], queries),
    "faiss": hashlib.sha256(raw[0].tobytes()).hexdigest(), "numpy": hashlib.sha256(raw[1].tobytes()).hexdigest()}))
"""


def levels() -> Iterator[dict[str, str]]:
    """Environments that make FAISS and numpy's BLAS take other instructions or threads."""
    import faiss as library

    yield {"FAISS_SIMD_LEVEL": "NONE", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    yield {"OPENBLAS_CORETYPE": "Nehalem"}  # numpy's wheels choose a kernel by this; elsewhere it does nothing
    if library.SIMDConfig.get_level() >= library.SIMDLevel_AVX2:
        yield {"FAISS_SIMD_LEVEL": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}


def test_same_bits_at_every_simd_level(built: Path) -> None:
    """Raw float32 scores differ between these processes; ids and score bits of answers do not."""
    outcomes = []
    for level in ({}, *levels()):
        environment = {**os.environ, **level, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", CHILD, str(built)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        outcomes.append(json.loads(done.stdout))
    assert all(one["exact"] == outcomes[0]["exact"] for one in outcomes)
    assert len({one["faiss"] for one in outcomes}) > 1, "without this the test could not fail"
    true = {row: score for row, score in outcomes[0]["exact"][0]}
    for one in outcomes:
        assert (
            recall([[row for row, _ in rows] for rows in one["index"]], [[r for r, _ in e] for e in one["exact"]])
            >= 0.98
        )
        assert all(true[row] == score for row, score in one["index"][0] if row in true)
        agree = [a == b for a, b in zip(one["index"], outcomes[0]["index"], strict=True)]
        assert np.mean(agree) >= 0.95, "equal wherever the candidates hold the same best rows"


# -- in a repository ----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "INDEX_ROWS", 5000)


def ingest(store: Store, count: int = 5000) -> vecver.Dataset:
    docs = open_on(store).dataset("d")
    rows = clustered("cosine")[0][:count]
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(rows)), space="test")
    return docs


def engine(docs: vecver.Dataset, **how: Any) -> str:
    return str(docs.search(clustered("cosine")[1][0], **how).receipt["engine"]["name"])


def index_name(store: Store) -> str:
    (name,) = [name for name in store.list("segments/") if name.endswith(faiss.SPEC)]
    return name


def test_an_ingest_builds_and_searches_share_the_index(store: Store, small: None) -> None:
    docs = ingest(store)
    queries = clustered("cosine")[1]
    assert engine(docs) == f"faiss {faiss.SPEC}" and engine(docs, exact=True) == "exact"
    got, true = docs.search(queries), docs.search(queries, exact=True)
    pairs = [({hit.document for hit in a}, {hit.document for hit in b}) for a, b in zip(got, true, strict=True)]
    assert np.mean([len(a & b) / 10 for a, b in pairs]) >= 0.98
    assert [hit.score_bits for hit in got[0]] == [hit.score_bits for hit in true[0]]
    docs.ingest([{"id": "0", "text": "new", "vector": queries[0]}], space="test", keep_missing=True)
    assert docs.search(queries[0])[0].document == "0" and engine(docs) == f"faiss {faiss.SPEC}"
    assert docs.search(queries[0], at="main~1").receipt["hits"] == got[0].receipt["hits"]


def test_a_replay_before_the_first_search_does_not_hide_the_index(store: Store, small: None) -> None:
    receipt = ingest(store).search(clustered("cosine")[1][0], exact=True).receipt
    again = open_on(store)
    assert vecver.replay(again, receipt).identical
    assert engine(again.dataset("d")) == f"faiss {faiss.SPEC}"


def test_without_its_index_a_segment_is_scanned(store: Store, small: None) -> None:
    ingest(store)
    store.delete(index_name(store) + ".json")
    assert engine(open_on(store).dataset("d")) == "exact"


def test_a_damaged_index_is_never_loaded(store: Store, small: None) -> None:
    query = clustered("cosine")[1][0]
    true = ingest(store).search(query, exact=True)
    name = index_name(store)
    content = bytearray(store.get(name))
    content[len(content) // 2] ^= 1
    store.put(name, bytes(content))
    docs = open_on(store).dataset("d")
    with pytest.raises(IntegrityError) as caught:
        docs.search(query)
    assert caught.value.code == "index_damaged" and ".json" in caught.value.hint
    assert docs.search(query, exact=True).hits == true.hits, "an exact search needs no index"
    store.delete(name + ".json")  # what the hint says
    assert docs.search(query).hits == true.hits


def test_stores_open_the_index_in_their_own_way(tmp_path: Path, small: None) -> None:
    queries = clustered("cosine")[1]
    local, memory = ingest(LocalStore(tmp_path / "kb")), ingest(MemoryStore())
    for docs in (local, memory):
        assert engine(docs) == f"faiss {faiss.SPEC}"
    pairs = zip(local.search(queries), memory.search(queries), strict=True)
    assert np.mean([[h.key for h in a] == [h.key for h in b] for a, b in pairs]) >= 0.9, "two builds, two graphs"
