"""Recall: what is measured is true, stays beside its commit, and never touches it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from helpers import DIM, Ticking, ingest, open_on, vector_of
from test_crash import Failing, PowerFailure, assert_nothing_is_half_there, power_failure

import vecver
from vecver import repo
from vecver.errors import IntegrityError, InvalidInputError, NotFoundError, SpaceMismatchError, VecverError
from vecver.flows.recall import _share as share
from vecver.model import Vectors
from vecver.repo.rows import chunk_key
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
    docs.ingest(rows[: ROWS // 2], space="test", label="rows")
    docs.tag("half")
    return docs


def strangers(count: int) -> Vectors:
    """Queries that lie anywhere, so that the index misses some of what is near them."""
    return np.random.default_rng(6).standard_normal((count, WIDE)).astype(np.float32)


def emptied(docs: vecver.Dataset, **how: Any) -> None:
    """A version without a chunk: its only document cannot be read."""
    docs.ingest([{"id": "blank", "text": "", "vector": vector_of("")}], space="test", **how)


# -- what is measured is true -------------------------------------------------------------------


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


def test_the_share_by_hand() -> None:
    """Two of four true rows were got; -1 stands where an answer ended early."""
    true = np.array([[1, 2], [3, 4]])
    assert share(true, np.array([[2, 9], [4, -1]])) == 0.5
    assert share(true, np.array([[2, 1], [-1, -1]])) == 0.5
    assert share(true, true[:, ::-1]) == 1.0 and share(true, true[::-1]) == 0.0


def test_what_the_scan_answers_misses_nothing(docs: vecver.Dataset) -> None:
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


def test_the_sample_by_hand(docs: vecver.Dataset) -> None:
    """Queries lie a third of the way from each chosen chunk to the next; chosen are the smallest keys."""
    ordered = [vector_of(text) for _, text in sorted((chunk_key(id, text, 0), text) for id, text in TEXTS.items())]
    for count in (1, 2, 7, 150):
        chosen = np.array(ordered[:count], np.float64)
        asked = ((2 * chosen + np.roll(chosen, -1, axis=0)) / 3).astype("<f4")
        told = docs.recall(sample=count, k=[1]).queries
        assert told == {"source": "sample", "count": count, "digest": hashlib.sha256(asked.tobytes()).hexdigest()}


def test_the_sample_depends_on_the_content_alone(docs: vecver.Dataset, store: Store) -> None:
    other = open_on(store).dataset("d")
    names = sorted(TEXTS)
    for stop in range(10, 151, 20):
        ingest(other, {**{id: TEXTS[id] for id in reversed(names[:stop])}, "gone": f"a text until {stop}"})
    ingest(other, TEXTS)
    assert len(other._versions.snapshot(other.resolve()).segments) > 3
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
    docs.recall(sample=20, k=[1, 5], progress=lambda unit, count: told.append((unit, count)))
    assert told == [("queries", 1)] * 40


# -- it stays beside the commit -----------------------------------------------------------------


def test_a_measure_never_changes_its_version(docs: vecver.Dataset) -> None:
    before, receipt = docs.resolve(), docs.search(vector_of("q")).receipt
    first = docs.recall(sample=5)
    assert docs.measures() == {"recall": {**first.to_json(), "kind": "recall", "format": 1}}
    second = docs.recall(sample=6)
    assert docs.measures()["recall"]["queries"] == second.queries, "the newest of a kind is kept"
    assert docs.resolve() == before and docs.search(vector_of("q")).receipt == receipt
    ingest(docs, {"a": "another version"})
    assert docs.measures() == {} and set(docs.measures("main~1")) == {"recall"}
    assert docs.repository.check().problems == ()
    assert json.loads(json.dumps(second.to_json())) == second.to_json()


COMMIT = "c" * 64
SEAL = "8b2193e0932a5fd3c64ca441f1b3a20bf5ad4fbe73f39a90531b42ff10ea8d52"
BODY = (
    '{"at":[{"ann_recall":0.5,"engine":"exact","k":2,"p50_ms":0.5,"p95_ms":1.0,"p99_ms":2.0,'
    f'"queries_per_second":900.5}}],"commit":"{COMMIT}","dataset":"d","environment":{{"cpus":2}},"format":1,'
    '"index":{"chunks":4,"indexed":0,"rows":4,"segments":1},"kind":"recall",'
    '"queries":{"count":1,"digest":"00","source":"sample"},"time":"2026-01-01T00:00:00.000000+00:00"}'
)


def test_the_bytes_of_a_measure_are_golden() -> None:
    """What format 1 wrote is read, and written again with the same bytes."""
    golden = SEAL.encode() + b"\n" + BODY.encode()
    store = MemoryStore()
    at = vecver.RecallAt(2, 0.5, "exact", 0.5, 1.0, 2.0, 900.5)
    facts = ({"source": "sample", "count": 1, "digest": "00"}, {"chunks": 4, "indexed": 0, "rows": 4, "segments": 1})
    value = vecver.Recall("d", COMMIT, (at,), *facts, {"cpus": 2}, "2026-01-01T00:00:00.000000+00:00").to_json()
    repo.measures.save(store, COMMIT, "recall", value)
    assert store.get(f"measures/{COMMIT}/recall") == golden
    assert repo.measures.load_all(store, COMMIT) == {"recall": {**value, "kind": "recall", "format": 1}}


def test_a_damaged_measure_stops_nobody_and_is_named(docs: vecver.Dataset) -> None:
    store, name = docs._versions.store, f"measures/{docs.resolve()}/recall"
    docs.recall(sample=5)
    sound = store.get(name)
    for bad in (b"", sound[:-1], sound + b"\0", b"\0" * len(sound), sound.replace(b'"count":5', b'"count":6')):
        store.put(name, bad)
        told = docs.measures()["recall"]
        assert list(told) == ["damaged"] and name in told["damaged"]
        assert docs.search(vector_of("q")).commit == docs.resolve() and len(list(docs.log())) == 1
        assert [problem.object for problem in docs.repository.check().problems] == [name]
    docs.recall(sample=5)
    assert docs.repository.check().clean and docs.measures()["recall"]["queries"]["count"] == 5


def test_a_measure_of_another_commit_is_no_measure_of_this_one(docs: vecver.Dataset) -> None:
    store = docs._versions.store
    docs.recall(sample=5)
    ingest(docs, {"a": "another version"})
    store.put(f"measures/{docs.resolve()}/recall", store.get(f"measures/{docs.resolve('main~1')}/recall"))
    assert "another commit" in docs.measures()["recall"]["damaged"]
    with pytest.raises(IntegrityError) as caught:
        repo.measures.load(store, docs.resolve(), "recall")
    assert caught.value.code == "wrong_measure" and "vecver recall" in caught.value.hint
    assert len(docs.repository.check().problems) == 1


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_power_failure_at_every_operation(done: bool) -> None:
    def fresh() -> MemoryStore:
        store = MemoryStore()
        ingest(open_on(store).dataset("d"), {"a": "one", "b": "two"})
        open_on(store).dataset("d").recall(sample=1, k=[1])
        return store

    counting = Failing(fresh(), 10**9, done=False, die=power_failure)
    open_on(counting).dataset("d").recall(sample=2, k=[1])
    seen = []
    for n in range(counting.count):
        store = fresh()
        with pytest.raises(PowerFailure):
            open_on(Failing(store, n, done=done, die=power_failure)).dataset("d").recall(sample=2, k=[1])
        docs = open_on(store).dataset("d")
        seen.append(docs.measures()["recall"]["queries"]["count"])
        assert_nothing_is_half_there(store)
        assert docs.repository.check().clean
    assert set(seen) == ({1, 2} if done else {1}) and seen == sorted(seen)


# -- bad input ----------------------------------------------------------------------------------

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


def test_a_clock_is_the_repositorys_own() -> None:
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    ingest(docs, TEXTS)
    one, other = docs.recall(sample=2), docs.recall(sample=2)
    assert one.time < other.time and one.time[:10] == "2026-01-01"
