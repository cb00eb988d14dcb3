"""Codes of rows: an exact search through them gives the same rows and bits, and they take memory only where allowed."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from generated import part
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exact import KINDS, adversarial, answers, brute, live_rows

from vecver.index import SegmentCodes, normalised, row_codes
from vecver.index.kernel import Codes, kernel
from vecver.index.scoring import METRICS, scores
from vecver.model import Metric, Part, Vectors

pytestmark = pytest.mark.skipif(kernel() is None, reason="the kernel was not compiled: no codes are made")


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of parts of any size."""
    monkeypatch.setattr(row_codes, "FEWEST_ROWS", 1)


def coded(rows: Vectors, live: Any = None, seed: int = 0, has_room: Any = lambda nbytes: True) -> Part:
    return replace(part(rows, live, seed), codes=SegmentCodes(has_room))


def codes_of(one: Part) -> Codes | None:
    return one.codes._codes


def check(one: Part, queries: Vectors, k: int, metric: Metric) -> None:
    """Each query is answered as by scoring every row, alone and with others, without codes and with them."""
    wanted = [brute([one], query, k, metric) for query in queries]
    for _ in range(3):
        assert [answers([one], query[None, :], k, metric)[0] for query in queries] == wanted
    assert answers([one], queries, k, metric) == wanted


@given(st.data(), st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from(METRICS))
@settings(max_examples=300, deadline=None)
def test_the_true_top_k(data: st.DataObject, kind: str, seed: int, metric: Metric) -> None:
    rng, dim = np.random.default_rng(seed), data.draw(st.integers(1, 24))
    rows, queries = adversarial(rng, kind, data.draw(st.integers(1, 200)), dim)
    if data.draw(st.booleans()):
        rows = rows[rng.integers(len(rows), size=len(rows))]  # with duplicates
    if data.draw(st.booleans()):
        queries = np.concatenate([queries[:1], rows[:1], np.zeros((1, dim), np.float32)])
    share = data.draw(st.sampled_from([None, 0.2, 0.5, 1.0]))
    one = coded(normalised(rows, metric), None if share is None else rng.random(len(rows)) < share, seed)
    k = data.draw(st.sampled_from([1, 2, 10, max(1, one.live_count - 1), max(1, one.live_count), 1000]))
    check(one, normalised(queries, metric), k, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_a_kept_row_is_never_ruled_out(metric: Metric) -> None:
    """The possible rows of 300 queries include the true top k, though few rows are possible."""
    rng = np.random.default_rng(2)
    rows = normalised(rng.standard_normal((5000, 64)).astype(np.float32), metric)
    queries = normalised(rng.standard_normal((300, 64)).astype(np.float32), metric)
    one = coded(rows, rng.random(5000) < 0.7)
    codes, live = row_codes.encoded(rows, metric), live_rows(one)
    assert codes is not None
    counts = []
    for query in queries:
        possible = row_codes.possible_rows(codes, one, query, 10, metric)
        best = live[np.argsort(-scores(query, rows, metric, live), kind="stable")[:10]]
        assert np.isin(best, possible).all() and np.isin(possible, live).all()
        counts.append(len(possible))
    assert np.median(counts) < 200, "the codes rule out most rows"


@pytest.mark.parametrize("metric", METRICS)
def test_one_long_row_leaves_the_bounds_of_the_others(metric: Metric) -> None:
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((3000, 32)).astype(np.float32)
    rows[5], query = rows[5] * -1000, rows[5]
    codes = row_codes.encoded(rows, metric)
    assert codes is not None and len(row_codes.possible_rows(codes, part(rows), query, 10, metric)) < 600
    check(coded(rows), query[None, :], 10, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_share_a_direction(metric: Metric) -> None:
    """Models whose vectors lie in a narrow cone, or have one large number, leave no more possible rows than others."""
    rng = np.random.default_rng(8)
    rows = rng.standard_normal((4000, 32)).astype(np.float32)
    rows[:, 3] += 60
    rows = normalised(rows, metric)
    codes = row_codes.encoded(rows, metric)
    assert codes is not None and len(row_codes.possible_rows(codes, part(rows), rows[5], 10, metric)) < 400
    check(coded(rows), rows[5:6], 10, metric)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_query_that_its_integers_misrepresent(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.49 becomes 0 and 0.51 becomes 1: by codes the second row is better by 127, by numbers the first by 23."""
    rows = np.array([[0, 127 / 2**0.5, 127 / 2**0.5, 0], [0, 0, 0, 127], [0, 0, 0, -127]], np.float32)
    query = np.array([32767, 0.49, 0.49, 0.51], np.float32)
    monkeypatch.setattr(row_codes, "centre_of", lambda rows: np.zeros(4, np.float32))
    codes = row_codes.encoded(rows, metric)
    assert codes is not None and row_codes.query_of(query, 1.0, metric).integers.tolist() == [32767, 0, 0, 1]
    assert row_codes.possible_rows(codes, part(rows), query, 1, metric).tolist()[0] == 0
    assert answers([coded(rows)], query[None, :], 1, metric)[0][0][1] == 0


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, 1.0, 3e38])
@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_all_equal(value: float, metric: Metric) -> None:
    rows = normalised(np.full((70, 5), value, np.float32), metric)
    check(coded(rows), np.concatenate([rows[:1], np.ones((1, 5), np.float32)]), 9, metric)


# -- when codes are made ----------------------------------------------------------------------------

QUERY = np.ones((1, 8), np.float32)


def table(count: int = 400) -> Vectors:
    return np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)


def test_the_second_search_makes_them() -> None:
    one = coded(table())
    answers([one], QUERY, 10, "ip")
    assert codes_of(one) is None and one.codes.nbytes == 0
    answers([one], QUERY, 10, "ip")
    codes = codes_of(one)
    assert codes is not None and one.codes.nbytes == codes.nbytes == 400 * (8 + 4 + 4)
    answers([one], QUERY, 10, "ip")
    assert codes_of(one) is codes


def test_versions_of_one_segment_share_them() -> None:
    one = coded(table())
    other = replace(one, live=np.full(50, 255, np.uint8))
    for each in (one, other, other):
        answers([each], QUERY, 10, "ip")
    assert one.codes is other.codes and codes_of(other) is not None


def test_some_searches_make_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many queries at once, all rows wanted, few live rows, few rows at all."""
    monkeypatch.setattr(row_codes, "FEWEST_ROWS", 300)
    few = coded(table(), np.arange(400) < 40)
    small, plain = coded(table(299)), coded(table())
    for _ in range(5):
        answers([few, small], QUERY, 10, "ip")
        answers([plain], np.repeat(QUERY, 9, axis=0), 10, "ip")
        answers([plain], QUERY, 400, "ip")
    assert [codes_of(one) for one in (few, small, plain)] == [None] * 3
    answers([replace(few, live=None, live_count=400)] * 2, QUERY, 10, "ip")
    assert codes_of(few) is not None
    check(few, QUERY, 10, "ip")


def test_no_room_no_codes_and_room_is_sought_less_and_less_often() -> None:
    asked: list[int] = []
    one = coded(table(), has_room=lambda nbytes: bool(asked.append(nbytes)))
    for _ in range(20):
        answers([one], QUERY, 10, "ip")
    assert codes_of(one) is None and one.codes.nbytes == 0 and asked == [400 * (8 + 12)] * 4  # searches 2, 4, 8, 16


def test_dropped_codes_are_made_again_by_two_more_searches() -> None:
    one = coded(table())
    check(one, QUERY, 10, "ip")
    one.codes.drop()
    assert codes_of(one) is None and one.codes.nbytes == 0
    answers([one], QUERY, 10, "ip")
    assert codes_of(one) is None
    answers([one], QUERY, 10, "ip")
    assert codes_of(one) is not None


def test_threads_make_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread makes the codes, the others scan floats, and all answer alike."""
    one, made, may_go_on = coded(table()), [], threading.Event()
    wanted, encoded = answers([one], QUERY, 10, "l2"), row_codes.encoded

    def slowly(rows: Vectors, metric: Metric) -> Codes | None:
        made.append(metric)
        assert may_go_on.wait(30)
        return encoded(rows, metric)

    monkeypatch.setattr(row_codes, "encoded", slowly)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(answers([one], QUERY, 10, "l2"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(found) < 7 and not may_go_on.wait(0.01):
        pass
    assert made == ["l2"] and len(found) == 7
    assert one.codes.nbytes == 400 * (8 + 12), "their room is taken from the beginning"
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert made == ["l2"] and found == [wanted] * 8 and codes_of(one) is not None


def test_without_the_kernel_floats_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_codes, "kernel", lambda: None)
    one = coded(table())
    check(one, QUERY, 10, "ip")
    assert codes_of(one) is None
