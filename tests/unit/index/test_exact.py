"""Exact search is the true top k, whatever the data, the mask, the batch and the threads."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import numpy.typing as npt
import pytest
from generated import part
from hypothesis import given, settings
from hypothesis import strategies as st

from vecver.index import bits, is_exact, normalised, scores, search
from vecver.index.scoring import METRICS
from vecver.model import Metric, Part, Vectors

Flags = npt.NDArray[np.bool_]
Answers = list[list[tuple[int, int, str]]]


def live_rows(one: Part) -> npt.NDArray[np.int64]:
    if one.live is None:
        return np.arange(len(one.vectors))
    return np.flatnonzero(np.unpackbits(one.live, count=len(one.vectors), bitorder="little"))


def brute(parts: list[Part], query: Vectors, k: int, metric: Metric) -> list[tuple[int, int, str]]:
    """Every live row by the exact score, then by key."""
    rows = [
        (-score, one.keys[row].tobytes(), number, int(row))
        for number, one in enumerate(parts)
        for row, score in zip(live_rows(one), scores(query, one.vectors[live_rows(one)], metric), strict=True)
    ]
    return [(number, row, bits(-score + 0.0)) for score, _, number, row in sorted(rows)[:k]]


def answers(parts: list[Part], queries: Vectors, k: int, metric: Metric) -> Answers:
    found = search(parts, queries, k, metric, exact=True)
    return [[(one.part, one.row, bits(one.score)) for one in rows] for rows in found]


def adversarial(rng: np.random.Generator, kind: str, count: int, dim: int) -> tuple[Vectors, Vectors]:
    """Rows and three queries whose order float32 gets wrong, or has none."""
    queries = rng.standard_normal((3, dim)).astype(np.float32)
    if kind == "small integers":
        return rng.integers(-1, 2, (count, dim)).astype(np.float32), rng.integers(-1, 2, (3, dim)).astype(np.float32)
    if kind == "near ties":  # one vector, with noise in its last bits
        base = rng.standard_normal(dim).astype(np.float32)
        return (base * (1 + rng.integers(-3, 4, (count, dim)) * 2.0**-23)).astype(np.float32), queries
    if kind == "cancelling":  # large parts that cancel, so float32 sums are mostly error
        half = rng.standard_normal((count, (dim + 1) // 2)) * 1e4
        rows = np.concatenate([half, -half + rng.standard_normal(half.shape) * 1e-3], axis=1)[:, :dim]
        return rows.astype(np.float32), np.ones((3, dim), np.float32)
    if kind == "far query":  # the l2 score rounds away what tells the rows apart
        return (rng.standard_normal((count, dim)) * 1e-9).astype(np.float32), queries * np.float32(1e6)
    if kind == "magnitudes":
        return (rng.standard_normal((count, dim)) * 10.0 ** rng.integers(-42, 37, (count, 1))).astype(
            np.float32
        ), queries
    if kind == "huge":
        return (rng.uniform(-3e38, 3e38, (count, dim))).astype(np.float32), (queries * 1e37).astype(np.float32)
    return rng.standard_normal((count, dim)).astype(np.float32), queries


KINDS = ["random", "small integers", "near ties", "cancelling", "far query", "magnitudes", "huge"]


@given(st.data(), st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from(METRICS))
@settings(max_examples=300, deadline=None)
def test_the_true_top_k(data: st.DataObject, kind: str, seed: int, metric: Metric) -> None:
    rng, dim = np.random.default_rng(seed), data.draw(st.integers(1, 24))
    parts = []
    for number in range(data.draw(st.integers(1, 3))):
        rows, queries = adversarial(rng, kind, data.draw(st.integers(0, 120)), dim)
        share = data.draw(st.sampled_from([None, 0.0, 0.01, 0.2, 0.5, 1.0]))
        live = None if share is None else rng.random(len(rows)) < share
        parts.append(part(normalised(rows, metric), live, seed=number))
    queries, k = normalised(queries, metric), data.draw(st.sampled_from([1, 2, 10, 119, 1000]))
    wanted = [brute(parts, query, k, metric) for query in queries]
    assert answers(parts, queries, k, metric) == wanted
    longer = answers(parts, queries, k + 7, metric)
    assert [rows[:k] for rows in longer] == wanted, "the top k is a prefix of the top k+7"


@pytest.mark.deep
@given(st.data(), st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.sampled_from(METRICS))
@settings(max_examples=10_000, deadline=None)
def test_the_true_top_k_at_length(data: st.DataObject, kind: str, seed: int, metric: Metric) -> None:
    test_the_true_top_k.hypothesis.inner_test(data, kind, seed, metric)  # type: ignore[attr-defined]


def test_l2_by_hand() -> None:
    """Squared distances from (1, 1): 1, 1, 25; the two equal ones stand in the order of their keys."""
    one = part(np.array([[5, 4], [1, 0], [2, 1]], np.float32))
    first, second = sorted([1, 2], key=lambda row: one.keys[row].tobytes())
    (found,) = search([one], np.ones((1, 2), np.float32), 5, "l2", exact=True)
    assert [(hit.row, hit.score) for hit in found] == [(first, -1.0), (second, -1.0), (0, -25.0)]


def test_far_rows_that_l2_cannot_tell_apart_stand_in_key_order() -> None:
    """At a distance of 1e6 all squares round to 1e12, though float32 products still differ: keys decide."""
    rows = np.zeros((50, 2), np.float32)
    rows[:, 0] = np.arange(50) * 1e-12
    one = part(rows)
    (found,) = search([one], np.array([[1e6, 0]], np.float32), 3, "l2", exact=True)
    assert {hit.score for hit in found} == {-1e12}
    assert [hit.row for hit in found] == sorted(range(50), key=lambda row: one.keys[row].tobytes())[:3]


@pytest.mark.parametrize("metric", METRICS)
def test_ten_thousand_duplicates(metric: Metric) -> None:
    rng = np.random.default_rng(3)
    vector = normalised(rng.standard_normal((1, 32)).astype(np.float32), metric)
    one = part(np.repeat(vector, 10_000, axis=0))
    (found,) = search([one], vector, 10, metric, exact=True)
    assert [hit.row for hit in found] == sorted(range(10_000), key=lambda row: one.keys[row].tobytes())[:10]
    assert {hit.score for hit in found} == {float(scores(vector[0], vector, metric)[0])}


def test_all_equal_rows_are_scored_block_by_block() -> None:
    """Where every row is a candidate, memory holds blocks and numbers a row, never all the vectors again."""
    import tracemalloc

    rows, dim = 60_000, 128  # 31 MB
    one = part(np.ones((rows, dim), np.float32))
    tracemalloc.start()
    search([one], np.ones((8, dim), np.float32), 10, "ip", exact=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 16e6 + 8 * rows * 16, f"{peak / 1e6:.0f} MB: four blocks of float64 and a few numbers a row"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_same_bits_in_every_batch(metric: Metric, share: float) -> None:
    """257 queries together, alone, in odd batches, in another order, one thread or two."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(5)
    rows = normalised(rng.standard_normal((3000, 48)).astype(np.float32), metric)
    queries = normalised(rng.standard_normal((257, 48)).astype(np.float32), metric)
    one = part(rows, rng.random(3000) < share)
    together = answers([one], queries, 10, metric)
    assert together[::40] == [brute([one], query, 10, metric) for query in queries[::40]]
    for size in (1, 3, 64, 100):
        batches = [answers([one], queries[i : i + size], 10, metric) for i in range(0, 257, size)]
        assert [rows for batch in batches for rows in batch] == together
    order = rng.permutation(257)
    assert answers([one], queries[order], 10, metric) == [together[i] for i in order]
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert answers([one], queries, 10, metric) == together


def test_same_bits_across_passes_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block sizes and the memory that queries share are prices, not answers."""
    rng, room = np.random.default_rng(6), import_module("vecver.index.exact")
    one = part(rng.standard_normal((1000, 8)).astype(np.float32), rng.random(1000) < 0.4)
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    wanted = answers([one], queries, 10, "ip")
    sizes: dict[str, list[float]] = {"_BLOCK": [1, 7, 999], "_NEAR_BYTES": [1, 5000], "_GATHER_BELOW": [0.0, 2.0]}
    for name, values in sizes.items():
        for value in values:
            with monkeypatch.context() as patch:
                patch.setattr(room, name, value)
                assert answers([one], queries, 10, "ip") == wanted


def test_raw_float32_would_fail_these_tests() -> None:
    """numpy's own float32 scores have other bits in a batch than alone, and get near ties wrong."""
    rows, queries = adversarial(np.random.default_rng(7), "near ties", 4000, 384)
    alone, together = np.stack([rows @ query for query in queries]), queries @ rows.T
    assert (alone != together).mean() > 0.1
    ordered = [[row for _, row, _ in found] for found in answers([part(rows)], queries, 10, "ip")]
    assert [np.argsort(-near, kind="stable")[:10].tolist() for near in alone] != ordered


def test_nothing_to_find() -> None:
    empty, dead = part(np.zeros((0, 4), np.float32)), part(np.ones((9, 4), np.float32), np.zeros(9, bool))
    query = np.ones((2, 4), np.float32)
    assert search([], query, 3, "ip", exact=True) == [[], []]
    assert search([empty, dead], query, 3, "l2", exact=False) == [[], []]
    assert is_exact([empty, dead], 3, exact=False)
