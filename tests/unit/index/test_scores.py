"""The one rule of scores: exact sums, the same bits in any company, an order without ties."""

from __future__ import annotations

import math
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecver.errors import InvalidInputError
from vecver.index import bits, check_metric, normalised, scores
from vecver.index.scoring import METRICS, ranked, slack
from vecver.model import Metric, Vectors

TINY, HUGE = float(np.float32(1e-45)), float(np.finfo(np.float32).max)
metrics = st.sampled_from(METRICS)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def row(*values: float) -> Vectors:
    return np.array(values, np.float32)


def one(query: Vectors, vector: Vectors, metric: Metric) -> float:
    return float(scores(query, vector[None, :], metric)[0])


def exactly(query: Vectors, vector: Vectors, metric: Metric) -> Fraction:
    """The score as a rational number."""
    pairs = [(Fraction(float(q)), Fraction(float(v))) for q, v in zip(query, vector, strict=True)]
    return (
        -sum(((q - v) ** 2 for q, v in pairs), Fraction())
        if metric == "l2"
        else sum((q * v for q, v in pairs), Fraction())
    )


def bound(query: Vectors, vector: Vectors, metric: Metric) -> Fraction:
    """What the module's docstring allows: dim * 2^(e + b - 63), half an ulp, and for l2 three roundings a term."""
    pairs = [(float(q), float(v)) for q, v in zip(query, vector, strict=True)]
    true = exactly(query, vector, metric)
    if metric == "l2":
        exponent = 2 * max(math.frexp(q - v)[1] for q, v in pairs)
    else:
        exponent = math.frexp(max(abs(q) for q, _ in pairs))[1] + math.frexp(max(abs(v) for _, v in pairs))[1]
    binned = len(query) * Fraction(2) ** (exponent + len(query).bit_length() - 63)
    rounded = abs(true) * 3 * Fraction(2) ** -53 * (1 + Fraction(2) ** -50) if metric == "l2" else Fraction()
    return binned + rounded + (abs(true) + binned + rounded) * Fraction(2) ** -53


@st.composite
def pairs(draw: st.DrawFn, most: int = 40) -> tuple[Vectors, Vectors]:
    dim = draw(st.integers(1, most))
    elements = draw(
        st.sampled_from([numbers, st.floats(-1, 1, width=32), st.sampled_from([0.0, -0.0, TINY, -HUGE, HUGE, 1.0])])
    )
    query, vector = (draw(arrays(np.float32, dim, elements=elements)) for _ in range(2))
    return query, vector


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ip", 1 * 4 + 2 * -5 + 3 * 6),  # 12
        ("cosine", 12.0),  # vectors of a cosine space come normalised: the rule is the inner product
        ("l2", -(3**2 + 7**2 + 3**2)),  # -67
    ],
)
def test_by_hand(metric: Metric, expected: float) -> None:
    assert one(row(1, 2, 3), row(4, -5, 6), metric) == expected


def test_bits_by_hand() -> None:
    assert bits(1.0) == "3ff0000000000000"
    assert bits(-67.0) == "c050c00000000000"
    assert bits(one(row(0.1), row(1), "ip")) == "3fb99999a0000000"  # 0.1 as float32 has it


def test_cosine_by_hand() -> None:
    unit = normalised(np.stack([row(3, 4), row(0, 0), row(-0.0, 5e-45)]), "cosine")
    assert unit.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [0, 1]]
    assert one(unit[0], unit[0], "cosine") == pytest.approx(1, abs=1e-7)


def test_zero_vectors_score_plain_zero() -> None:
    for metric in METRICS:
        assert bits(one(row(0, -0.0), row(-0.0, 0), metric)) == "0" * 16, "minus zero would be other bits"
    assert bits(one(row(1, 1), row(1, -1), "ip")) == "0" * 16
    assert bits(one(row(-1), row(0), "ip")) == "0" * 16


def test_extremes_stay_finite() -> None:
    for dim in (1, 2, 1023, 1024, 2048):
        top = np.full(dim, HUGE, np.float32)
        assert one(top, top, "ip") == pytest.approx(dim * HUGE**2, rel=1e-15)
        assert one(top, -top, "l2") == pytest.approx(-4 * dim * HUGE**2, rel=1e-15)
        low = np.full(dim, TINY, np.float32)
        assert one(low, low, "ip") == dim * TINY**2, "products of subnormals are exact in float64"


@given(pairs(), metrics)
@settings(max_examples=300, deadline=None)
def test_within_the_stated_bound(pair: tuple[Vectors, Vectors], metric: Metric) -> None:
    score = one(*pair, metric)
    assert abs(Fraction(score) - exactly(*pair, metric)) <= bound(*pair, metric)


@pytest.mark.parametrize("dim", [1, 3, 384, 768, 1024, 2048])
def test_unit_vectors_are_close_to_the_true_sum(dim: int) -> None:
    rng = np.random.default_rng(dim)
    unit = normalised(rng.standard_normal((64, dim)).astype(np.float32), "cosine")
    for vector, score in zip(unit, scores(unit[0], unit, "cosine"), strict=True):
        true = math.fsum(float(q) * float(v) for q, v in zip(unit[0], vector, strict=True))
        assert abs(score - true) <= 2.0**-49, "float32 gives about 2^-24"


@given(st.integers(1, 2048), st.integers(0, 2**32 - 1), st.integers(-140, 120), st.integers(-140, 120), metrics)
@settings(max_examples=100, deadline=None)
def test_the_integers_never_overflow(dim: int, seed: int, low: int, high: int, metric: Metric) -> None:
    """With equal signs and full mantissas the sum is largest; an overflow would turn its sign or lose it."""
    with np.errstate(over="ignore", under="ignore"):
        query = np.full(dim, np.nextafter(np.float32(2.0) ** np.float32(low + 1), np.float32(0)), np.float32)
        vector = np.full(dim, -np.nextafter(np.float32(2.0) ** np.float32(high + 1), np.float32(0)), np.float32)
    mixed = np.random.default_rng(seed).choice(np.array([1, -1], np.float32), dim)
    for other in (vector, vector * mixed):
        assert abs(Fraction(one(query, other, metric)) - exactly(query, other, metric)) <= bound(query, other, metric)


@given(
    st.integers(1, 2048), st.integers(1, 70), st.integers(0, 2**32 - 1), st.sampled_from([1e-38, 1.0, 1e30]), metrics
)
@settings(max_examples=60, deadline=None)
def test_same_bits_in_any_company(dim: int, count: int, seed: int, scale: float, metric: Metric) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((count, dim)) * np.exp(rng.uniform(-4, 4, (count, 1))) * scale).astype(np.float32)
    query, order = rng.standard_normal(dim).astype(np.float32), rng.permutation(count)
    together = scores(query, rows, metric)
    alone = np.array([one(query, vector, metric) for vector in rows])
    assert together.tobytes() == alone.tobytes()
    assert scores(query, rows[order], metric).tobytes() == together[order].tobytes()
    assert scores(query, rows, metric, order).tobytes() == together[order].tobytes()
    assert scores(query, np.asfortranarray(rows), metric).tobytes() == together.tobytes()
    assert normalised(rows, metric)[order].tobytes() == normalised(rows[order], metric).tobytes()


def test_same_bits_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows, query = rng.standard_normal((100, 7), np.float32), rng.standard_normal(7, np.float32)
    whole = scores(query, rows, "l2")
    for block in (1, 20, 699):
        monkeypatch.setattr(import_module("vecver.index.scoring"), "_BLOCK", block)
        assert scores(query, rows, "l2").tobytes() == whole.tobytes()


@given(st.lists(st.sampled_from([-1.5, 0.0, 2.0]), max_size=30), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_order_is_score_then_key(values: list[float], seed: int, k: int) -> None:
    keys = np.random.default_rng(seed).integers(0, 256, (len(values), 16), dtype=np.uint8)
    keys[:, :8] &= 129  # many equal first halves, and bytes above 127
    wanted = sorted(range(len(values)), key=lambda i: (-values[i], keys[i].tobytes()))
    assert ranked(np.array(values), keys, k).tolist() == wanted[:k]


@given(pairs(), metrics, st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_slack_covers_float32_in_any_order(pair: tuple[Vectors, Vectors], metric: Metric, seed: int) -> None:
    query, vector = pair
    norm = math.sqrt(math.fsum(float(v) ** 2 for v in vector))
    allowed = slack(query, norm * (1 + 1e-9), metric)
    if not allowed < 1e30:
        return
    order = np.random.default_rng(seed).permutation(len(query))
    with np.errstate(over="ignore", under="ignore"):
        product, square = np.float32(0), np.float32(0)
        for i in order:
            product, square = product + query[i] * vector[i], square + vector[i] * vector[i]
        near = float(product if metric != "l2" else np.float32(2) * product - square)
    shifted = Fraction(one(query, vector, metric)) + (exactly(query, query, "ip") if metric == "l2" else 0)
    assert abs(Fraction(near) - shifted) <= Fraction(allowed)


def test_unknown_metric() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_metric("euclid")
    assert caught.value.code == "unknown_metric" and "cosine" in caught.value.hint
