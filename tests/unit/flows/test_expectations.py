"""Expected recall: what the indexes of a version recorded, combined over its segments, before anything is searched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pytest
from failing import Failing, PowerFailure, ReadOnly, assert_nothing_is_half_there, power_failure
from helpers import ingest, open_on
from inside import versions_of

import vecver
from vecver.flows.evaluating import expectations
from vecver.flows.evaluating.expectations import Recorded, combined
from vecver.index import faiss
from vecver.model import Json, Vectors
from vecver.repo import Segment, objects
from vecver.repo.rows import index_files
from vecver.store import Store

ROWS, DIM = 6000, 32


def rows(count: int, seed: int = 5) -> list[dict[str, Any]]:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return [{"id": f"{seed}-{i}", "text": str(i), "vector": vector} for i, vector in enumerate(vectors)]


def questions(count: int) -> list[Vectors]:
    return list(np.random.default_rng(9).standard_normal((count, DIM)).astype(np.float32))


@pytest.fixture(autouse=True)
def small_indexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small segment gets an index, and a search always uses it."""
    monkeypatch.setattr(faiss.costs, "INDEX_ROWS", 4000)
    monkeypatch.setattr(faiss.costs, "_PROBE", -(10**9))
    yield


@pytest.fixture
def docs(store: Store) -> vecver.Dataset:
    """A version whose one segment has an index."""
    docs = open_on(store).dataset("d")
    docs.ingest(rows(ROWS), space="test", label="first")
    return docs


def segment_of(docs: vecver.Dataset) -> Segment:
    versions = versions_of(docs)
    return versions.snapshot(docs.resolve()).segments[0]


def recorded_facts(docs: vecver.Dataset) -> Json:
    facts = versions_of(docs).derived_facts(segment_of(docs).id, faiss.SPEC)
    assert facts is not None
    return facts


# -- combining ------------------------------------------------------------------------------------


def test_segments_are_weighted_with_their_live_chunks_by_hand() -> None:
    expected = combined(
        [
            Recorded(600, "calibration", 0.9, 0.02, 528),
            Recorded(300, "calibration", 0.8, 0.05, 528),
            Recorded(100, "exact"),
        ]
    )
    assert expected.recall == pytest.approx(1 - (0.1 * 600 + 0.2 * 300) / 1000) and expected.below_0_8 == 0.07
    assert (expected.basis, expected.questions, expected.chunks, expected.indexed) == ("calibration", 1056, 1000, 900)


def test_given_queries_count_once_and_mixed_origins_are_named() -> None:
    measured = Recorded(500, "questions", 0.98, 0.0, 100)
    assert combined([measured, measured]).questions == 100
    mixed = combined([measured, Recorded(500, "calibration", 0.99, 0.01, 528)])
    assert (mixed.basis, mixed.questions, mixed.recall) == ("calibration and questions", 628, 0.985)
    assert "of 628 question-like vectors and given queries" in str(mixed)


def test_without_an_index_nothing_is_missed_and_one_unknown_index_makes_all_unknown() -> None:
    assert str(combined([Recorded(5, "exact")])) == "exact: every row is scanned"
    assert combined([]).basis == "exact" and combined([]).recall == 1
    unknown = combined([Recorded(5, "exact"), Recorded(9, "unknown")])
    assert (unknown.recall, unknown.below_0_8, unknown.basis, unknown.indexed) == (None, None, "unknown", 9)
    assert vecver.ExpectedRecall.from_json(unknown.to_json()) == unknown and str(unknown) == "unknown"


def test_the_share_below_is_at_most_all() -> None:
    assert combined([Recorded(1, "calibration", 0.5, 0.7, 9)] * 3).below_0_8 == 1


# -- a version ------------------------------------------------------------------------------------


def test_a_small_version_is_exact(repository: vecver.Repository) -> None:
    docs = repository.dataset("d")
    ingest(docs, {"a": "one", "b": "two"})
    assert docs.expected_recall() == vecver.ExpectedRecall(10, 1.0, 0.0, 0, "exact", 2, 0)


def test_the_expectation_is_that_of_the_index_and_nothing_is_opened(store: Store, docs: vecver.Dataset) -> None:
    expected, recorded = open_on(store).dataset("d").expected_recall(), recorded_facts(docs)["expected"]
    assert expected.to_json() == {
        **{name: recorded[name] for name in ("k", "recall", "below_0_8")},
        **{"questions": recorded["queries"], "basis": "calibration", "chunks": ROWS, "indexed": ROWS},
    }
    assert recorded["queries"] == 528
    measured = docs.recall(queries=questions(100), k=[10])[10].ann_recall
    assert expected.recall is not None and expected.recall == pytest.approx(measured, abs=0.05)


def test_a_tail_without_an_index_raises_the_expectation(docs: vecver.Dataset) -> None:
    before = docs.expected_recall()
    docs.ingest(rows(2000, seed=6), space="test", label="second")
    after = docs.expected_recall()
    assert before.recall is not None and after.recall is not None and (after.chunks, after.indexed) == (8000, 6000)
    assert after.recall == pytest.approx(1 - (1 - before.recall) * 6000 / 8000, abs=1e-4)


def test_what_recall_measures_of_given_queries_is_expected_from_then_on(store: Store, docs: vecver.Dataset) -> None:
    commit, first = docs.resolve(), docs.expected_recall()
    docs.recall(sample=30)
    docs.recall(queries=questions(30), k=[1])
    assert docs.expected_recall() == first, "neither a sample nor another k is what is expected"
    measured = docs.recall(queries=questions(30))[10]
    expected = docs.expected_recall()
    assert (expected.recall, expected.below_0_8) == (round(measured.ann_recall, 4), round(measured.below_0_8 or 0, 4))
    assert (expected.basis, expected.questions) == ("questions", 30)
    docs.ingest(rows(ROWS // 2), space="test", label="first", allow_removals=True)
    assert open_on(store).dataset("d").expected_recall().basis == "questions", "the index is shared"
    assert docs.resolve("main~1") == commit and open_on(store).check().clean


def test_a_measure_of_other_bytes_is_ignored(store: Store, docs: vecver.Dataset) -> None:
    docs.recall(queries=questions(5))
    measured = index_files.measured(store, segment_of(docs).id, faiss.SPEC)
    assert measured is not None
    facts = recorded_facts(docs)
    index_files.put_facts(store, segment_of(docs).id, faiss.SPEC, {"sha256": "0" * 64})
    assert docs.expected_recall().basis == "calibration"
    index_files.put_facts(store, segment_of(docs).id, faiss.SPEC, {"sha256": facts["sha256"]})
    assert docs.expected_recall().basis == "questions"


# -- indexes of older vecvers, and damage -----------------------------------------------------------


def without_expectation(store: Store, docs: vecver.Dataset, *names: str) -> None:
    """The facts as an older vecver wrote them."""
    facts = {name: value for name, value in recorded_facts(docs).items() if name not in (*names, "format")}
    store.put(f"segments/{segment_of(docs).id}/{faiss.SPEC}.json", objects.sealed(facts))


def test_an_index_of_an_older_vecver_is_unknown_until_optimize_measures_it(store: Store, docs: vecver.Dataset) -> None:
    first = docs.expected_recall()
    without_expectation(store, docs, "expected")
    assert docs.expected_recall() == vecver.ExpectedRecall.unknown(10, ROWS, ROWS)
    again = open_on(store).dataset("d")
    again.optimize()
    assert again.expected_recall() == first


def test_optimize_keeps_a_raised_effort(store: Store, docs: vecver.Dataset) -> None:
    wide = {**recorded_facts(docs)["reach"][0], "margins": [[0.0], [9.0]]}
    index_files.put_facts(store, segment_of(docs).id, faiss.SPEC, {"reach": [wide] * 4})
    without_expectation(store, docs, "expected")
    again = open_on(store).dataset("d")
    again.optimize()
    assert recorded_facts(again)["reach"] == [wide] * 4 and again.expected_recall().basis == "calibration"


def test_one_effort_for_all_queries_is_unknown_and_can_be_measured(store: Store, docs: vecver.Dataset) -> None:
    without_expectation(store, docs, "expected", "reach")
    again = open_on(store).dataset("d")
    assert again.expected_recall().basis == "unknown"
    again.recall(queries=questions(20))
    assert again.expected_recall().basis == "questions"


@pytest.mark.parametrize("name", [f"{faiss.SPEC}.json", f"{faiss.SPEC}.measured"])
def test_a_damaged_record_is_unknown_named_by_check_and_mended(store: Store, docs: vecver.Dataset, name: str) -> None:
    docs.recall(queries=questions(5))
    path = f"segments/{segment_of(docs).id}/{name}"
    store.put(path, store.get(path)[:-2] + b"!}")
    again = open_on(store)
    assert again.dataset("d").expected_recall().basis == "unknown"
    assert path in {problem.object for problem in again.check().problems}
    assert again.check(repair=True).clean
    rebuilt_alike = name.endswith(".json")  # the index has the same bytes again, so what was measured of it holds
    assert again.dataset("d").expected_recall().basis == ("questions" if rebuilt_alike else "calibration")


def test_a_forgotten_version_is_unknown(docs: vecver.Dataset, store: Store) -> None:
    store.delete(f"layouts/{docs.resolve()}")
    assert open_on(store).dataset("d").expected_recall() == vecver.ExpectedRecall.unknown(10, ROWS, 0)


# -- writing it back ----------------------------------------------------------------------------------


def test_gc_keeps_a_measure_with_its_index_and_deletes_it_with_its_segment(store: Store) -> None:
    repository = open_on(store)
    docs = repository.dataset("d")
    docs.ingest(rows(ROWS), space="test", label="first")
    docs.recall(queries=questions(5))
    name = index_files.measured_path(segment_of(docs).id, faiss.SPEC)
    for _ in range(2):
        repository.gc(grace=timedelta(0), apply=True)
    assert store.size(name) is not None
    repository.delete_dataset("d", apply=True)
    for _ in range(2):
        repository.gc(grace=timedelta(0), apply=True)
    assert store.size(name) is None


def test_a_read_only_repository_is_measured_and_expects_what_it_did() -> None:
    store = ReadOnly()
    docs = open_on(store).dataset("d")
    docs.ingest(rows(ROWS), space="test")
    before, store.closed = docs.expected_recall(), True
    assert docs.recall(queries=questions(5)).not_kept and docs.expected_recall() == before


def test_a_cut_leaves_the_old_expectation_or_the_new_one(store: Store, docs: vecver.Dataset) -> None:
    before = docs.expected_recall()
    snapshot = versions_of(docs).snapshot(docs.resolve())
    places = np.arange(20).reshape(2, 10)
    new = vecver.ExpectedRecall(10, 1.0, 0.0, 2, "questions", ROWS, ROWS)
    bases = set()
    for done in (False, True):
        for step in range(6):
            store.delete(index_files.measured_path(snapshot.segments[0].id, faiss.SPEC))
            versions = versions_of(open_on(store).dataset("d"))
            versions.store = cast("Store", Failing(store, step, done=done, die=power_failure))
            with suppress(PowerFailure):
                expectations.keep_measured(versions, snapshot, places, places)
            assert_nothing_is_half_there(store)
            expected = open_on(store).dataset("d").expected_recall()
            assert expected in (before, new)
            bases.add(expected.basis)
    assert bases == {"calibration", "questions"}
