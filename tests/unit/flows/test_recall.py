"""Recall: the measured shares agree with exact search, and so do samples, raised effort and bad input."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from helpers import DIM, ingest, open_on, vector_of
from inside import versions_of

import vecver
from vecver.errors import InvalidInputError, NotFoundError, SpaceMismatchError, VecverError
from vecver.flows.evaluating.index_recall import DRAWN
from vecver.flows.evaluating.index_recall import _shares as shares
from vecver.index import faiss
from vecver.model import Vectors
from vecver.repo.rows.schema import chunk_key
from vecver.store import MemoryStore, Store

TEXTS = {f"doc-{i:03}": f"the text number {i}" for i in range(150)}
ROWS, WIDE = 24_000, 48


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


@pytest.fixture(scope="module")
def large() -> vecver.Dataset:
    """A version whose one segment has an index, and `half` after it, in which half of the documents died."""
    docs = open_on(MemoryStore()).dataset("large")
    vectors = np.random.default_rng(5).standard_normal((ROWS, WIDE)).astype(np.float32)
    rows = [{"id": str(i), "text": str(i), "vector": vector} for i, vector in enumerate(vectors)]
    docs.ingest(rows, space="test", label="rows")
    docs.tag("whole")
    docs.ingest(rows[: ROWS // 2], space="test", label="rows", allow_removals=True)
    docs.tag("half")
    return docs


def strangers(count: int) -> Vectors:
    """Queries that lie anywhere, so that the index misses some of what is near them."""
    return np.random.default_rng(6).standard_normal((count, WIDE)).astype(np.float32)


def emptied(docs: vecver.Dataset, **how: Any) -> None:
    """A version without a chunk: its only document cannot be read."""
    docs.ingest([{"id": "blank", "text": "", "vector": vector_of("")}], space="test", allow_removals=True, **how)


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is always the cheaper way, however few rows there are."""
    monkeypatch.setattr(faiss.costs, "_PROBE", -(10**9))


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("at", ["whole", "half"])
def test_ann_recall_is_the_share_of_the_true_hits_that_a_search_finds(large: vecver.Dataset, at: str) -> None:
    queries = list(strangers(40))
    measured = large.recall(at, queries=queries, k=[50, 1, 10])
    assert [one.k for one in measured.at] == [50, 1, 10]
    for one in measured.at:
        assert one.engine == large.search(queries[0], at=at, k=one.k).receipt["engine"]["name"]
        got, true = (large.search(queries, at=at, k=one.k, exact=exact) for exact in (False, True))
        shares = [len({h.key for h in a} & {h.key for h in b}) / one.k for a, b in zip(got, true, strict=True)]
        assert one.ann_recall == pytest.approx(np.mean(shares), abs=1e-12)
        assert 0 < one.p50_ms <= one.p95_ms <= one.p99_ms and one.queries_per_second > 0
    assert measured[10].engine.startswith("faiss") and 0.5 < measured[10].ann_recall <= 1
    assert measured.index == {
        "chunks": ROWS if at == "whole" else ROWS // 2,
        "indexed": ROWS if at == "whole" else ROWS // 2,
        "rows": ROWS,
        "segments": 1,
    }
    assert measured[10] is measured.at[2]


def test_shares_match_values_worked_out_by_hand() -> None:
    """Two of four true rows were got; -1 stands where an answer ended early."""
    true = np.array([[1, 2], [3, 4]])
    assert shares(true, np.array([[2, 9], [4, -1]])).mean() == 0.5
    assert shares(true, np.array([[2, 1], [-1, -1]])).mean() == 0.5
    assert shares(true, true[:, ::-1]).mean() == 1.0 and shares(true, true[::-1]).mean() == 0.0


def test_an_exact_scan_has_recall_one(docs: vecver.Dataset) -> None:
    measured = docs.recall()
    assert [(one.k, one.ann_recall, one.engine) for one in measured.at] == [
        (1, 1.0, "exact"),
        (10, 1.0, "exact"),
        (100, 1.0, "exact"),
    ]
    assert measured.index == {"chunks": 150, "indexed": 0, "rows": 150, "segments": 1}
    assert (measured.dataset, measured.commit) == ("d", docs.resolve())
    assert set(measured.environment) == {"vecver", "faiss", "python", "machine", "cpus"}
    assert measured.time.startswith("2026-01-01T00:00:")


def test_the_sample_matches_queries_worked_out_by_hand(docs: vecver.Dataset) -> None:
    """A query is a chunk moved by once, twice, once ... the difference of the next two, of the smallest keys."""
    ordered = [vector_of(text) for _, text in sorted((chunk_key(id, text, 0), text) for id, text in TEXTS.items())]
    for count in (1, 2, 7, 150):
        chosen = np.array(ordered[:count], np.float64)
        apart = (np.roll(chosen, -1, axis=0) - np.roll(chosen, -2, axis=0)) / np.sqrt(2)
        asked = np.array([row + (1 + i % 2) * other for i, (row, other) in enumerate(zip(chosen, apart, strict=True))])
        digest = hashlib.sha256(asked.astype("<f4").tobytes()).hexdigest()
        told = docs.recall(sample=count, k=[1]).queries
        assert told == {"source": "sample", "count": count, "digest": digest, "drawn": DRAWN}


def test_the_report_names_the_worst_recall_and_the_share_below_0_8(
    large: vecver.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four queries one finds nothing, one half of its ten, two all."""
    true = np.arange(40).reshape(4, 10)
    got = true.copy()
    got[0] = -1
    got[1, 5:] = -1
    answers = iter([true, got])
    flow = import_module("vecver.flows.evaluating.index_recall")
    monkeypatch.setattr(flow, "_answers", lambda *_, **__: next(answers))
    monkeypatch.setattr(flow, "engine_of", lambda *_, **__: {"name": f"faiss {faiss.SPEC}"})
    one = large.recall("whole", queries=list(strangers(4)), k=[10])[10]
    assert (one.ann_recall, one.worst, one.below_0_8) == (0.625, 0.0, 0.5)
    assert one.to_json()["worst"] == 0.0 and one.to_json()["below_0_8"] == 0.5


@pytest.mark.usefixtures("indexed")
def test_the_sample_is_as_hard_as_questions_are(large: vecver.Dataset) -> None:
    asked, drawn = large.recall("whole", queries=list(strangers(200)), k=[10]), large.recall("whole", k=[10])
    assert abs(drawn[10].ann_recall - asked[10].ann_recall) <= 0.02


@pytest.mark.usefixtures("indexed")
def test_apply_raises_low_effort_and_never_lowers_it(store: Store) -> None:
    docs = open_on(store).dataset("d")
    vectors = np.random.default_rng(5).standard_normal((9000, WIDE)).astype(np.float32)
    docs.ingest(({"id": str(i), "text": str(i), "vector": row} for i, row in enumerate(vectors)), space="test")
    commit, queries = docs.resolve(), list(strangers(60))
    versions = versions_of(docs)
    (segment,) = versions.snapshot(commit).segments
    lines = {"margins": [[0.0], [0.01]], "widths": [[0.0], [12.0]], "first": [[0.0], [1.0]]}
    small = {"reach": [{**lines, "first_widths": [[0.0], [12.0]]}] * 4}
    versions.put_derived_facts(segment, faiss.SPEC, small)
    other = open_on(store)
    low = other.dataset("d").recall(queries=queries, k=[10])
    assert low[10].ann_recall < 0.9 and low.raised is None and "raised" not in low.to_json()
    high = other.dataset("d").recall(queries=queries, k=[10], apply=True)
    assert high.raised == 1 and high[10].ann_recall >= 0.95 and high.commit == commit
    again = open_on(store)
    assert again.dataset("d").recall(queries=queries, k=[10])[10].ann_recall == high[10].ann_recall
    assert again.dataset("d").recall(queries=queries, k=[10], apply=True).raised == 0
    before = reach_of(again, commit)
    again.dataset("d").recall(queries=list(vectors[:40]), k=[10], apply=True)
    for old, new in zip(before, reach_of(again, commit), strict=True):
        assert all(np.all(np.array(new[name][1]) >= np.array(old[name][1])) for name in ("margins", "widths"))
    assert again.check().clean and again.dataset("d").resolve() == commit


def reach_of(repository: vecver.Repository, commit: str) -> list[Any]:
    versions = versions_of(repository)
    told = versions.derived(versions.snapshot(commit).segments[0], faiss.SPEC)
    assert told is not None
    return list(told[1]["reach"])


def test_the_sample_depends_on_the_content_alone(docs: vecver.Dataset, store: Store) -> None:
    other = open_on(store).dataset("d")
    names = sorted(TEXTS)
    for stop in range(10, 151, 20):
        ingest(other, {**{id: TEXTS[id] for id in reversed(names[:stop])}, "gone": f"a text until {stop}"})
    ingest(other, TEXTS)
    assert len(versions_of(other).snapshot(other.resolve()).segments) > 3
    assert other.show().vector_root == docs.show().vector_root
    assert other.recall(sample=40).queries == docs.recall(sample=40).queries
    assert docs.recall(sample=40).queries != docs.recall(sample=41).queries


def test_defaults_fit_the_version(repository: vecver.Repository) -> None:
    small = repository.dataset("small")
    ingest(small, dict(list(TEXTS.items())[:12]))
    measured = small.recall()
    assert [one.k for one in measured.at] == [1, 10] and measured.queries["count"] == 12
    ingest(small, {"a": "alone"})
    assert [one.k for one in small.recall().at] == [1]


def test_texts_and_vectors_are_queries(repository: vecver.Repository) -> None:
    docs = repository.dataset("texts")
    docs.ingest([{"id": id, "text": text} for id, text in TEXTS.items()], embedder="hashing", chunker="whole")
    measured = docs.recall(queries=["the text number 7", np.ones(256, np.float32)], k=[3])
    assert measured.queries["source"] == "given" and measured.queries["count"] == 2
    assert (
        measured.queries["digest"] == docs.recall(queries=("the text number 7", [1.0] * 256), k=[3]).queries["digest"]
    )


def test_progress_counts_the_queries(docs: vecver.Dataset) -> None:
    told = list[tuple[str, int]]()
    docs.recall(sample=20, k=[1, 5], progress=lambda unit, count, *_: told.append((unit, count)))
    assert told == [("queries", 1)] * 40


NAN = np.full(DIM, np.nan, np.float32)


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        *(
            ({"k": k}, InvalidInputError, "invalid_k")
            for k in ([], [0], [-1], [1, 1], [True], [1.0], ["1"], "10", 10, [151])
        ),
        *(({"sample": n}, InvalidInputError, "invalid_sample") for n in (0, -1, 151, True, 2.0, "3")),
        ({"sample": 5, "queries": [np.ones(DIM)]}, InvalidInputError, "conflicting_options"),
        ({"apply": True}, InvalidInputError, "conflicting_options"),
        ({"queries": []}, InvalidInputError, "empty_query"),
        ({"queries": "a text"}, InvalidInputError, "empty_query"),
        ({"queries": [np.ones(DIM), np.ones(DIM + 1)]}, SpaceMismatchError, "wrong_dimension"),
        ({"queries": [NAN]}, InvalidInputError, "invalid_vector"),
        ({"queries": ["a text"]}, SpaceMismatchError, "needs_vector"),
        ({"at": "nowhere"}, NotFoundError, "revision_not_found"),
    ],
)
def test_bad_input_says_what_to_do(docs: vecver.Dataset, how: Any, kind: type[VecverError], code: str) -> None:
    with pytest.raises(kind) as caught:
        docs.recall(**how)
    assert (type(caught.value), caught.value.code) == (kind, code) and caught.value.hint
    assert docs.measures() == {}


def test_an_empty_version_and_an_unknown_dataset(docs: vecver.Dataset) -> None:
    emptied(docs)
    assert docs.show().counts["chunks"] == 0
    with pytest.raises(InvalidInputError) as caught:
        docs.recall()
    assert caught.value.code == "empty_version" and docs.recall("main~1").index["chunks"] == 150
    with pytest.raises(NotFoundError) as missing:
        docs.repository.dataset("nobody").recall()
    assert missing.value.code == "dataset_not_found"
