"""The shared index: it only proposes, never a dead row, and is not believed where it cannot know."""

from __future__ import annotations

import json
import math
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
from generated import QUERIES, ROWS, clustered, part
from helpers import open_on

import vecver
from vecver.errors import BackendError, IntegrityError
from vecver.index import bits, faiss, is_exact, normalised, search
from vecver.index.faiss import costs, proposing
from vecver.model import Json, Metric, Part, Vectors
from vecver.store import LocalStore, MemoryStore, Store

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


Built = tuple[bytes, Json]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(clustered("cosine")[0], "cosine", tmp_path_factory.mktemp("faiss"))


@pytest.fixture(scope="module")
def whole(built: Built) -> Part:
    return viewed(part(clustered("cosine")[0]), built)


def build(rows: Vectors, metric: Metric, folder: Path, **how: Any) -> Built:
    facts = faiss.build(rows, metric, folder / "index", **how)
    return (folder / "index").read_bytes(), facts


def viewed(one: Part, built: Built) -> Part:
    """The part with an index."""
    return replace(one, index=faiss.View(faiss.load(memoryview(built[0]), built[1]), None, one.live_count))


def masked(whole: Part, live: Flags) -> Part:
    bits, count = np.packbits(live, bitorder="little"), int(live.sum())
    return replace(whole, live=bits, live_count=count, index=faiss.View(whole.index.index, bits, count))


def found(parts: list[Part], queries: Vectors, k: int = 10, exact: bool = False) -> list[list[tuple[int, str]]]:
    return [[(hit.row, bits(hit.score)) for hit in hits] for hits in search(parts, queries, k, "cosine", exact=exact)]


def recall(got: list[Any], true: list[Any]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(got, true, strict=True)]))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.1])
@pytest.mark.parametrize("k", [1, 10, 50])
def test_recall_and_no_dead_row_at_any_live_share(whole: Part, share: float, k: int) -> None:
    live = np.random.default_rng(1).random(ROWS) < share
    one, queries = masked(whole, live), clustered("cosine")[1]
    true = [[row for row, _ in rows] for rows in found([one], queries, k, exact=True)]
    proposed = faiss.candidates(one, queries, k)
    assert all(rows is not None and live[rows].all() and (np.diff(rows) > 0).all() for rows in proposed)
    assert recall(proposed, true) >= 0.95
    assert recall([[row for row, _ in rows] for rows in found([one], queries, k)], true) >= 0.95


def test_recall_where_rows_have_no_structure(tmp_path: Path) -> None:
    """Gaussian rows: codes and lists tell little of them, so the measured effort is large; recall holds."""
    rng = np.random.default_rng(5)
    rows, queries = (normalised(rng.standard_normal((n, 48), np.float32), "cosine") for n in (10_000, 100))
    one = viewed(part(rows), build(rows, "cosine", tmp_path))
    true = [[row for row, _ in rows] for rows in found([one], queries, exact=True)]
    assert recall(faiss.candidates(one, queries, 10), true) >= 0.95
    assert one.index.width(10) > 300


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_long_vectors_spoil_the_codes_of_all_and_that_is_noticed(metric: Metric, tmp_path: Path) -> None:
    rows, queries, _ = clustered(metric)
    rows = rows.copy()
    rows[17:22] *= 1000
    one = viewed(part(rows), build(rows, metric, tmp_path))
    assert not faiss.proposes(one, 10), "so much effort that a scan is cheaper"
    one = masked(one, np.arange(ROWS) > 22)
    true = [[hit.row for hit in hits] for hits in search([one], queries, 10, metric, exact=True)]
    assert recall([[] if rows is None else rows for rows in faiss.candidates(one, queries, 10)], true) >= 0.95


@pytest.mark.parametrize("value", [1e19, 3e38])
def test_numbers_that_would_end_faiss_are_not_given_to_it(store: Store, small: None, value: float) -> None:
    docs = open_on(store).dataset("d")
    rows = clustered("l2")[0][:5000].copy()
    rows[7] = value if value < 1e30 else 0
    rows[7, 0] = value
    docs.ingest(({"id": str(i), "text": "x", "vector": row} for i, row in enumerate(rows)), space="s", metric="l2")
    assert docs.search(rows[9]).receipt["engine"]["name"] == "exact" and docs.search(rows[9], k=1)[0].document == "9"


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_recall_under_the_other_metrics(metric: Metric, tmp_path: Path) -> None:
    rows, queries, _ = clustered(metric)
    rows = rows[:9000] * np.random.default_rng(2).uniform(0.5, 1.5, (9000, 1)).astype(np.float32)
    one = viewed(part(rows), build(rows, metric, tmp_path))
    true = [[hit.row for hit in hits] for hits in search([one], queries, 10, metric, exact=True)]
    assert recall(faiss.candidates(one, queries, 10), true) >= 0.95


def test_where_rows_died_together_more_lists_are_read(whole: Part) -> None:
    """80 of 100 clusters die. Queries from there find their far neighbours as surely as the others find theirs.

    The road not taken fails here: as many lists for every query, by the live share of the whole.
    """
    queries, cluster = clustered("cosine")[1:]
    one = masked(whole, cluster[:ROWS] >= 80)
    there = cluster[ROWS:] < 80
    got, true = found([one], queries), found([one], queries, exact=True)
    pairs = [({row for row, _ in a}, {row for row, _ in b}) for a, b in zip(got, true, strict=True)]
    shares = np.array([len(a & b) / 10 for a, b in pairs])
    assert shares[there].mean() >= 0.95 and shares[~there].mean() >= 0.95
    assert found([one], queries[there]) == [got[i] for i in np.flatnonzero(there)], "whoever else asks"


def test_where_nothing_lives_near_a_query_it_is_scanned(whole: Part) -> None:
    rows, queries, _ = clustered("cosine")
    far = np.argsort(rows @ queries[0])[:300]  # the rows least like the query
    live = np.zeros(ROWS, bool)
    live[far] = True
    one = masked(whole, live)
    assert faiss.candidates(one, queries[:1], 10) == [None]
    assert found([one], queries[:1]) == found([one], queries[:1], exact=True)


def test_an_index_grows_by_rows(tmp_path: Path) -> None:
    rows, queries, _ = clustered("cosine")
    small = viewed(part(rows[:6000]), build(rows[:6000], "cosine", tmp_path)).index.index
    assert faiss.grows(small, ROWS) and not faiss.grows(small, 6000) and not faiss.grows(small, 12_001)
    added: list[int] = []
    grown = build(
        rows, "cosine", tmp_path, grown=small, progress=lambda unit, count, total=None, /: added.append(count)
    )
    assert (small.count, grown[1]["lists"], sum(added)) == (6000, small.list_count, 4000)
    one = viewed(part(rows), grown)
    assert (one.index.index.lists[:6000] == small.lists).all(), "rows that were there stay where they were"
    true = [[row for row, _ in rows] for rows in found([one], queries, exact=True)]
    assert recall(faiss.candidates(one, queries, 10), true) >= 0.95


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
        assert library.omp_get_max_threads() == threads, "a search, on one thread, leaves the caller's setting"
    library.omp_set_num_threads(before)
    exact = found([one], queries, exact=True)
    same = [a for a, b in zip(together, exact, strict=True) if [row for row, _ in a] == [row for row, _ in b]]
    assert len(same) >= 90 and all(rows in exact for rows in same), "the same rows have the same score bits"


def test_top_k_is_a_prefix_within_one_class(whole: Part) -> None:
    queries = clustered("cosine")[1]
    longest = found([whole], queries, 40)
    for k in (11, 17, 39):
        assert whole.index.width(k) == whole.index.width(40)
        assert found([whole], queries, k) == [rows[:k] for rows in longest]


def test_several_parts_one_with_an_index(whole: Part) -> None:
    other, queries = part(clustered("cosine")[1], seed=9), clustered("cosine")[1]
    answers = search([other, whole], queries, 10, "cosine", exact=False)
    assert [(hits[0].part, hits[0].row) for hits in answers] == [(0, i) for i in range(QUERIES)]
    assert {hit.part for hits in answers for hit in hits} == {0, 1}
    true = search([other, whole], queries, 10, "cosine", exact=True)
    assert recall(answers, true) >= 0.95


def test_effort_by_hand() -> None:
    effort = faiss.Effort((10.0, 20.0, 40.0, 80.0), (50, 100, 300, 1000))
    assert [effort.width_for(k) for k in (1, 10, 11, 640, 641, 1280)] == [50, 50, 100, 1000, 1002, 2000]
    assert effort.probes_for([1, 10, 20, 40, 640, 2560]).round(6).tolist() == [10, 10, 14.142136, 20, 80, 160]


def test_when_the_index_proposes(whole: Part) -> None:
    """The cost rule by hand, for 4 dimensions (one part, half a byte a code), 100 rows a list."""

    class Known:
        count, list_count = 100_000, 1000
        effort = faiss.Effort((10.0, 20.0, 40.0, 80.0), (50, 100, 300, 1000))

    def of(dim: int, live: int) -> Part:
        view = faiss.View(Known(), None, live)  # type: ignore[arg-type]
        return replace(whole, vectors=np.zeros((1, dim), np.float32), live_count=live, index=view)

    # all live: 60,000 + 10 x 350 + 1,000 rows x 0.5 bytes x 0.07 + 50 x 150 = 71,035 ns; scan 20,000 + live x dim / 2
    assert faiss.proposes(of(4, 100_000), 10)
    # a hundredth lives: as for 1,000 rows, 100 lists: 60,000 + 35,000 + 350 + 7,500; a scan of 1,000 x 4 takes 22,000
    assert not faiss.proposes(of(4, 1000), 10)
    assert not faiss.proposes(replace(of(4, 100_000), index=None), 10)
    assert faiss.proposes(of(768, 1000), 10), "longer vectors take longer to scan"


def test_a_sparse_mask_makes_an_index_dearer() -> None:
    """By hand: 45 lists of 4,500 codes of 5 bytes for 50 candidates; a scan of 5,000 x 40 takes 80,000 ns."""
    all_rows = part(np.broadcast_to(np.zeros(40, np.float32), (100_000, 40)))
    assert all_rows.live is None, "so FAISS looks no row up"
    assert round(costs.reading_cost(all_rows, 45, 4500, 50)) == 15_750 + 1_575 + 7_500
    masked = replace(all_rows, live=np.full(12_500, 255, np.uint8))
    expected = 15_750 + 1_575 + round(50 * (1 + math.log(90)) * 15) + 7_500
    assert round(costs.reading_cost(masked, 45, 4500, 50)) == expected
    sparse = replace(masked, live_count=5_000)  # 1,000 codes until 50 are live, and 1.5 times as many behind them
    expected = 15_750 + 1_575 + round(1000 * (1 + math.log(4.5)) * 15) + 7_500
    assert round(costs.reading_cost(sparse, 45, 4500, 50)) == expected == 62_386
    assert expected + 60_000 > costs.scan_cost(sparse) == 80_000


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_missing_lists_change_no_candidate(metric: Metric, tmp_path: Path) -> None:
    """Searches name as many lists as there are, so that they share their parameters; FAISS skips those numbered -1."""
    rows = clustered(metric)[0]
    view = viewed(part(rows), build(rows, metric, tmp_path)).index
    exactly = faiss.View(view.index, None, len(rows))
    exactly.__dict__["slots"] = None
    rng = np.random.default_rng(5)
    for query in rows[:20]:
        scores = proposing._centroid_scores(view.index, query)
        lists = np.sort(rng.choice(view.index.list_count, rng.integers(1, view.index.list_count), replace=False))
        padded, plain = (proposing._read_lists(one, query, lists, scores, 50) for one in (view, exactly))
        assert padded[0].tolist() == plain[0].tolist() and padded[1].tobytes() == plain[1].tobytes()


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_what_faiss_cannot_read_is_an_integrity_error(built: Built, cut: int) -> None:
    with pytest.raises(IntegrityError) as caught:
        faiss.load(memoryview(built[0][:cut]), built[1])
    assert caught.value.code == "index_damaged" and "optimize" in caught.value.hint


def test_an_index_of_a_newer_faiss_is_not_loaded(built: Built) -> None:
    with pytest.raises(IntegrityError) as caught:
        faiss.load(memoryview(built[0]), {**built[1], "faiss": "99.0.1"})
    assert caught.value.code == "index_version" and "99.0.1" in caught.value.message
    assert faiss.load(memoryview(built[0]), {**built[1], "faiss": "1.9.0"}).count == ROWS, "an older one is read"


@pytest.mark.parametrize("build", [faiss.build, faiss.build_flat])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_index_that_a_full_disk_cut_off_is_told(build: Any) -> None:
    """FAISS itself only prints it when the last bytes fail as the file is closed."""
    with pytest.raises(BackendError) as caught:
        build(clustered("cosine")[0], "cosine", Path("/dev/full"))
    assert caught.value.code == "index_not_written" and caught.value.hint


# -- other processes, other instructions --------------------------------------------------------

CHILD = """
import hashlib, json, sys
import faiss, numpy as np
sys.path[:0] = ["tests/support", "tests/unit/index"]
from generated import clustered, part
from pathlib import Path
from test_faiss import found, viewed
rows, queries, _ = clustered("cosine")
one = viewed(part(rows), (Path(sys.argv[1]).read_bytes(), json.loads(sys.argv[2])))
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


def test_same_bits_at_every_simd_level(built: Built, tmp_path: Path) -> None:
    """Raw float32 scores differ between these processes; ids and score bits of answers do not."""
    (tmp_path / "index").write_bytes(built[0])
    outcomes = []
    for level in ({}, *levels()):
        environment = {**os.environ, **level, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", CHILD, str(tmp_path / "index"), json.dumps(built[1])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        outcomes.append(json.loads(done.stdout))
    assert all(one["exact"] == outcomes[0]["exact"] for one in outcomes)
    assert len({one["faiss"] for one in outcomes}) > 1, "without this the test could not fail"
    true = {row: score for row, score in outcomes[0]["exact"][0]}
    for one in outcomes:
        assert (
            recall([[row for row, _ in rows] for rows in one["index"]], [[r for r, _ in e] for e in one["exact"]])
            >= 0.95
        )
        assert all(true[row] == score for row, score in one["index"][0] if row in true)
        agree = [a == b for a, b in zip(one["index"], outcomes[0]["index"], strict=True)]
        assert np.mean(agree) >= 0.95, "equal wherever the candidates hold the same best rows"


# -- in a repository ----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 5000)
    monkeypatch.setattr(faiss.costs, "_PROBE", 0)  # so that an index is the cheaper way even here


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
    queries: Any = clustered("cosine")[1]
    assert engine(docs) == f"faiss {faiss.SPEC}" and engine(docs, exact=True) == "exact"
    got, true = docs.search(queries), docs.search(queries, exact=True)
    pairs = [({hit.document for hit in a}, {hit.document for hit in b}) for a, b in zip(got, true, strict=True)]
    assert np.mean([len(a & b) / 10 for a, b in pairs]) >= 0.95
    bits_of = {hit.key: hit.score_bits for hit in true[0]}
    assert all(bits_of.get(hit.key, hit.score_bits) == hit.score_bits for hit in got[0])
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
    assert caught.value.code == "index_damaged" and "optimize" in caught.value.hint
    assert docs.search(query, exact=True).hits == true.hits, "an exact search needs no index"
    store.delete(name + ".json")
    assert docs.search(query).hits == true.hits


def test_stores_open_the_index_in_their_own_way(tmp_path: Path, small: None) -> None:
    queries: Any = clustered("cosine")[1]
    local, memory = ingest(LocalStore(tmp_path / "kb")), ingest(MemoryStore())
    for docs in (local, memory):
        assert engine(docs) == f"faiss {faiss.SPEC}"
    pairs = zip(local.search(queries), memory.search(queries), strict=True)
    assert np.mean([[h.key for h in a] == [h.key for h in b] for a, b in pairs]) >= 0.9, "two builds, two graphs"
