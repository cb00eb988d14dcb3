"""Stored measures: a measure is kept beside its commit, which never changes, and damage to it is named."""

from __future__ import annotations

import json

import pytest
from failing import Failing, PowerFailure, ReadOnly, assert_nothing_is_half_there, power_failure
from helpers import Ticking, ingest, open_on, vector_of
from inside import versions_of

import vecver
from vecver import repo
from vecver.errors import IntegrityError
from vecver.store import MemoryStore

TEXTS = {f"doc-{i:03}": f"the text number {i}" for i in range(150)}


@pytest.fixture
def docs(repository: vecver.Repository) -> vecver.Dataset:
    docs = repository.dataset("d")
    ingest(docs, TEXTS)
    return docs


def test_a_read_only_version_is_measured_and_the_report_says_not_kept() -> None:
    store = ReadOnly()
    docs = open_on(store).dataset("d")
    ingest(docs, TEXTS)
    store.closed = True
    measured = docs.recall(sample=20)
    assert measured[10].ann_recall == 1 and measured.not_kept and "measures/" in measured.not_kept
    assert measured.to_json()["not_kept"] == measured.not_kept and docs.measures() == {}
    store.closed = False
    assert docs.recall(sample=20).not_kept is None and "not_kept" not in docs.measures()["recall"]


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


def test_a_damaged_measure_is_named_and_searches_still_work(docs: vecver.Dataset) -> None:
    store, name = versions_of(docs).store, f"measures/{docs.resolve()}/recall"
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


def test_a_measure_of_another_commit_is_reported_as_damaged(docs: vecver.Dataset) -> None:
    store = versions_of(docs).store
    docs.recall(sample=5)
    ingest(docs, {"a": "another version"})
    store.put(f"measures/{docs.resolve()}/recall", store.get(f"measures/{docs.resolve('main~1')}/recall"))
    assert "another commit" in docs.measures()["recall"]["damaged"]
    with pytest.raises(IntegrityError) as caught:
        repo.measures.load(store, docs.resolve(), "recall")
    assert caught.value.code == "wrong_measure" and "docs.recall()" in caught.value.hint
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


def test_measures_take_their_time_from_the_clock_of_the_repository() -> None:
    docs = open_on(MemoryStore(), clock=Ticking()).dataset("d")
    ingest(docs, TEXTS)
    one, other = docs.recall(sample=2), docs.recall(sample=2)
    assert one.time < other.time and one.time[:10] == "2026-01-01"
