"""Effort: each query looks as far as it must; questions far from all rows find their best as surely as near ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import open_on
from inside import versions_of
from test_exact import part

from vecver.index import faiss, normalised, search
from vecver.index.faiss import calibration, proposing
from vecver.index.faiss.effort import Effort, Line, Reach, class_of, first_lists
from vecver.model import Json, Metric, Part, Vectors
from vecver.store import Store

ROWS, DIM, EACH = 12_000, 96, 60
Flags = npt.NDArray[np.bool_]


def texts_like(count: int, seed: int) -> Vectors:
    """Rows as a text model gives them: topics in few directions, subtopics, words of their own, lengths that differ."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(1)
    basis = world.standard_normal((24, DIM))
    topics = world.standard_normal((60, 24)) @ basis / 5
    topic = rng.integers(60, size=count)
    inside = rng.standard_normal((count, 24)) @ basis / 5 * rng.uniform(0.3, 1.5, (count, 1))
    own = rng.standard_normal((count, DIM)) * rng.uniform(0.3, 1.2, (count, 1))
    return (topics[topic] + inside + own).astype(np.float32)


def questions() -> dict[str, Vectors]:
    """Kinds of queries from near to far, none of which calibration makes."""
    rng, other = np.random.default_rng(7), np.random.default_rng(8)
    held_out = texts_like(EACH, 2)
    elsewhere = other.standard_normal((EACH, 6)) @ other.standard_normal((6, DIM)) * 2
    terse = texts_like(EACH, 3) * rng.binomial(1, 0.3, (EACH, DIM))
    return {
        "held out": held_out,
        "between two": (texts_like(EACH, 4) + texts_like(EACH, 5)) / np.float32(2),
        "terse": terse.astype(np.float32),
        "half elsewhere": (held_out + elsewhere / 2).astype(np.float32),
        "elsewhere": elsewhere.astype(np.float32),
        "anywhere": rng.standard_normal((EACH, DIM)).astype(np.float32),
    }


Built = tuple[Vectors, bytes, Json]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build("cosine", tmp_path_factory.mktemp("effort"))


def build(metric: Metric, folder: Path) -> Built:
    rows = normalised(texts_like(ROWS, 0), metric)
    facts = faiss.build(rows, metric, folder / "index")
    return rows, (folder / "index").read_bytes(), facts


def viewed(built: Built, live: Flags | None = None) -> Part:
    rows, content, facts = built
    one, index = part(rows), faiss.load(memoryview(content), facts)
    if live is None:
        return replace(one, index=faiss.View(index, None, ROWS))
    bits, count = np.packbits(live, bitorder="little"), int(live.sum())
    return replace(one, live=bits, live_count=count, index=faiss.View(index, bits, count))


def shares(one: Part, queries: Vectors, k: int, metric: Metric = "cosine") -> npt.NDArray[np.float64]:
    """The share of the true `k` that each query finds."""
    queries = normalised(queries, metric)
    true = [{hit.row for hit in hits} for hits in search([one], queries, k, metric, exact=True)]
    found = faiss.candidates(one, queries, k)
    pairs = zip(true, found, strict=True)
    return np.array([1.0 if rows is None else len(best & set(rows.tolist())) / len(best) for best, rows in pairs])


def masks() -> dict[str, Flags | None]:
    rng = np.random.default_rng(9)
    rows = normalised(texts_like(ROWS, 0), "cosine")
    near = rows @ rows[17]
    return {"all": None, "scattered": rng.random(ROWS) < 0.3, "together": near < np.quantile(near, 0.5)}


@pytest.mark.parametrize("mask", ["all", "scattered", "together"])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_every_kind_of_question_finds_its_best(built: Built, mask: str, k: int) -> None:
    """With one effort for all queries, measured on the rows, the farther kinds found 0.55 to 0.9 of their ten."""
    one = viewed(built, masks()[mask])
    found = {kind: shares(one, queries, k) for kind, queries in questions().items()}
    assert min(share.mean() for share in found.values()) >= 0.95, {kind: share.mean() for kind, share in found.items()}
    if k > 1:
        assert np.mean(np.concatenate(list(found.values())) < 0.8) <= 0.01


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_the_other_metrics(metric: Metric, tmp_path: Path) -> None:
    one = viewed(build(metric, tmp_path))
    found = [shares(one, queries, 10, metric) for queries in questions().values()]
    assert min(share.mean() for share in found) >= 0.95 and np.mean(np.concatenate(found) < 0.8) <= 0.01


def test_near_queries_read_less_than_far_ones(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    one, read = viewed(built), list[int]()
    original = proposing._read_lists

    def counted(view: Any, query: Any, lists: Any, *rest: Any) -> Any:
        read.append(len(lists))
        return original(view, query, lists, *rest)

    monkeypatch.setattr(proposing, "_read_lists", counted)

    def lists_of(queries: Vectors) -> float:
        read.clear()
        faiss.candidates(one, normalised(queries, "cosine"), 10)
        return sum(read) / len(queries)

    assert lists_of(one.vectors[:EACH]) < 0.7 * lists_of(questions()["anywhere"])


def test_the_company_does_not_matter(built: Built) -> None:
    one, queries = viewed(built), normalised(np.concatenate(list(questions().values())), "cosine")
    together = faiss.candidates(one, queries, 10)
    alone = [faiss.candidates(one, query[None, :], 10)[0] for query in queries]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))  # type: ignore[arg-type]


def test_same_rows_same_effort(built: Built, tmp_path: Path) -> None:
    import faiss as library

    before = library.omp_get_max_threads()
    try:
        for threads in (1, 3):
            library.omp_set_num_threads(threads)
            assert build("cosine", tmp_path)[1:] == built[1:]
    finally:
        library.omp_set_num_threads(before)


@pytest.mark.parametrize("query", [np.zeros(DIM), np.full(DIM, 3e38), np.full(DIM, 1e-38)])
def test_queries_at_the_ends_of_float32(built: Built, query: Any) -> None:
    one, asked = viewed(built), query.astype(np.float32)[None, :]
    got, true = (search([one], asked, 10, "ip", exact=exact)[0] for exact in (False, True))
    assert [hit.score for hit in got] == [hit.score for hit in true]


# -- by hand ------------------------------------------------------------------------------------


def test_a_line_by_hand() -> None:
    line = Line((1.0, 2.0, 4.0), (10.0, 20.0, 0.0))
    assert [line(x) for x in (-9.0, 1.0, 1.5, 2.0, 3.0, 4.0, 9.0)] == [10, 10, 15, 20, 10, 0, 0]
    assert Line((0.0,), (5.0,))(-1.0) == Line((0.0,), (5.0,))(1.0) == 5


def test_first_lists_by_hand() -> None:
    near, sizes = np.array([0.1, 0.9, 0.5, 0.7], np.float32), np.array([100, 10, 20, 30])
    assert first_lists(near, sizes, 0.6, 10).tolist() == [1, 3], "40 rows are four times ten"
    assert sorted(first_lists(near, sizes, 0.6, 11)) == [0, 1, 2, 3], "else twice as many lists"
    assert sorted(first_lists(near, sizes, 2.0, 1)) == [1, 3], "where none is so near, the nearest two"


def test_reach_by_hand() -> None:
    flat = Line((0.0,), (8.0,))
    one = Reach(Line((0.0, 1.0), (0.2, 0.4)), flat, flat, flat)
    raised = one.raised(0.1, 2.0)
    assert raised.margins.values == pytest.approx((0.3, 0.5)) and raised.widths(0) == raised.first_widths(0) == 16
    effort = Effort((1.0,) * 4, (1,) * 4, (one, one, one, raised))
    assert effort.reach_for(640) == raised and effort.reach_for(1280).widths(0) == 32
    assert one.is_beyond(-0.21) and not one.is_beyond(-0.19)
    assert Effort.from_json(effort.to_json()) == effort
    assert [class_of(k) for k in (1, 10, 11, 640, 641)] == [10, 10, 40, 640, 641]


# -- indexes from before ------------------------------------------------------------------------


def old_facts(facts: Json) -> Json:
    """What a vecver before 2026-11-26 wrote."""
    return {**{name: value for name, value in facts.items() if name != "reach"}, "probes": [4] * 4, "widths": [20] * 4}


def test_an_index_from_before_is_calibrated_when_it_is_opened(built: Built) -> None:
    rows, content, facts = built
    opened = faiss.load(memoryview(content), old_facts(facts), rows, "cosine")
    one = replace(viewed(built), index=faiss.View(opened, None, ROWS))
    assert min(shares(one, queries, 10).mean() for queries in questions().values()) >= 0.95
    blind = faiss.load(memoryview(content), old_facts(facts))
    assert blind.effort.reach[0].margins(0.5) == np.inf, "without its rows every list is read"


def test_optimize_stores_what_an_index_from_before_lacks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 5000)
    monkeypatch.setattr(faiss.costs, "_PROBE", 0)
    docs = open_on(store).dataset("d")
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(texts_like(5000, 0))), space="s")
    commit = docs.resolve()
    segment = versions_of(docs).snapshot(commit).segments[0]
    new = versions_of(docs).derived(segment, faiss.SPEC)
    assert new is not None
    content, facts = bytes(new[0]), new[1]
    mine = {name: value for name, value in old_facts(facts).items() if name not in ("sha256", "bytes", "format")}
    write_facts(store, segment.id, mine, content)
    again = open_on(store)
    again.dataset("d").optimize()
    told = versions_of(again).derived(segment, faiss.SPEC)
    assert told is not None and bytes(told[0]) == content and told[1]["reach"] == facts["reach"]
    assert again.dataset("d").resolve() == commit and again.check().clean


def write_facts(store: Store, segment: str, facts: Json, content: bytes) -> None:
    import tempfile

    from vecver.repo.rows import index_files

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "index")
        file.write_bytes(content)
        index_files.put_derived(store, segment, faiss.SPEC, file, facts)


def test_candidates_measured_in_a_sample_are_enough_among_all_rows(built: Built) -> None:
    """Codes rank a row lower among more rows, so a sample must not be taken for the whole."""
    vectors, content, facts = built
    opened = faiss.load(memoryview(content), facts)
    calibrate = calibration.calibrate
    whole, sample = (calibrate(opened.faiss, opened.lists, vectors, "cosine", rows=rows) for rows in (ROWS, ROWS // 8))
    for of_sample, of_all in zip(sample.widths[:2], whole.widths[:2], strict=True):
        assert of_sample >= 0.7 * min(of_all, ROWS)
